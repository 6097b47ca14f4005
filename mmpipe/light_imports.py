"""Imports of heavy packages without the parts of theirs that nothing here uses."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType


@contextmanager
def replace_modules(others: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Let modules be imported as others, or as absent (None); those loaded already are left alone.

    Afterwards they can be imported as they are.
    """
    modules = cast("dict[str, Any]", sys.modules)
    replaced = {name: module for name, module in others.items() if name not in modules}
    modules.update(replaced)
    try:
        yield
    finally:
        for name in replaced:
            del modules[name]


def start_numba() -> None:
    """Let numba be ready for compiled loops: without SciPy's linear algebra, a quarter of a second in each process.

    numba loads it at its first loop to see whether matrices can be multiplied, which no loop here does.
    """
    if "numba.np.arraymath" in sys.modules:
        return
    with replace_modules({"scipy.linalg": None}):
        import numba.np.arraymath  # noqa: F401
