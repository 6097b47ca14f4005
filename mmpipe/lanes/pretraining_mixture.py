"""Plans how often each source of training sequences is read, by the recipe, and holds what was published to it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError, name_nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.filtering.pretraining_sections import PretrainingSettings
    from mmpipe.lanes.pretraining_sources import PretrainingSource
    from mmpipe.sampling.mixing import SourceShare
    from mmpipe.storage.lake import Dataset

_log = logging.getLogger(__name__)

#: Passes up to which a document teaches nearly as much as a new one (Muennighoff et al. 2023, arXiv 2305.16264).
_WORTHWHILE_EPOCHS = 4


@dataclass(frozen=True, slots=True)
class MixturePlan:
    """How often sources are read.

    Attributes:
        epochs: passes over each dump, by its name.
        once_more: documents that are read once more than the whole epochs ask, by source.
        counted: doc_id, source and tokens of all documents; None where the recipe needs no counts.
        total_tokens: tokens that the recipe asks for; None where it asks for none.
    """

    epochs: Mapping[str, float]
    once_more: Mapping[str, Sequence[str]]
    counted: pl.DataFrame | None = None
    total_tokens: int | None = None


def plan_sources(settings: PretrainingSettings, sources: Sequence[PretrainingSource], tokenizer: Any) -> MixturePlan:
    """Return how often each dump is read, and which documents a part of an epoch takes.

    A part of an epoch is chosen over a whole source, so that the choice does not depend on how the corpus was sharded.
    Documents are counted, in a pass of their own, only where the plan needs it; ids and counts alone are held.

    Raises:
        ConfigurationError: the recipe names a source that there is not, or leaves one out.
    """
    from mmpipe.sampling.mixing import choose_documents

    dumps = sorted({source.dump for source in sources})
    _tell_unknown(settings, dumps)
    total = find_total(settings)
    epochs = {dump: settings.epochs.get(dump, 1.0) for dump in dumps}
    if not settings.is_planned and all(number == math.floor(number) for number in epochs.values()):
        return MixturePlan(epochs, {source.name: [] for source in sources})
    counts = {source.name: count_documents(source, tokenizer) for source in sources}
    if settings.is_planned:
        sizes = dict.fromkeys(dumps, 0)
        for source in sources:
            sizes[source.dump] += int(counts[source.name].get_column("tokens").sum())
        epochs = plan_epochs(settings, sizes, total)
        _tell_repeated(epochs)
    once_more = {}
    for source in sources:
        fraction = epochs[source.dump] - math.floor(epochs[source.dump])
        chosen = choose_documents(counts[source.name], {source.name: fraction}, settings.seed)
        once_more[source.name] = sorted(chosen.get_column("doc_id"))
    counted = pl.concat(counts.values()) if counts else None
    return MixturePlan(epochs, once_more, counted, total)


def find_total(settings: PretrainingSettings) -> int | None:
    """Return the tokens that the recipe asks for, by number or by the parameters of the model."""
    from mmpipe.sampling.mixture_recipes import plan_token_budget

    return settings.total_tokens if settings.parameters is None else plan_token_budget(settings.parameters)


def plan_epochs(settings: PretrainingSettings, sizes: Mapping[str, int], total: int | None) -> dict[str, float]:
    """Return the passes over each dump that give the recipe's shares.

    Dumps that are parts of one source are read equally often. A dump without documents is not read.

    Args:
        settings: of the recipe.
        sizes: tokens of each dump.
        total: tokens asked for; None for as many as there are without reading a source more than once.

    Raises:
        ConfigurationError: a source is in no mixture, or nothing gives it a share.
    """
    from mmpipe.sampling.mixing import plan_mixture
    from mmpipe.sampling.mixture_recipes import load_mixture, plan_recipe

    sources: dict[str, int] = {}
    names = {dump: settings.source_names.get(dump, dump) for dump, tokens in sizes.items() if tokens}
    for dump, name in names.items():
        sources[name] = sources.get(name, 0) + sizes[dump]
    if not sources:
        return dict.fromkeys(sizes, 0.0)
    shares: list[SourceShare]
    if settings.mixture:
        mixture = load_mixture(settings.mixture)
        unknown = next((dump for dump, name in names.items() if name not in mixture.weights), None)
        if unknown is not None:
            known = ", ".join(mixture.weights)
            raise ConfigurationError(
                f"pretraining.mixture: {settings.mixture} has no source {names[unknown]!r}, which dump {unknown} is to "
                f"be part of. Say which of its sources each dump is: `source_names: {{{unknown}: …}}` ({known})."
            )
        shares = plan_recipe(mixture, sources, by=settings.mixture_by, total_tokens=total)
    elif settings.weights:
        missing = sorted(set(settings.weights) - set(sources))
        if missing:
            _log.warning("pretraining.weights: of %s there is no document; the others share its part.", missing[0])
        given = {name: settings.weights[name] for name in sources if name in settings.weights}
        without = sorted(set(sources) - set(given))
        if without:
            raise ConfigurationError(
                f"pretraining.weights: nothing gives {without[0]!r} a share; write 0 to leave it out."
                f"{name_nearest(without[0], settings.weights)}"
            )
        shares = plan_mixture(sources, weights=given, total_tokens=total)
    else:
        shares = plan_mixture(sources, weights=sources, total_tokens=total)
    by_source = {share.source: share.epochs for share in shares}
    return {dump: by_source[names[dump]] if dump in names else 0.0 for dump in sizes}


def count_documents(source: PretrainingSource, tokenizer: Any) -> pl.DataFrame:
    """Return doc_id, source and tokens of a source's documents, each with its end-of-text."""
    frames = [pl.DataFrame(schema={"doc_id": pl.String, "source": pl.String, "tokens": pl.Int64})]
    for commit in source.dataset.require_manifest().commits:
        rows = source.read(commit.shard)
        tokens = [len(ids) + 1 for ids in tokenizer.encode_batch(rows.get_column("text").to_list())]
        frames.append(rows.select("doc_id", "source", tokens=pl.Series(tokens, dtype=pl.Int64)))
    return pl.concat(frames)


