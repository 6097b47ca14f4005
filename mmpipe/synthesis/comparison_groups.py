"""Keeps the comparisons of one prompt together: in splits, in batches, and when accounts are joined.

Comparisons of one prompt are correlated, so that a split through them leaks (InstructGPT, section 3.5).
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING

import polars as pl

from mmpipe.synthesis.comparisons import COMPARISONS_SCHEMA, Comparisons
from mmpipe.synthesis.drafts import sort_counts
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def split_groups(frame: pl.DataFrame, validation_share: float, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return training and validation pairs; a prompt's pairs all stand on one side, which its id alone decides."""
    groups = frame.get_column("group_id").unique().to_list()
    chosen = [group for group in groups if int(make_id("split", seed, group)[:13], 16) < validation_share * 16**13]
    is_chosen = pl.col("group_id").is_in(chosen)
    return frame.filter(~is_chosen), frame.filter(is_chosen)


def batch_groups(frame: pl.DataFrame, pairs_per_batch: int) -> Iterator[pl.DataFrame]:
    """Yield batches of whole groups, of at most `pairs_per_batch` pairs unless one group alone has more."""
    batch: list[pl.DataFrame] = []
    for group in frame.partition_by("group_id", maintain_order=True):
        if batch and sum(part.height for part in batch) + group.height > pairs_per_batch:
            yield pl.concat(batch)
            batch = []
        batch.append(group)
    if batch:
        yield pl.concat(batch)


def name_method(comparisons: Comparisons, method: str) -> Comparisons:
    """Return comparisons as those of a method that is made of another's step: its name, and ids of its own."""
    ids = [
        make_id("comparison", method, *row)
        for row in comparisons.frame.select("group_id", "chosen_id", "rejected_id").iter_rows()
    ]
    frame = comparisons.frame.with_columns(pl.Series("pair_id", ids, dtype=pl.String), method=pl.lit(method))
    return Comparisons(frame, comparisons.planned, comparisons.left_out)


#: What tells one pair from another of its prompt: the words of both answers, as keys.
_SAID = ("group_id", "chosen", "rejected")


def key_pairs(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return pairs with a key of the words in place of each answer: pair_id, group_id, chosen, rejected.

    Args:
        pairs: the same columns, with texts.
    """
    keys = [pl.Series(name, map(_key_words, pairs.get_column(name)), dtype=pl.String) for name in _SAID[1:]]
    return pairs.select("pair_id", "group_id", *keys)


def find_fallen(keyed: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs that others repeat or deny, of one method or of several: pair_id, reason, other_id, by pair_id.

    Of two that prefer opposite answers to one prompt neither stays (`contradicted_pair`); of those with equal words
    the one with the least id does (`repeated_pair`). `other_id` is the pair that stays, or the first that denies.
    Equal texts with different scores are two verdicts on one answer, and a trainer must not be taught both.

    Args:
        keyed: as `key_pairs` returns them, of all methods.
    """
    said = list(_SAID)
    denials = keyed.select("group_id", chosen="rejected", rejected="chosen", other_id="pair_id")
    denials = denials.group_by(said).agg(pl.col("other_id").min())
    denied = keyed.join(denials, on=said, how="inner").with_columns(reason=pl.lit("contradicted_pair"))
    rest = keyed.join(denied, on="pair_id", how="anti").with_columns(other_id=pl.col("pair_id").min().over(said))
    repeated = rest.filter(pl.col("pair_id") != pl.col("other_id")).with_columns(reason=pl.lit("repeated_pair"))
    names = ["pair_id", "reason", "other_id"]
    return pl.concat([denied.select(names), repeated.select(names)]).sort("pair_id")


def _key_words(text: str) -> str:
    return blake2b(" ".join(text.split()).encode(), digest_size=16).hexdigest()


def join_comparisons(parts: Iterable[Comparisons]) -> Comparisons:
    """Return several accounts as one."""
    listed = list(parts)
    left_out: Counter[str] = Counter()
    for part in listed:
        left_out.update(part.left_out)
    frame = pl.concat([pl.DataFrame(schema=COMPARISONS_SCHEMA), *(part.frame for part in listed)])
    return Comparisons(frame, sum(part.planned for part in listed), sort_counts(left_out))
