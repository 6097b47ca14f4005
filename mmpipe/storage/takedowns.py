"""The lake's list of takedowns, which every run obeys, and the record of each takedown: its plan, rows and report."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.storage.places import Place
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.takedowns import Entry, Takedowns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.storage.lake import Lake

#: Beside the datasets.
FOLDER = "takedowns"
_LIST, _PLAN, _ROWS, _PROBE, _REPORT, _PAGE = (
    "list.jsonl", "plan.json", "rows.parquet", "probe.parquet", "report.json", "report.md",
)  # fmt: skip

#: Ids that a takedown took, with the table that brought each into the lake.
ROWS_SCHEMA = pl.Schema({"id": pl.String(), "table": pl.String(), "dump": pl.String()})


@dataclass(frozen=True, slots=True)
class Record:
    """One takedown as the lake remembers it: open from the writing of its plan to that of its report."""

    folder: Place

    @property
    def name(self) -> str:
        """Its day and a digest of what was asked."""
        return self.folder.name

    @property
    def report_place(self) -> Place:
        """Where its report for people is."""
        return self.folder.join(_PAGE)

    def begin(self, plan: dict[str, Any], rows: pl.DataFrame, probe: pl.DataFrame) -> None:
        """Write what is to be taken down; from now on the takedown is open.

        Args:
            plan: what was asked and found, JSON-like.
            rows: ROWS_SCHEMA.
            probe: slices of the text that goes, column `slice`; removed when the takedown ends.
        """
        _write_parquet(self.folder.join(_ROWS), rows)
        _write_parquet(self.folder.join(_PROBE), probe)
        self.folder.join(_REPORT).remove()
        # the plan last: with it the others are there
        self.folder.join(_PLAN).write_text(json.dumps(plan, indent=1, ensure_ascii=False))

    def read_plan(self) -> dict[str, Any]:
        """Return what was asked and found."""
        plan: dict[str, Any] = json.loads(self.folder.join(_PLAN).read_text())
        return plan

    def read_rows(self) -> pl.DataFrame:
        """Return the ids that go, ROWS_SCHEMA."""
        return pl.read_parquet(io.BytesIO(self.folder.join(_ROWS).read_bytes()))

    def add_rows(self, rows: pl.DataFrame) -> None:
        """Remember further rows that go: what a run made while the takedown was cut off."""
        _write_parquet(self.folder.join(_ROWS), pl.concat([self.read_rows(), rows]).unique("id", maintain_order=True))

    def read_slices(self) -> list[str]:
        """Return slices of the text that goes; none once the takedown ended."""
        place = self.folder.join(_PROBE)
        return pl.read_parquet(io.BytesIO(place.read_bytes()))["slice"].to_list() if place.is_file() else []

    def read_report(self) -> dict[str, Any] | None:
        """Return what was done and proven; None while the takedown is open."""
        place = self.folder.join(_REPORT)
        report: dict[str, Any] | None = json.loads(place.read_text()) if place.is_file() else None
        return report

    def end(self, report: dict[str, Any], page: str) -> None:
        """Write the report, for machines and for people, and remove the slices of what is gone."""
        self.report_place.write_text(page)
        self.folder.join(_REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False))
        self.folder.join(_PROBE).remove()


@dataclass(frozen=True, slots=True)
class Taken:
    """A row that was taken down: its id, the table that brought it into the lake, its dump, and the plan."""

    id: str
    table: str
    dump: str | None
    plan: dict[str, Any]


def _write_parquet(place: Place, frame: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    place.write_bytes(buffer.getvalue())


def read_takedowns(lake: Lake) -> Takedowns:
    """Return what is to stay away from a lake."""
    place = _find_list(lake)
    if not place.is_file():
        return Takedowns()
    return Takedowns(tuple(Entry(**json.loads(line)) for line in place.read_text().splitlines() if line.strip()))


def add_takedowns(lake: Lake, entries: Sequence[Entry]) -> None:
    """Put entries on the list of a lake; one that is there already keeps its day and reason."""
    known = {(entry.kind, entry.value): entry for entry in read_takedowns(lake).entries}
    for entry in entries:
        known.setdefault((entry.kind, entry.value), entry)
    lines = [json.dumps(asdict(entry), ensure_ascii=False) for entry in known.values()]
    _find_list(lake).write_text("\n".join(lines) + "\n")


def name_record(lake: Lake, entries: Sequence[Entry]) -> Record:
    """Return the record of a new takedown: named by its day and what was asked, and numbered."""
    asked = digest_settings([(entry.kind, entry.value) for entry in entries])
    folder, known = Place(lake.root).join(FOLDER), {record.name for record in list_records(lake)}
    name, number = f"{entries[0].date}-{asked}", 1
    while f"{name}-{number}" in known:
        number += 1
    return Record(folder.join(f"{name}-{number}"))


def list_records(lake: Lake) -> list[Record]:
    """Return every takedown of a lake, oldest first, also those that were cut off."""
    folder = Place(lake.root).join(FOLDER)
    names = {path.split("/")[0] for path in folder.list_files() if path.endswith(f"/{_PLAN}")}
    return [Record(folder.join(name)) for name in sorted(names)]


def list_open(lake: Lake) -> list[Record]:
    """Return the takedowns that began and did not end: without a report, or with slices of the text still there."""
    return [
        record
        for record in list_records(lake)
        if not record.folder.join(_REPORT).is_file() or record.folder.join(_PROBE).is_file()
    ]


def find_taken(lake: Lake, row_id: str) -> Taken | None:
    """Return the row that was taken down and has this id, or alone has an id that begins so; None if there is none."""
    for record in list_records(lake):
        rows = record.read_rows().filter(pl.col("id").str.starts_with(row_id))
        if row_id and rows.height == 1:
            row = rows.row(0, named=True)
            return Taken(row["id"], row["table"], row["dump"], record.read_plan())
    return None


def _find_list(lake: Lake) -> Place:
    return Place(lake.root).join(FOLDER, _LIST)
