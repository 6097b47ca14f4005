"""Compiles loops that allocate nothing, without numba's count of who holds which array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numba
import numpy as np

#: Zero as one number of many: for a plain 0 numba compiles what is called with it apart, and once more for the others.
ZERO: Any = np.int64(0)

_Loop = TypeVar("_Loop", bound=Callable[..., object])


def compile_loop(*, inline: Literal["never", "always"] = "never") -> Callable[[_Loop], _Loop]:
    """Return a decorator for a loop that makes no array, list or string; one that does is refused by numba.

    A loop that takes a row of a table or hands arrays on counts holders otherwise, one by one: half of the
    time of the page reader.
    """
    # numba's stub does not know the option
    options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "inline": inline, "_nrt": False}
    decorate: Callable[[_Loop], _Loop] = numba.njit(**options)
    return decorate