def account_published(dataset: Dataset, sources: Sequence[PretrainingSource], plan: MixturePlan) -> list[list[str]]:
    """Return the card's table, its heads first: what is read of each source, how often, and what was planned.

    Counted from the published sequences themselves; a plan is held to them, document by document.

    Raises:
        InvariantBroken: the sequences hold other documents, or documents more or less often, than the plan says.
    """
    from mmpipe.sampling.mixing import account_mixture, plan_mixture

    pieces = dataset.scan().select("source", "epoch", "doc_ids", "doc_lengths").explode("doc_ids", "doc_lengths")
    read = (
        pieces.group_by("source", "epoch", doc_id="doc_ids")
        .agg(tokens=pl.col("doc_lengths").cast(pl.Int64).sum())
        .collect(engine="streaming")
    )
    epochs = {source.name: plan.epochs[source.dump] for source in sources}
    planned: dict[str, int] = {}
    if plan.counted is not None:
        known = plan.counted.group_by("source").agg(pl.col("tokens").sum())
        sizes = dict.fromkeys(epochs, 0) | dict(known.iter_rows())
        shares = plan_mixture(sizes, epochs={name: number if sizes[name] else 0 for name, number in epochs.items()})
        account_mixture(shares, plan.counted, read.select("doc_id", "source", "tokens", "epoch"))
        planned = {share.source: share.planned_tokens for share in shares}
    total = int(read.get_column("tokens").sum()) or 1
    table = [["Source", "Documents read", "Tokens read", "Share", "Epochs", "Tokens planned"]]
    for name, number in sorted(epochs.items()):
        own = read.filter(pl.col("source") == name)
        tokens = int(own.get_column("tokens").sum())
        wanted = f"{planned[name]:,}" if planned else ""
        table.append([name, f"{own.height:,}", f"{tokens:,}", f"{100 * tokens / total:.2f} %", f"{number:.4g}", wanted])
    return table


def tell_total(plan: MixturePlan) -> list[str]:
    """Return what the card tells of the tokens asked for, in a sentence; nothing where none were."""
    if plan.total_tokens is None:
        return []
    most = max(plan.epochs.values(), default=0.0)
    return [f"Asked for were {plan.total_tokens:,} tokens in all; the source read most often is read {most:.4g} times."]


def _tell_repeated(epochs: Mapping[str, float]) -> None:
    dump, most = max(epochs.items(), key=lambda item: item[1], default=("", 0.0))
    if most > _WORTHWHILE_EPOCHS:
        _log.warning(
            "pretraining: %s is read %.4g times, so that the recipe's tokens are reached. What is read more than %d "
            "times teaches a model little. Ask for fewer tokens, or add documents.",
            dump, most, _WORTHWHILE_EPOCHS,
        )  # fmt: skip


def _tell_unknown(settings: PretrainingSettings, dumps: Sequence[str]) -> None:
    for key in ("epochs", "source_names"):
        for name in getattr(settings, key):
            if name not in dumps:
                near = name_nearest(name, dumps)
                _log.warning("pretraining.%s: there is no dump %r to read.%s", key, name, near)
