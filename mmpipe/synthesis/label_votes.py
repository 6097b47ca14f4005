"""Has a model label items by nine prompts each, and gives people those on which its votes disagree most.

CoAnnotating (Li et al. 2023, section 3): the entropy of a model's labels over different prompts says how unsure it is;
the items with the least entropy keep the model's label, the others go to people, as many as the budget allows.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.drafts import Spent, make_seed, sort_counts
from mmpipe.synthesis.label_prompts import UNPARSED, LabelTask, list_variants
from mmpipe.synthesis.rater_agreement import (
    measure_cohen_kappa,
    measure_fleiss_kappa,
    measure_krippendorff_alpha,
)
from mmpipe.tables.chat import ChatFailure, ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.tables.chat import Teacher

VOTES_SCHEMA = pl.Schema(
    {
        "item_id": pl.String,
        "variant": pl.String,
        "vote": pl.String,
        "reply": pl.String,
        "teacher": pl.String,
        "prompt_version": pl.String,
    }
)

#: `annotator` is `model`, `people`, or `nobody`: an item without a label that the budget has no room for.
ALLOCATION_SCHEMA = pl.Schema(
    {
        "item_id": pl.String,
        "model_label": pl.String,
        "entropy": pl.Float64,
        "votes": pl.Int64,
        "unparsed": pl.Int64,
        "rank": pl.Int64,
        "annotator": pl.String,
    }
)


@dataclass(frozen=True, slots=True)
class Votes:
    """A model's votes: planned = rows.

    Attributes:
        frame: `VOTES_SCHEMA`; a reply that is no label has the vote `unparsed`.
        unparsed: votes that are no label, by reason.
        spent: requests and tokens.
    """

    frame: pl.DataFrame
    unparsed: dict[str, int]
    spent: Spent


@dataclass(frozen=True, slots=True)
class Merged:
    """Final labels, and how far people and model agree.

    Attributes:
        frame: item_id, label (null if nobody gave one), labelled_by (`people`, `model` or `nobody`), model_label,
            entropy, people_labels.
        unknown: labels of items that were not asked about.
        model_kappa: Cohen's kappa of the model's label and people's majority, where both are.
        people_kappa: Fleiss' kappa among people, over the items with the most frequent number of labels, if above one.
        people_items: items of that.
        disagreements: items where people's labels are tied: they have no label.
        people_alpha: Krippendorff's alpha among people, over all items with two labels or more, however many each has.
    """

    frame: pl.DataFrame
    unknown: int
    model_kappa: float | None
    people_kappa: float | None
    people_items: int
    disagreements: int
    people_alpha: float | None = None


def collect_votes(
    items: pl.DataFrame, task: LabelTask, teacher: Teacher, *, max_tokens: int = 16, seed: int = 0
) -> Votes:
    """Return nine votes per item, greedy, one by each prompt variant.

    Args:
        items: columns item_id, text.
        task: what is asked and which labels there are.
        teacher: who votes.
        max_tokens: of one reply.
        seed: of the requests.

    Raises:
        ConfigurationError: the task has fewer than two labels or two that read alike, or an item_id stands twice.
        TeacherError: the teacher cannot answer any more.
    """
    if items.get_column("item_id").is_duplicated().any():
        raise ConfigurationError("An item_id stands twice among the items to be labelled.")
    variants = list_variants(task)
    asked = [
        (row, variant)
        for row in items.sort("item_id").select("item_id", "text").rows(named=True)
        for variant in variants
    ]
    requests = [
        ChatRequest(
            variant.prompt.render(text=row["text"]),
            Sampling(max_tokens=max_tokens, seed=make_seed(seed, row["item_id"], variant.name)),
        )
        for row, variant in asked
    ]
    spent = Spent()
    unparsed: Counter[str] = Counter()
    made = []
    for (row, variant), reply in zip(asked, teacher.answer(requests), strict=True):
        spent.add(reply)
        failed = isinstance(reply, ChatFailure)
        said = "" if isinstance(reply, ChatFailure) else reply.text
        vote = variant.read(said)
        if vote == UNPARSED:
            unparsed[f"teacher_{reply.kind}" if isinstance(reply, ChatFailure) else "no_label"] += 1
        made.append(
            (row["item_id"], variant.name, UNPARSED if failed else vote, said, teacher.name, variant.prompt.version)
        )
    return Votes(pl.DataFrame(made, schema=VOTES_SCHEMA, orient="row"), sort_counts(unparsed), spent)


def measure_entropy(votes: Mapping[str, int]) -> float:
    """Return the entropy of votes in bits: 9 to 0 has 0, 5 to 4 has 0.991."""
    whole = sum(votes.values())
    shares = [count / whole for count in votes.values() if count]
    # a sum that does not hang on the order of the labels, so that 5 to 4 equals 4 to 5; -0.0 for one label alone
    return abs(-math.fsum(share * math.log2(share) for share in shares))


def allocate(votes: pl.DataFrame, people_budget: int, *, seed: int = 0) -> pl.DataFrame:
    """Return who labels each item, `ALLOCATION_SCHEMA`: people the least certain ones, as many as the budget.

    `unparsed` is a label of its own in the entropy, but can label nothing: nine unreadable votes are unanimous and
    would go to the model. Items whose most frequent vote is unreadable, or shared by two labels, have no label by the
    model and go to people first. Equal entropies are ordered by hash.

    Args:
        votes: `VOTES_SCHEMA`.
        people_budget: items people can label.
        seed: of the order of equals.

    Raises:
        ConfigurationError: the budget is negative.
    """
    if people_budget < 0:
        raise ConfigurationError(f"People cannot label {people_budget} items.")
    counted: dict[str, Counter[str]] = {}
    for item_id, vote in votes.select("item_id", "vote").iter_rows():
        counted.setdefault(item_id, Counter())[vote] += 1
    rows = [(item_id, find_majority(count), measure_entropy(count), count) for item_id, count in counted.items()]
    # least certain last; without a label after everything else
    rows.sort(key=lambda row: (row[1] is None, row[2], make_id("allocate", seed, row[0])))
    made = []
    for rank, (item_id, label, entropy, count) in enumerate(rows):
        is_for_people = rank >= len(rows) - people_budget
        annotator = "people" if is_for_people else "model" if label is not None else "nobody"
        made.append((item_id, label, entropy, sum(count.values()), count[UNPARSED], rank, annotator))
    return pl.DataFrame(made, schema=ALLOCATION_SCHEMA, orient="row")


def find_majority(votes: Mapping[str, int]) -> str | None:
    """Return the most frequent label; None if it is `unparsed` or if two are equally frequent."""
    most = max(votes.values(), default=0)
    first = [label for label, count in votes.items() if count == most]
    return first[0] if len(first) == 1 and first[0] != UNPARSED else None


def merge_labels(allocation: pl.DataFrame, reviews: pl.DataFrame) -> Merged:
    """Return final labels: people's majority where people spoke, else the model's if the item was left to it.

    People are the final arbiter: their label counts also where an item was allocated to the model.

    Args:
        allocation: `ALLOCATION_SCHEMA`.
        reviews: columns item_id, annotator, label, as `release.review_answers` reads them back; null labels do not
            count, and of one person's several labels of an item the last one does.
    """
    said = reviews.filter(pl.col("label").is_not_null()).unique(
        ["item_id", "annotator"], keep="last", maintain_order=True
    )
    known = set(allocation.get_column("item_id"))
    by_item: dict[str, Counter[str]] = {}
    for item_id, label in said.select("item_id", "label").iter_rows():
        if item_id in known:
            by_item.setdefault(item_id, Counter())[label] += 1
    made: list[dict[str, Any]] = []
    ties = 0
    both: list[tuple[str, str]] = []
    for row in allocation.rows(named=True):
        people = by_item.get(row["item_id"], Counter())
        decided = find_majority(people)
        ties += bool(people) and decided is None
        if decided is not None and row["model_label"] is not None:
            both.append((decided, row["model_label"]))
        label = decided if people else row["model_label"] if row["annotator"] == "model" else None
        made.append(
            {
                "item_id": row["item_id"],
                "label": label,
                "labelled_by": "nobody" if label is None else "people" if people else "model",
                "model_label": row["model_label"],
                "entropy": row["entropy"],
                "people_labels": people.total(),
            }
        )
    rated = _choose_rated(list(by_item.values()))
    return Merged(
        pl.DataFrame(made, schema_overrides={"label": pl.String, "model_label": pl.String}),
        sum(item_id not in known for item_id in said.get_column("item_id")),
        measure_cohen_kappa([one for one, _ in both], [other for _, other in both]),
        measure_fleiss_kappa(rated),
        len(rated),
        ties,
        measure_krippendorff_alpha(list(by_item.values())),
    )


def trace_frontier(allocation: pl.DataFrame, truth: Mapping[str, str], shares: Sequence[float]) -> pl.DataFrame:
    """Return cost against quality: for each share of items given to people, how many labels are right.

    People are taken to be right, which makes it the highest quality the budget can buy.

    Args:
        allocation: `ALLOCATION_SCHEMA`; its ranks count, not its annotators.
        truth: label by item id.
        shares: of the items that people label, 0 to 1.

    Returns:
        people_share, people_items, model_items, model_accuracy (null without any), accuracy, by_chance: the accuracy
        that a random choice of the same size is expected to have.
    """
    ordered = allocation.sort("rank").select("item_id", "model_label").rows()
    is_right = [label is not None and truth[item_id] == label for item_id, label in ordered]
    rows = []
    for share in shares:
        people = round(share * len(is_right))
        kept = is_right[: len(is_right) - people]
        accuracy = (sum(kept) + people) / len(is_right)
        by_chance = (sum(is_right) / len(is_right)) * (1 - people / len(is_right)) + people / len(is_right)
        rows.append((share, people, len(kept), sum(kept) / len(kept) if kept else None, accuracy, by_chance))
    names = ["people_share", "people_items", "model_items", "model_accuracy", "accuracy", "by_chance"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _choose_rated(counts: Sequence[Counter[str]]) -> list[Counter[str]]:
    """Return the items with the most frequent number of labels above one; of equally frequent ones, the larger."""
    sizes = Counter(count.total() for count in counts if count.total() > 1)
    if not sizes:
        return []
    size = max(sizes, key=lambda number: (sizes[number], number))
    return [count for count in counts if count.total() == size]
