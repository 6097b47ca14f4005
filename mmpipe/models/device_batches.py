"""Cuts rows into batches that a device can hold: finds their size, and halves it when memory runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

#: Rows of a batch on a CPU, where more gain nothing.
CPU_ROWS = 32
#: Rows at which the search for the largest batch of an accelerator begins and ends: a transformer for pictures
#: computes no faster per row with more.
_FIRST_ROWS, _MOST_ROWS = 64, 512


class DeviceBatches:
    """Runs rows through a device in batches.

    On a CPU every batch is padded to `rows`, so that the shapes computed, and with them the rounding, do not depend on
    how many rows came together. An accelerator pads to the next power of two, which keeps the shapes few and wastes
    less than half a batch on a short list.

    Args:
        device: torch's name of it.
        rows: rows of a batch; None is `CPU_ROWS` on a CPU, and on an accelerator the most that `try_rows` allows.
    """

    def __init__(self, device: str, rows: int | None) -> None:
        if rows is not None and rows < 1:
            raise ConfigurationError(f"batch_size is {rows}; give 1 or more, or none for the device's own.")
        self.device = device
        self._is_cpu = device.startswith("cpu")
        self.rows = CPU_ROWS if rows is None and self._is_cpu else rows

    def run(
        self,
        items: Sequence[Any],
        encode: Callable[[list[Any]], torch.Tensor],
        try_rows: Callable[[int], Any],
    ) -> list[torch.Tensor]:
        """Return what `encode` gives for each batch, without the padding.

        A batch that the device has no memory for is tried again as two halves, and so are all that follow.

        Args:
            items: rows.
            encode: takes a list of items, returns a tensor with a row for each.
            try_rows: runs the largest work on so many rows, to find how many fit; only asked where `rows` is None.

        Raises:
            ConfigurationError: the device has no memory for one row.
        """
        if self.rows is None:
            self.rows = self.find_rows(try_rows)
        parts: list[torch.Tensor] = []
        done = 0
        while done < len(items):
            batch = list(items[done : done + self.rows])
            width = self.rows if self._is_cpu else min(self.rows, 1 << (len(batch) - 1).bit_length())
            try:
                encoded = encode(batch + [batch[-1]] * (width - len(batch)))
            except RuntimeError as error:
                self._halve(error)
                continue
            parts.append(encoded[: len(batch)])
            done += len(batch)
        return parts

    def find_rows(self, try_rows: Callable[[int], Any]) -> int:
        """Return how many rows fit: doubled while they do, halved from the start while they do not.

        Raises:
            ConfigurationError: the device has no memory for one row.
        """
        rows = self.rows = _FIRST_ROWS
        while True:
            try:
                try_rows(rows)
                break
            except RuntimeError as error:
                rows = self._halve(error)
        while rows == self.rows and rows >= _FIRST_ROWS and rows < _MOST_ROWS:
            try:
                try_rows(rows * 2)
            except RuntimeError as error:
                self.rows = rows * 2
                return self._halve(error)
            rows = self.rows = rows * 2
        return rows

    def _halve(self, error: RuntimeError) -> int:
        """Halve the batch after an error of memory; raise any other error again."""
        import torch

        assert self.rows is not None
        if not _is_memory_error(error):
            raise error
        if self.rows == 1:
            raise ConfigurationError(
                f"Device {self.device} has no memory for a single row ({str(error).splitlines()[0]}). "
                f"Use a smaller model, half precision or another device."
            ) from error
        self.rows //= 2
        # what the failed batch held is still in torch's cache
        if not self._is_cpu and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return self.rows


def _is_memory_error(error: RuntimeError) -> bool:
    import torch

    # the CPU's allocator has no class of its own
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
