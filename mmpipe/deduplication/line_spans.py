"""Cuts texts into the lines, paragraphs or runs of sentences that are compared, and hashes their normal forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import xxhash

from mmpipe.deduplication.line_normalization import LINE_DIALECTS, LineDialect, build_line_table
from mmpipe.errors import ConfigurationError, SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNITS = ("line", "paragraph", "sentence")


@dataclass(frozen=True, slots=True)
class LineSettings:
    """What is compared, and what stays.

    Attributes:
        unit: `line`; `paragraph` (between blank lines; what CCNet calls a paragraph is a line); or `sentence`.
        units_per_span: consecutive units that are compared together, overlapping; units that normalise to nothing are
            passed over.
        dialect: what does not count; see `line_normalization`.
        keep: `first`: the one in the best document, there the first; `none`: all go.
        least_characters: a span whose normal form has fewer is left alone.
        least_occurrences: a span that occurs less often is left alone.
    """

    unit: Literal["line", "paragraph", "sentence"] = "line"
    units_per_span: int = 1
    dialect: LineDialect = "ccnet_paper"
    keep: Literal["first", "none"] = "first"
    least_characters: int = 1
    least_occurrences: int = 2

    def __post_init__(self) -> None:
        for name, known in (("unit", UNITS), ("dialect", LINE_DIALECTS), ("keep", ("first", "none"))):
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"Line settings: {name} must be one of {', '.join(known)}, not {getattr(self, name)!r}."
                )
        if min(self.units_per_span, self.least_characters) < 1 or self.least_occurrences < 2:
            raise ConfigurationError(
                "Line settings: units_per_span and least_characters must be at least 1, least_occurrences at least 2."
            )


#: Wenzek et al. 2020, section 3.1, with what its code does in two passes: no occurrence stays.
CCNET = LineSettings(keep="none")
#: Raffel et al. 2020, section 2.2: all but one of any span of three sentences that occurs more than once go.
C4_SPANS = LineSettings(unit="sentence", units_per_span=3, dialect="lowercase")
#: What C4's code does instead (tensorflow_datasets, c4_utils.remove_duplicate_text): all but one of equal lines go.
C4_LINES = LineSettings(dialect="lowercase")
#: Template lines of ROOTS's catalogue part (BigScience data-preparation, clean_helpers/deduplication.py).
ROOTS_TEMPLATES = LineSettings(dialect="exact", keep="none", least_characters=15, least_occurrences=10)


@dataclass(frozen=True, slots=True)
class TextSpans:
    """Spans of a batch: whose they are, their bounds in characters of its text, and (n, 2) their 128-bit hash."""

    documents: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    hashes: NDArray[np.uint64]


def cut_into_spans(texts: list[str], settings: LineSettings, unit_starts: list[list[int]] | None = None) -> TextSpans:
    """Return the spans of texts that are compared; lone surrogates are characters like others.

    Raises:
        SchemaError: unit starts are not ascending places of their text.
    """
    from mmpipe.deduplication.line_kernels import cut_units, normalize_units

    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts], dtype=np.int64)]).astype(np.int64)
    table = build_line_table(settings.dialect)
    if unit_starts is None:
        starts, counts = cut_units(codes, offsets, table, UNITS.index(settings.unit))
    else:
        starts, counts = _place_units(unit_starts, offsets)
    owners = np.repeat(np.arange(len(texts)), np.diff(counts))
    bounds = np.append(starts, offsets[-1])
    normal, begins, characters = normalize_units(codes, bounds, table)
    # of the units with something in them, so many together, of one text
    full = np.flatnonzero(characters > 0)
    first = full[: max(0, len(full) - settings.units_per_span + 1)]
    last = full[settings.units_per_span - 1 :]
    totals = np.append(0, np.cumsum(characters))
    is_span = (owners[first] == owners[last]) & (totals[last + 1] - totals[first] >= settings.least_characters)
    first, last = first[is_span], last[is_span]
    return TextSpans(
        owners[first],
        bounds[first] - offsets[owners[first]],
        bounds[last + 1] - offsets[owners[first]],
        _hash_slices(normal, begins[first], begins[last + 1] - 1),
    )


def _place_units(
    unit_starts: list[list[int]], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lists = [np.array([0, *starts[1:]], dtype=np.int64) for starts in unit_starts]
    for starts, length in zip(lists, np.diff(offsets), strict=True):
        if (np.diff(starts) <= 0).any() or starts[-1] >= length:
            raise SchemaError(f"unit_starts must be ascending places of a text of {length} characters: {starts[:9]}.")
    counts = np.concatenate([[0], np.cumsum([len(starts) for starts in lists])]).astype(np.int64)
    places = [starts + begin for starts, begin in zip(lists, offsets[:-1], strict=True)]
    return np.concatenate([np.empty(0, dtype=np.int64), *places]), counts


def _hash_slices(octets: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return (n, 2) uint64: the 128-bit xxh3 of each slice, its lower half first."""
    view = memoryview(octets.tobytes())
    digest = xxhash.xxh3_128_digest
    digests = [digest(view[begin:end]) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    # xxh3 is written with its upper half first, each most significant byte first
    halves = np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
    return np.ascontiguousarray(halves.reshape(-1, 2)[:, ::-1])
