"""Looks a row up in one table after the other, and says what each did with it, removals with value and limit."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.commands.fates import Step, count_of, shorten
from mmpipe.commands.lookup import read_rows
from mmpipe.filtering.image_rules import IMAGE_RULES
from mmpipe.filtering.instruction_rules import INSTRUCTION_RULES
from mmpipe.filtering.interleaved_rules import INTERLEAVED_RULES
from mmpipe.filtering.text_rules import TEXT_RULES
from mmpipe.storage.commits import FAILED
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.left_out import LEFT_OUT_FILE, make_left_out
from mmpipe.tables.removals import INSTRUCTION_REMOVALS

if TYPE_CHECKING:
    from mmpipe.storage.lake import Lake
    from mmpipe.tables.columns import Table

#: Whether a limit itself is kept is part of the rule; the removal holds the limit.
_KNOWN_RULES = {**TEXT_RULES, **IMAGE_RULES, **INTERLEAVED_RULES, **INSTRUCTION_RULES}
#: Signals of removals that no rule made, whose upper limit is not kept.
_BELOW_ONLY = frozenset({"balance_draw", "embedding_similarity"})
#: What a row would have to be, by signals that have no number and no list of words.
_UNLIMITED = {
    "candidate_status": "accepted by its method",
    "repeated_pair": "no pair of equal answers before it",
    "contradicted_pair": "no pair that prefers the opposite",
}
#: What a row would have to be, by the reasons for which a release itself leaves rows out.
_RELEASED = {
    "vanished_image": "its picture is there",
    "changed_image": "its picture is the one that was judged",
    "faulty_conversation": "what trainers accept",
    "faulty_pair": "two answers that trainers accept, one of them better",
}


class Look:
    """Looks up one row in one table after the other."""

    def __init__(self, lake: Lake, dump: str | None, wanted: pl.Expr) -> None:
        self._lake, self._dump, self._wanted = lake, dump, wanted

    def _read(self, table: Table) -> tuple[list[dict[str, Any]] | None, str]:
        dataset = self._lake.dataset(table, self._dump)
        manifest = dataset.find_manifest()
        refused = manifest is not None and manifest.checks == FAILED
        return read_rows(dataset, self._wanted), " (the dataset is refused: its checks failed)" if refused else ""

    def at(self, table: Table, describe: Any, absent: str = "no row") -> Step:
        """Return what one table says of the row: `describe` of it, or `absent`."""
        rows, note = self._read(table)
        if rows is None:
            return Step(table.name, "not made yet")
        if not rows:
            return Step(table.name, absent + note)
        return Step(table.name, str(describe(rows[0])) + note, shorten(rows[0]))

    def at_all(self, table: Table, columns: tuple[str, ...], noun: str, absent: str | None = None) -> Step:
        """Return some columns of all rows of a table, counted by their noun; `absent` where there are none."""
        rows, note = self._read(table)
        if rows is None:
            return Step(table.name, "not made yet")
        if not rows and absent is not None:
            return Step(table.name, absent + note)
        # a table that an earlier version made lacks columns that came since
        shown = tuple(shorten({name: row[name] for name in columns if name in row}) for row in rows)
        return Step(table.name, f"{count_of(len(rows), noun)}{note}", rows=shown)

    def at_removals(self, table: Table) -> Step:
        """Return which rules took the row, with what was measured and the limit."""
        rows, note = self._read(table)
        if rows is None:
            return Step(table.name, "not made yet")
        if not rows:
            return Step(table.name, "passed every rule" + note)
        broken = tuple({"rule": row["rule"], "measured": measure(row), "limit": describe_limit(row)} for row in rows)
        return Step(table.name, f"removed by {', '.join(row['rule'] for row in rows)}{note}", rows=broken)

    def at_release(self, table: Table, row_id: str, dump: str | None) -> Step:
        """Return whether a row is released: what the release itself found, or which of its formats lack the row.

        Args:
            table: the released dataset.
            row_id: of the row.
            dump: its dump, which may not have been ready when the release was made; None where a stage took the row.
        """
        step = self.at(table, lambda _: "kept", absent="not in it")
        dataset = self._lake.dataset(table, self._dump)
        if step.fate == "kept":
            place = dataset.folder.join("release", LEFT_OUT_FILE)
            told = pl.read_parquet(io.BytesIO(place.read_bytes())) if place.is_file() else make_left_out(())
            lacking = told.filter(id=row_id).select("place", "reason", "details").rows(named=True)
            return replace(step, rows=tuple({"left out of": row.pop("place"), **row} for row in lacking))
        found = dataset.read_left_out().filter(id=row_id)
        if found.is_empty():
            return replace(step, fate=f"{step.fate}{_tell_unready(self._lake, table, dump)}") if dump else step
        rows = tuple(
            {"rule": rule, "measured": details, "limit": _RELEASED.get(rule, "no text of an evaluation set")}
            for rule, details in found.select("reason", "details").iter_rows()
        )
        return replace(step, fate=f"removed by {', '.join(row['rule'] for row in rows)}", rows=rows)

    def made_from(self, parent: str) -> Step:
        """Return the instructions that were made from a row, and what took those that are not kept."""
        is_parent = pl.col("parents").list.eval(pl.element().struct.field("id") == parent).list.any()
        look = Look(self._lake, self._dump, is_parent)
        made = look.at_all(SYNTHESIZED_INSTRUCTIONS, ("instruction_id", "method", "instruction"), "made from it")
        of_them = pl.col("instruction_id").is_in([row["instruction_id"] for row in made.rows])
        fallen = read_rows(self._lake.dataset(INSTRUCTION_REMOVALS, self._dump), of_them) if made.rows else []
        if fallen is None:
            return made
        rules: dict[str, list[str]] = {}
        for row in fallen:
            rules.setdefault(row["instruction_id"], []).append(row["rule"])
        told = tuple(
            row
            | {"fate": f"removed by {', '.join(rules[name])}" if (name := row["instruction_id"]) in rules else "kept"}
            for row in made.rows
        )
        return replace(made, rows=told)


def _tell_unready(lake: Lake, table: Table, dump: str) -> str:
    """Return why a release has no row of a dump; empty if it has read the dump, or is not made."""
    from mmpipe.lanes.ready_dumps import find_lacking
    from mmpipe.lanes.release import RELEASE_LANE

    manifest = lake.dataset(table).find_manifest()
    if manifest is None or any(commit.shard == dump for commit in manifest.commits):
        return ""
    (stage,) = (stage for stage in RELEASE_LANE if stage.table is table)
    why = find_lacking(lake, dump, stage.after) or f"{table.name} was made before the dump was ready; make it again"
    return f", nor is any of its dump: {why}"


def measure(row: dict[str, Any]) -> float | str | None:
    """Return what a removal measured: a number, a text, or both."""
    value: float | None = row["value"]
    text: str | None = row["value_text"]
    if value is not None and text is not None:
        return f"{value:g} ({text})"
    return value if text is None else text


def describe_limit(row: dict[str, Any]) -> str:
    """Return the limit of a removal as people write it."""
    if row["allowed"] is not None:
        return f"one of {', '.join(row['allowed'])}"
    rule = _KNOWN_RULES.get(row["rule"])
    below = f"{row['low']:g} {'<=' if rule is None or rule.low_is_kept else '<'} " if row["low"] is not None else ""
    is_high_kept = row["signal"] not in _BELOW_ONLY if rule is None else rule.high_is_kept
    above = f" {'<=' if is_high_kept else '<'} {row['high']:g}" if row["high"] is not None else ""
    if not below and not above:
        return _UNLIMITED.get(row["signal"], "readable")
    return f"{below}{row['signal']}{above}"
