"""Fixtures shared by every room's tests: the generated sample crawl, and the folder of real data where there is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# test processes side by side would each take every core for torch, and spin against one another for minutes
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# both measure the wall clock, which on a busy machine says nothing about an example; tests of speed count CPU seconds
settings.register_profile("mmpipe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mmpipe")

#: Characters of a text that stand in the name of a test.
LONGEST_ID = 60

if TYPE_CHECKING:
    from mmpipe.demo.sample_crawl import SampleCrawl


@pytest.fixture(scope="session")
def sample_crawl(tmp_path_factory: pytest.TempPathFactory) -> SampleCrawl:
    """Two small dumps of 40 pages with at least one page of every fate; read-only, shared by the whole session."""
    from mmpipe.demo.sample_crawl import write_sample_crawl

    return write_sample_crawl(tmp_path_factory.mktemp("sample_crawl"), pages_per_dump=40)


@pytest.fixture(scope="session")
def converted_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder where the embedded model is converted once for all tests, and for all test processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "converted_weights"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real pages and images beside the clone; skip, saying where it was sought, if absent."""
    beside_the_clone = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MMPIPE_SHARED_DATA", beside_the_clone))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: put it there or point MMPIPE_SHARED_DATA at it")
    return folder


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by no content, as compressed ones hold the time of day; and long texts by how they begin.

    Every process must name its tests alike, and processes tell each other all names.
    """
    if isinstance(val, str) and len(val) > LONGEST_ID:
        return f"{val[:LONGEST_ID]}...{len(val)}"
    return "bytes" if isinstance(val, bytes) else None
