"""Prints what a lake holds: the funnel of each lane, where each dataset lies, and a few rows a person can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table as RichTable

from mmpipe.lanes.row_prices import price_rows
from mmpipe.storage.commits import FAILED, PASSED
from mmpipe.tables.crawl import RAW_CRAWL
from mmpipe.tables.image_release import IMAGE_DATASET
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS, IMAGE_CANDIDATES
from mmpipe.tables.instructions import (
    INSTRUCTION_CANDIDATES,
    JUDGEMENTS,
    PREFERENCE_DATASET,
    PRETRAINING_DATASET,
    RESPONSES,
    SFT_DATASET,
    SYNTHESIZED_INSTRUCTIONS,
)
from mmpipe.tables.interleaved_release import INTERLEAVED_DATASET
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, TEXT_REMOVALS
from mmpipe.tables.rephrased import REPHRASED_DOCUMENTS
from mmpipe.tables.text import DEDUPED_CORPUS, EXTRACTED_TEXT, FILTERED_TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from mmpipe.storage.commits import Manifest
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.tables.columns import Table

#: The lanes as people read them; tables that only measure or judge are left out: what they removed shows where rows go.
LANES: dict[str, tuple[Table, ...]] = {
    "text": (RAW_CRAWL, EXTRACTED_TEXT, FILTERED_TEXT, DEDUPED_CORPUS, REPHRASED_DOCUMENTS),
    "images": (IMAGE_CANDIDATES, FILTERED_IMAGE_PAIRS),
    "instructions": (
        INSTRUCTION_CANDIDATES,
        SYNTHESIZED_INSTRUCTIONS,
        INSTRUCTION_REMOVALS,
        RESPONSES,
        JUDGEMENTS,
        PREFERENCE_PAIRS,
    ),
    "release": (SFT_DATASET, PREFERENCE_DATASET, PRETRAINING_DATASET, IMAGE_DATASET, INTERLEAVED_DATASET),
}
RELEASED = LANES["release"]
_REASONS = 6
#: Counts that the price of a row is made of.
_PRICED = frozenset({"prompt_tokens", "completion_tokens", "cost"})
_MARKS = {PASSED: "[green]passed[/]", FAILED: "[red]failed[/]"}


def print_funnels(console: Console, lake: Lake, dumps: Sequence[str]) -> None:
    """Print one table per lane: rows in, out and removed of each dataset, with the largest reasons or tallies."""
    for lane, tables in LANES.items():
        grid = RichTable(
            title=f"{lane} lane", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
        )
        grid.caption = "a row that fails several rules counts under each of them" if lane == "text" else None
        grid.caption_justify = "left"
        for name in ("dataset", "dump"):
            grid.add_column(name, no_wrap=True)
        for name in ("rows in", "out", "removed"):
            grid.add_column(name, justify="right", no_wrap=True)
        grid.add_column("why, or what", ratio=1)
        grid.add_column("checks", no_wrap=True)
        for dataset in _list_datasets(lake, tables, dumps):
            manifest = dataset.find_manifest()
            # where no recipe has documents rephrased, an empty line would tell nothing
            is_unasked = dataset.table is REPHRASED_DOCUMENTS and manifest is not None and not manifest.rows_in
            if manifest is not None and not is_unasked:
                grid.add_row(
                    dataset.table.name,
                    dataset.dump or "all",
                    f"{manifest.rows_in:,}",
                    f"{manifest.rows_out:,}",
                    f"{manifest.rows_removed:,}" if manifest.rows_removed else "",
                    _name_reasons(manifest),
                    _MARKS.get(manifest.checks, manifest.checks),
                )
        if grid.row_count:
            console.print(grid)


def print_places(console: Console, lake: Lake, dumps: Sequence[str]) -> None:
    """Print where the released datasets, the corpus and the pairs lie."""
    grid = RichTable(
        title="where the datasets lie", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    grid.add_column("dataset", no_wrap=True)
    grid.add_column("rows", justify="right", no_wrap=True)
    grid.add_column("folder", overflow="fold")
    for dataset in _list_datasets(lake, (*RELEASED, DEDUPED_CORPUS, FILTERED_IMAGE_PAIRS), dumps):
        manifest = dataset.find_manifest()
        if manifest is not None:
            grid.add_row(dataset.table.name, f"{manifest.rows_out:,}", escape(dataset.folder.url))
    console.print(grid)


def print_samples(console: Console, lake: Lake, dumps: Sequence[str]) -> None:
    """Print one row each of the SFT and preference datasets and of the corpus."""
    sft = _read_first(lake.dataset(SFT_DATASET))
    if sft:
        images = f"  ({len(sft['images'])} image)" if sft["images"] else ""
        turns = "\n".join(f"[bold]{turn['role']}[/]  {_cut(turn['content'])}" for turn in sft["messages"])
        console.print(Panel(turns, title=f"sft_dataset  {sft['id']}{images}", title_align="left"))
    pair = _read_first(lake.dataset(PREFERENCE_DATASET))
    if pair:
        said = [
            *(f"[bold]{turn['role']}[/]  {_cut(turn['content'])}" for turn in pair["prompt"]),
            f"[bold green]chosen {pair['score_chosen']:g}[/]  {_cut(pair['chosen'][-1]['content'])}",
            f"[bold red]rejected {pair['score_rejected']:g}[/]  {_cut(pair['rejected'][-1]['content'])}",
        ]
        console.print(Panel("\n".join(said), title=f"preference_dataset  {pair['id']}", title_align="left"))
    for dump in dumps[:1]:
        document = _read_first(lake.dataset(DEDUPED_CORPUS, dump))
        if document:
            said = [f"[dim]{escape(str(document['url']))}[/]", _cut(document["text"], 400)]
            console.print(Panel("\n".join(said), title=f"deduped_corpus  {document['doc_id']}", title_align="left"))


def find_sample_id(lake: Lake, dumps: Sequence[str]) -> str | None:
    """Return the id of a document that was removed, to try `mmpipe explain` on; None if there is none."""
    for dump in dumps:
        row = _read_first(lake.dataset(TEXT_REMOVALS, dump), rule="gopher_word_count")
        if row:
            return str(row["doc_id"])
    return None


def find_released_id(lake: Lake) -> str | None:
    """Return the id of a conversation that was released, to try `mmpipe trace` on; None if there is none."""
    row = _read_first(lake.dataset(SFT_DATASET))
    return str(row["id"]) if row else None


def _list_datasets(lake: Lake, tables: tuple[Table, ...], dumps: Sequence[str]) -> list[Dataset]:
    return [
        dataset
        for table in tables
        for dataset in ([lake.dataset(table)] if table in RELEASED else [lake.dataset(table, dump) for dump in dumps])
    ]


def _name_reasons(manifest: Manifest) -> str:
    price = price_rows(manifest)
    told = ""
    reasons = manifest.removed_by_rule or manifest.counts
    if price is not None:
        # tokens and money are told by accepted row, in the table of the stage that asked
        reasons = {name: count for name, count in reasons.items() if name not in _PRICED}
        if price.tokens_per_row and not manifest.removed_by_rule:
            cost = f", costs {price.cost_per_row:,.6f}" if price.cost_per_row else ""
            missing = f", {price.missing:,} missing" if price.missing else ""
            told = f"a row takes {price.tokens_per_row:,.0f} tokens{cost}{missing}; "
    reasons = {name: count for name, count in reasons.items() if count}
    named = [f"{name} {count:,.10g}" for name, count in list(reasons.items())[:_REASONS]]
    more = len(reasons) - len(named)
    return told + ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _read_first(dataset: Dataset, **equal: Any) -> dict[str, Any] | None:
    manifest = dataset.find_manifest()
    if manifest is None or manifest.checks == FAILED:
        return None
    rows = dataset.scan().filter(**equal).head(1).collect()
    return rows.row(0, named=True) if rows.height else None


def _cut(text: str, limit: int = 600) -> str:
    return escape(text if len(text) <= limit else text[:limit] + " …")
