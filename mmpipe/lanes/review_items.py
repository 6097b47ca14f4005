"""Instructions as people read them in a review: the form, the texts, and a digest that tells versions apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from mmpipe.release.review_answers import digest_shown
from mmpipe.release.review_exports import ReviewForm

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a label becomes.
VERDICT_OF = {"good": "keep", "bad": "remove"}

QUESTION = "Is the answer good (right, complete, and what the instruction asks for) or bad?"

FORM = ReviewForm(
    fields=("prompt", "response"),
    labels=tuple(VERDICT_OF),
    title=QUESTION,
    guidelines=(
        "Read the prompt, then the response. Bad: wrong, made up, unsafe, cut off, in another language than asked, or "
        "not what the prompt asks for. Where little would make it good, write the whole better response, and choose "
        "good."
    ),
    correction="correction",
    corrected="response",
)


def describe_items(rows: pl.DataFrame) -> pl.DataFrame:
    """Return instructions as people read them: item_id, prompt with all before it and tools, response, dump, method."""
    prompts, responses = [], []
    for row in rows.select("instruction", "context", "response", "turns", "tools").iter_rows(named=True):
        if row["turns"]:
            said = [f"{turn['role'].capitalize()}: {turn['content']}" for turn in row["turns"][:-1]]
            prompts.append("\n\n".join([*([row["context"]] if row["context"] else []), *said]))
            responses.append(row["turns"][-1]["content"])
        else:
            prompts.append("\n\n".join(part for part in (row["context"], row["instruction"]) if part))
            responses.append(row["response"])
        if row["tools"] is not None:
            # whether a call is right hangs on what there was to call
            prompts[-1] += f"\n\nTools: {row['tools']}"
    images = pl.col("images").list.join(", ")
    return rows.select(
        pl.col("instruction_id").alias("item_id"),
        pl.Series("prompt", prompts, dtype=pl.String),
        pl.Series("response", responses, dtype=pl.String),
        "dump",
        "method",
        pl.when(images != "").then(images).alias("images"),
    )


def digest_texts(items: pl.DataFrame) -> Mapping[str, str]:
    """Return, by item, the digest of what people see: a row that is made anew keeps its id, and may say another thing.

    Args:
        items: as `describe_items` returns them.
    """
    shown = items.select("item_id", *FORM.fields).iter_rows(named=True)
    return {row["item_id"]: digest for row in shown if (digest := digest_shown(row, FORM)) is not None}
