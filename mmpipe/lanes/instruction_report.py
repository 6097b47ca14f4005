"""Collects what a dump's instruction report shows: methods, refusals, removals, lengths, verbs and nouns, tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl
import yaml

from mmpipe.filtering.judge import OK
from mmpipe.lanes.instruction_candidates import STATUS
from mmpipe.lanes.instruction_matches import REVIEW_RULE
from mmpipe.lanes.report_figures import (
    Histogram,
    RuleCount,
    StageCost,
    count_rules,
    draw_histogram,
    list_costs,
)
from mmpipe.lanes.row_prices import name_method, price_methods, price_rows
from mmpipe.tables.instruction_matches import (
    INSTRUCTION_CONTAMINATION,
)
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.preferences import PREFERENCE_PAIRS
from mmpipe.tables.published import INSTRUCTION_TABLES
from mmpipe.tables.removals import INSTRUCTION_REMOVALS, PREFERENCE_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mmpipe.lanes.row_prices import RowPrice
    from mmpipe.storage.lake import Dataset, Lake

SAMPLES_PER_METHOD = 3
SNIPPET_CHARS = 280
#: Signals of lengths, and the column of which each counts the words.
_LENGTHS = {"instruction_words": "instruction", "response_words": "response"}


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """One method of a dump: candidates = rows + refused; kept rows; what it asked for, refused candidates included.

    Attributes:
        name: the method, as the recipe names it.
        candidates: that it made.
        rows: accepted by the method.
        kept: of them, not removed by a rule, an evaluation set, a review or for a repeat.
        price: requests, tokens and money of all it asked for; None where no teacher was asked.
    """

    name: str
    candidates: int
    rows: int
    kept: int
    price: RowPrice | None


@dataclass(frozen=True, slots=True)
class InstructionReport:
    """Everything the page shows; plain values only.

    Attributes:
        dump: its name.
        recipe: name of the recipe.
        recipe_yaml: the recipe as it was resolved.
        stages: in order, as far as they are made.
        methods: most candidates first.
        refused: (method, reason, candidates), most first.
        rules: most rows first; refusals of methods are in `refused` alone.
        lost_pairs: (stage, reason, rows) of comparisons that gave no preference pair and of pairs not released.
        asked: what each stage asked of teachers, in order, the stage as `method`; without those that asked nothing.
        histograms: of words of instruction and response.
        contamination: (evaluation set, rows with a hit, rows removed).
        verb_nouns: (verb, noun, instructions), as Self-Instruct shows them.
        verb_noun_svg: the two rings; empty where the verbs are too few for a picture.
        samples: method to a few kept rows: id, instruction and response.
        rows: accepted rows.
        kept: rows that nothing removed.
    """

    dump: str
    recipe: str
    recipe_yaml: str
    stages: tuple[StageCost, ...]
    methods: tuple[MethodFigures, ...]
    refused: tuple[tuple[str, str, int], ...]
    rules: tuple[RuleCount, ...]
    lost_pairs: tuple[tuple[str, str, int], ...]
    asked: tuple[RowPrice, ...]
    histograms: tuple[Histogram, ...]
    contamination: tuple[tuple[str, int, int], ...]
    verb_nouns: tuple[tuple[str, str, int], ...]
    verb_noun_svg: str
    samples: Mapping[str, tuple[Mapping[str, Any], ...]]
    rows: int
    kept: int


def collect_instruction_report(lake: Lake, dump: str) -> InstructionReport:
    """Return the report of a dump whose instruction_removals are made.

    Raises:
        DatasetNotReady: the dump's instructions or removals are not made, or refused.
    """
    from mmpipe.release.verb_noun_plot import LEAST_VERBS, draw_verb_nouns

    instructions, removals = lake.dataset(SYNTHESIZED_INSTRUCTIONS, dump), lake.dataset(INSTRUCTION_REMOVALS, dump)
    manifest = removals.require_manifest()
    recipe_yaml = removals.folder.join("recipe.yaml").read_text()
    recipe = yaml.safe_load(recipe_yaml)
    # texts are read in batches; of a whole dump, numbers alone are held
    words = (pl.col(column).str.count_matches(r"\S+").alias(signal) for signal, column in _LENGTHS.items())
    rows = instructions.scan().select("instruction_id", "method", *words).collect(engine="streaming")
    gone = removals.scan().filter(pl.col("signal") != STATUS).select("instruction_id").unique().collect()
    kept = rows.join(gone, on="instruction_id", how="anti", maintain_order="left")
    shown = count_shown(iterate_instructions(instructions, gone))
    has_rings = shown.get_column("verb").n_unique() >= LEAST_VERBS
    methods = tuple(count_methods(lake, dump, gone))
    rules = [_tell_of(rule, {each.name for each in methods}) for rule in recipe["instructions"]["rules"]]
    refused = _count_refused(lake, dump)
    counts = count_rules(removals, manifest, rules, "instruction_id")
    return InstructionReport(
        dump=dump,
        recipe=recipe["name"],
        recipe_yaml=recipe_yaml,
        stages=tuple(list_costs(lake, dump, INSTRUCTION_TABLES)),
        methods=methods,
        refused=tuple(refused),
        rules=tuple(_say_kept(counts, {rule["rule"] for rule in rules}, {reason for _, reason, _ in refused})),
        lost_pairs=tuple(_count_lost_pairs(lake, dump)),
        asked=tuple(_list_asked(lake, dump)),
        histograms=tuple(_draw_lengths(rows, rules)),
        contamination=tuple(_count_contamination(lake, dump)),
        verb_nouns=tuple(shown.select("verb", "noun", "instructions").iter_rows()),
        verb_noun_svg=_cut_svg(draw_verb_nouns(shown, kept.height).decode()) if has_rings else "",
        samples=_pick_samples(instructions, kept),
        rows=rows.height,
        kept=kept.height,
    )


def write_instruction_report(lake: Lake, dump: str) -> str:
    """Return the report of a dump as one self-contained HTML page; see `collect_instruction_report`."""
    from mmpipe.release.instruction_report import render_instruction_report

    report = collect_instruction_report(lake, dump)
    methods = [
        asdict(each) | ({"tokens_per_row": each.price.tokens_per_row} if each.price else {}) for each in report.methods
    ]
    return render_instruction_report(asdict(report) | {"methods": methods}, snippet_chars=SNIPPET_CHARS)


def iterate_instructions(instructions: Dataset, gone: pl.DataFrame | None = None) -> Iterator[str]:
    """Yield what is asked in every row of a dataset, but for the rows whose instruction_id is in `gone`."""
    for batch in instructions.scan().select("instruction_id", "instruction").collect_batches(chunk_size=4096):
        left = batch if gone is None else batch.join(gone, on="instruction_id", how="anti")
        yield from left.get_column("instruction")


def count_shown(instructions: Iterable[str]) -> pl.DataFrame:
    """Return the verbs and nouns that the picture shows, read by rule (Self-Instruct, arXiv 2212.10560, figure 2)."""
    from mmpipe.filtering.verb_nouns import choose_shown, count_verb_nouns, read_by_rule

    return choose_shown(count_verb_nouns((read_by_rule(text) for text in instructions), "rule"))


def count_methods(lake: Lake, dump: str, gone: pl.DataFrame) -> list[MethodFigures]:
    """Return the figures of every method; one that made no row has a line too, and its price.

    What a method asked for stands with its shards, as in the run's summary: tokens of refused candidates are paid too.

    Args:
        lake: where the datasets are.
        dump: its name.
        gone: instruction_id of the accepted rows that something removed.
    """
    candidates = lake.dataset(INSTRUCTION_CANDIDATES, dump)
    manifest = candidates.find_manifest()
    if manifest is None:
        return []
    counted: dict[str, Counter[str]] = {}
    for commit in manifest.commits:
        tried = candidates.scan_shard(commit.shard).select("instruction_id", STATUS).collect()
        accepted = tried.filter(pl.col(STATUS) == OK)
        kept = accepted.join(gone, on="instruction_id", how="anti")
        count = counted.setdefault(name_method(commit), Counter())
        count.update(candidates=tried.height, rows=accepted.height, kept=kept.height)
    prices = {price.method: price for price in price_methods(manifest)}
    found = [
        MethodFigures(name, count["candidates"], count["rows"], count["kept"], prices.get(name))
        for name, count in counted.items()
    ]
    return sorted(found, key=lambda each: (-each.candidates, each.name))


def _count_refused(lake: Lake, dump: str) -> list[tuple[str, str, int]]:
    candidates = lake.dataset(INSTRUCTION_CANDIDATES, dump)
    if candidates.find_manifest() is None:
        return []
    counted = candidates.scan().filter(pl.col(STATUS) != OK).group_by("method", STATUS).len().collect()
    return list(counted.sort(["len", "method", STATUS], descending=[True, False, False]).iter_rows())


def _tell_of(rule: Mapping[str, Any], methods: AbstractSet[str]) -> Mapping[str, Any]:
    """Return a rule without the limits of methods that the dump has no row of: they would fill the page."""
    own = {method: limits for method, limits in rule.get("by_method", {}).items() if method in methods}
    return {**rule, "by_method": own}


def _say_kept(counts: Iterable[RuleCount], limited: AbstractSet[str], refusals: AbstractSet[str]) -> list[RuleCount]:
    """Return the counts with what is kept in words also where no rule of the recipe has a limit, without refusals."""

    def say(name: str) -> str:
        if name == REVIEW_RULE:
            return "not rejected in a review"
        return "no text of the set" if name.startswith("contamination_") else "not repeated"

    told = [count for count in counts if count.name in limited or count.name not in refusals]
    return [count if count.name in limited else replace(count, limit=say(count.name)) for count in told]


def _count_lost_pairs(lake: Lake, dump: str) -> Iterator[tuple[str, str, int]]:
    for table in (PREFERENCE_PAIRS, PREFERENCE_REMOVALS):
        manifest = lake.dataset(table, dump).find_manifest()
        taken = manifest.removed_by_rule if manifest is not None else {}
        for reason, rows in sorted(taken.items(), key=lambda item: (-item[1], item[0])):
            yield table.name, reason, rows


def _list_asked(lake: Lake, dump: str) -> Iterator[RowPrice]:
    for table in INSTRUCTION_TABLES:
        manifest = lake.dataset(table, dump).find_manifest()
        # instructions are accepted candidates, and repeat what those took
        price = price_rows(manifest) if manifest is not None and table is not SYNTHESIZED_INSTRUCTIONS else None
        if price is not None and price.requests:
            yield replace(price, method=table.name)


def _draw_lengths(rows: pl.DataFrame, rules: Sequence[Mapping[str, Any]]) -> list[Histogram]:
    from mmpipe.filtering.instruction_rules import INSTRUCTION_RULES

    drawn = []
    for signal in _LENGTHS:
        known = {name for name, rule in INSTRUCTION_RULES.items() if rule.signal == signal}
        of_signal = [rule for rule in rules if rule["rule"] in known]
        limits = tuple((rule["rule"], rule.get("low"), rule.get("high")) for rule in of_signal)
        drawn.append(draw_histogram(signal, rows.get_column(signal).cast(pl.Float64), limits))
    return drawn


def _count_contamination(lake: Lake, dump: str) -> list[tuple[str, int, int]]:
    hits = lake.dataset(INSTRUCTION_CONTAMINATION, dump)
    if hits.find_manifest() is None:
        return []
    found = hits.scan().group_by("evaluation_set").agg(pl.col("instruction_id").n_unique()).collect()
    removed = lake.dataset(INSTRUCTION_REMOVALS, dump).require_manifest().removed_by_rule
    return [(name, rows, removed.get(f"contamination_{name}", 0)) for name, rows in found.sort("evaluation_set").rows()]


def _pick_samples(instructions: Dataset, kept: pl.DataFrame) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Pick a few rows per method: those with the smallest ids, which are digests and so say nothing."""
    few = kept.sort("instruction_id").group_by("method", maintain_order=True).head(SAMPLES_PER_METHOD)
    columns = ["instruction_id", "method", "instruction", "response"]
    told = instructions.read_rows(few.get_column("instruction_id").to_list(), columns).sort("method", "instruction_id")
    cut = told.with_columns(pl.col("instruction", "response").str.slice(0, SNIPPET_CHARS))
    return {
        str(method): tuple(part.select("instruction_id", "instruction", "response").to_dicts())
        for (method,), part in cut.partition_by("method", as_dict=True, maintain_order=True).items()
    }


def _cut_svg(text: str) -> str:
    """Return the picture without its XML head, as it stands in a page."""
    return text[text.index("<svg") :]
