from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.device_batches import CPU_ROWS, DeviceBatches


class Device:
    """Doubles numbers, and has memory for `most` rows."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.widths: list[int] = []

    def encode(self, batch: list[int]) -> torch.Tensor:
        self.hold(len(batch))
        self.widths.append(len(batch))
        return torch.tensor(batch) * 2

    def hold(self, rows: int) -> None:
        if rows > self.most:
            raise torch.OutOfMemoryError(f"no memory for {rows} rows")


def run(batches: DeviceBatches, device: Device, count: int) -> list[int]:
    parts = batches.run(list(range(count)), device.encode, device.hold)
    return torch.cat(parts).tolist() if parts else []


@given(
    count=st.integers(0, 200),
    most=st.integers(1, 300),
    rows=st.integers(1, 64),
    name=st.sampled_from(["cpu", "cuda:0"]),
)
def test_every_row_comes_back_once_in_order_whatever_fits(count: int, most: int, rows: int, name: str) -> None:
    device, batches = Device(most), DeviceBatches(name, rows)
    assert run(batches, device, count) == [2 * number for number in range(count)]
    assert all(width <= min(most, rows) for width in device.widths)
    assert batches.rows is not None
    assert batches.rows == rows or batches.rows <= most < 2 * batches.rows + 1  # an odd half is rounded down


def test_batch_is_halved_once_and_stays_so() -> None:
    device, batches = Device(5), DeviceBatches("cpu", 16)
    assert run(batches, device, 10) == list(range(0, 20, 2))
    assert (batches.rows, device.widths) == (4, [4, 4, 4])
    run(batches, device, 4)
    assert device.widths == [4, 4, 4, 4]


@pytest.mark.parametrize(("most", "found"), [(5000, 512), (300, 256), (64, 64), (63, 32), (1, 1)])
def test_accelerator_takes_as_many_rows_as_fit(most: int, found: int) -> None:
    device, batches = Device(most), DeviceBatches("cuda:0", None)
    run(batches, device, 3)
    assert batches.rows == found
    assert device.widths[-1] <= 4


def test_processor_pads_every_batch_to_one_width() -> None:
    device, batches = Device(1000), DeviceBatches("cpu", None)
    run(batches, device, 1)
    run(batches, device, 50)
    assert device.widths == [CPU_ROWS] * 3


def test_no_memory_for_one_row_says_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"no memory for a single row .*half precision or another device"):
        run(DeviceBatches("cpu", 8), Device(0), 3)
    with pytest.raises(ConfigurationError, match="no memory for a single row"):
        run(DeviceBatches("cuda:0", None), Device(0), 3)


def test_processor_out_of_memory_is_known_by_its_words_and_other_errors_pass() -> None:
    said = ["DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."]

    def encode(batch: list[int]) -> torch.Tensor:
        if said:
            raise RuntimeError(said.pop())
        return torch.tensor(batch)

    batches = DeviceBatches("cpu", 8)
    assert len(batches.run([1, 2], encode, encode)[0]) == 2
    assert batches.rows == 4
    said.append("shapes do not fit")
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        batches.run([1, 2], encode, encode)


def test_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give 1 or more"):
        DeviceBatches("cpu", 0)
