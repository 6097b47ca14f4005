"""What `mmpipe explain` answers: the steps of a row's fate, what they come to, and its values as people read them."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from mmpipe.tables.columns import Table

#: Characters of a long value that are shown.
SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage did with the row.

    Attributes:
        asset: the stage.
        fate: one line: kept, removed by which rules, not made yet, …
        values: columns of its row, or measured values with their limits.
        rows: further rows, such as removals, duplicates or what was made from it.
    """

    asset: str
    fate: str
    values: dict[str, Any] = field(default_factory=dict)
    rows: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Fate:
    """The fate of one row.

    Attributes:
        kind: document, pair, instruction, or the asset's name for any other row.
        id: its id.
        dump: its dump, None for a row of a dataset over all dumps.
        verdict: one sentence: how far it came.
        steps: what every stage did with it, in the order of the line.
    """

    kind: str
    id: str
    dump: str | None
    verdict: str
    steps: tuple[Step, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def conclude(steps: list[Step], ends: tuple[Table, ...]) -> str:
    """Return how far a row came, in one sentence; `ends` are the tables it would be kept in."""
    kept = [step.asset for step in steps if step.fate == "kept" and step.asset in {table.name for table in ends}]
    removed = [step for step in steps if step.fate.startswith("removed by")]
    repeated = [step for step in steps if step.fate.startswith("repeats ")]
    if removed:
        return f"{removed[0].asset}: {removed[0].fate}"
    if repeated and DEDUPED_CORPUS.name not in kept:
        return f"removed as a duplicate: {repeated[0].fate}"
    if kept:
        return f"kept, up to {kept[-1]}"
    last = [step.asset for step in steps if step.values]
    return f"came as far as {last[-1]}" if last else "nothing is known of it"


#: What is counted in fates, and the word for one of it.
_ONE = {
    "bits": "bit",
    "captions": "caption",
    "files": "file",
    "judgements": "judgement",
    "pairs": "pair",
    "phrases": "phrase",
    "pieces": "piece",
    "places": "place",
    "responses": "response",
    "rows": "row",
    "sequences": "sequence",
    "spans": "span",
    "times": "time",
    "tries": "try",
}


def count_of(number: int, noun: str) -> str:
    """Return a number with what it counts, as people write it: `2 pairs on this page`, `1 pair on this page`."""
    words = re.split(r"\b", noun)
    return f"{number} {''.join(_ONE.get(word, word) for word in words) if number == 1 else noun}"


def shorten(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose values can be shown: long text cut, bytes counted."""
    return {name: _shorten_value(value) for name, value in row.items()}


def _shorten_value(value: Any) -> Any:
    match value:
        case bytes():
            return f"{len(value)} bytes"
        case str() if len(value) > SHOWN_CHARS:
            return f"{value[:SHOWN_CHARS]}… ({len(value)} characters)"
        case list():
            return [_shorten_value(item) for item in value[:20]] + (
                [f"… {len(value)} in all"] if len(value) > 20 else []
            )
        case dict():
            return shorten(value)
        case int() | float() | bool() | None | str():
            return value
        case _:
            return str(value)
