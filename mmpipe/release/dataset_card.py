"""Renders the dataset card: README.md with the YAML header that says which files belong to which configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from mmpipe.tables.columns import Table


@dataclass(frozen=True, slots=True)
class CardSource:
    """What rows were made from: its name, how many rows it gave, and its licence, as SPDX id or in words."""

    name: str
    rows: int
    licence: str


@dataclass(frozen=True, slots=True)
class CardContamination:
    """One benchmark that rows were held against: its name, by which method, rows looked at, rows removed for it."""

    benchmark: str
    method: str
    rows: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a card tells.

    Attributes:
        table: the dataset.
        rows: rows by configuration, for example `{"text_only": 20, "with_images": 12}`.
        files: data files (relative paths or globs) by configuration, or by configuration and split.
        recipe: name and digest of the recipe that the files are written by.
        dump_recipes: (dump, name and digest of the recipe that its rows were made by); told where it is another one.
        teachers: teachers that wrote rows, as `engine:model@digest`.
        prompts: versions of the prompts.
        notes: what else is told of how it was made, one sentence each: pages, tokenizer, packing.
        funnel: (step, rows), in order, from planned to published.
        rejected: rows that became none, by reason.
        dumps: dumps the rows come from.
        tokens: prompt and completion tokens spent, failed attempts included.
        cost: money spent, with its currency, for example `1.20 USD`; None if none was.
        licence: SPDX id or `other`.
        licence_note: what the licence does not settle.
        tasks: the hub's task categories.
        tags: the hub's tags.
        layouts: (layout, where it lies and how it is read), where the files come in several.
        splits: rows by split.
        mixture: how often each source is read, as a table, its heads first.
        sources: what the rows were made from, with its licence and how many rows it gave.
        lengths: (length, rows), a histogram, of tokens with the tokenizer that `lengths_tokenizer` names.
        lengths_tokenizer: name and digest of that tokenizer.
        lengths_unit: what lengths are counted in.
        lengths_of: what has these lengths.
        contamination: the benchmarks that rows were held against; an empty list says that there were none, None leaves
            the section out.
        limits: what the rows are known not to be, or not to hold, one sentence each.
    """

    table: Table
    rows: Mapping[str, int]
    files: Mapping[str, Sequence[str] | Mapping[str, Sequence[str]]]
    recipe: str
    dump_recipes: Sequence[tuple[str, str]] = ()
    teachers: Sequence[str] = ()
    prompts: Sequence[str] = ()
    notes: Sequence[str] = ()
    funnel: Sequence[tuple[str, int]] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    dumps: Sequence[str] = ()
    tokens: tuple[int, int] | None = None
    cost: str | None = None
    licence: str = "other"
    licence_note: str = (
        "Pages and pictures belong to their authors; a crawl grants no licence to them. Text written by a teacher is "
        "also bound by that model's own terms. `mmpipe trace ID` names the pages that a row was made from."
    )
    tasks: Sequence[str] = ("text-generation",)
    tags: Sequence[str] = ("synthetic", "mmpipe")
    layouts: Sequence[tuple[str, str]] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    mixture: Sequence[Sequence[str]] = ()
    sources: Sequence[CardSource] = ()
    lengths: Sequence[tuple[str, int]] = ()
    lengths_tokenizer: str = ""
    lengths_unit: str = "Tokens"
    lengths_of: str = "row"
    contamination: Sequence[CardContamination] | None = None
    limits: Sequence[str] = ()


def render_card(card: Card) -> str:
    """Return the text of README.md."""
    total = sum(card.rows.values())
    header: dict[str, Any] = {
        "license": card.licence,
        "task_categories": list(card.tasks),
        "tags": list(card.tags),
        "size_categories": [_name_size(total)],
        "configs": [
            {"config_name": name, "data_files": _list_files(card.files[name])} | ({} if place else {"default": True})
            for place, name in enumerate(card.rows)
        ],
    }
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n",
        f"# {card.table.name}\n\n{card.table.description}\n",
        _render_table("Rows", ("Configuration", "Rows"), [*card.rows.items(), ("all", total)]),
        _render_table("Splits", ("Split", "Rows"), list(card.splits.items())),
        _render_table(
            f"{card.lengths_unit} per {card.lengths_of}"
            + (f" ({card.lengths_tokenizer})" if card.lengths_tokenizer else ""),
            (card.lengths_unit, f"{card.lengths_of.capitalize()}s"),
            card.lengths,
        ),
        _render_table("Mixture", card.mixture[0] if card.mixture else (), card.mixture[1:]),
        _render_table("Layouts", ("Layout", "Where and how"), card.layouts),
        _render_table("Columns", ("Column", "Meaning"), [(each.name, each.description) for each in card.table.columns]),
        _render_table("From plan to row", ("Step", "Rows"), card.funnel),
        _render_table("Why planned rows are missing", ("Reason", "Rows"), _order(card.rejected)),
        _render_list("How it was made", _list_makers(card)),
        _render_table(
            "Sources", ("Source", "Rows", "Licence"), [(it.name, it.rows, it.licence) for it in card.sources]
        ),
        _render_contamination(card),
        _render_list("Known limits", card.limits),
        f"## Licence\n\n{card.licence_note}\n",
    ]
    return "\n".join(part for part in parts if part)


def _order(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return what is counted, most first, then by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _list_files(files: Sequence[str] | Mapping[str, Sequence[str]]) -> list[Any]:
    if isinstance(files, Mapping):
        return [{"split": split, "path": list(paths)} for split, paths in files.items()]
    return list(files)


def _list_makers(card: Card) -> list[str]:
    made_by = {dump: recipe for dump, recipe in card.dump_recipes if recipe and recipe != card.recipe}
    lines = [f"Recipe of the files: `{card.recipe}`" if made_by else f"Recipe: `{card.recipe}`"]
    lines += [f"Teacher: `{teacher}`" for teacher in card.teachers]
    lines += [f"Prompt: `{prompt}`" for prompt in card.prompts]
    for dump in card.dumps:
        made = f", rows made by the recipe {made_by.get(dump, card.recipe)}" if made_by else ""
        lines.append(f"Dump: `{dump}`{made}")
    lines += card.notes
    if card.tokens is not None:
        lines.append(
            f"Tokens: {card.tokens[0]:,} in prompts, {card.tokens[1]:,} in completions, failed attempts included"
        )
    if card.cost is not None:
        lines.append(f"Cost: {card.cost}")
    return lines


def _render_list(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "".join(f"- {line}\n" for line in lines) if lines else ""


def _render_contamination(card: Card) -> str:
    if card.contamination is None:
        return ""
    title = "Contamination"
    if not card.contamination:
        return f"## {title}\n\nThe rows were held against no benchmark.\n"
    rows = [(each.benchmark, each.method, each.rows, each.removed) for each in card.contamination]
    return _render_table(title, ("Benchmark", "Method", "Rows looked at", "Rows removed"), rows)


def _render_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    lines = [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"## {title}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *lines]) + "\n"


def _name_size(rows: int) -> str:
    """Return the hub's size category."""
    for limit, name in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M")):
        if rows < limit:
            return name
    return "n>10M"
