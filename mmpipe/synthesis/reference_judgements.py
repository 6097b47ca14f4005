"""Judges responses without a judge: their word overlap with the accepted answer, for where no teacher is fit to judge.

The score is the F1 of words, as SQuAD scores free answers (Rajpurkar et al. 2016, section 6.1), set on 1 to 10. Words
of grammar do not count, but for those that turn an answer round: "no", "not", and the sign of a number.
A model of a hundred million parameters gives nearly every answer the same mark; this criterion is stated, reproducible
and costs nothing, though it can only say how much of the reference a response has, and not whether it is well said.
"""

from __future__ import annotations

import json
import re
from collections import Counter

import polars as pl

from mmpipe.synthesis.cut_answers import CUT, mark_cut
from mmpipe.synthesis.drafts import Spent, Synthesis
from mmpipe.synthesis.grounding import list_content_words, list_words
from mmpipe.tables.identity import make_id
from mmpipe.tables.instructions import JUDGEMENTS

CRITERION = "answer_f1"

_DENIALS = frozenset(("no", "not"))
_SIGN = re.compile(r"(?<![\w)])[-−](?=\d)")


def judge_by_reference(responses: pl.DataFrame, instructions: pl.DataFrame) -> Synthesis:
    """Return one judgement per response, in order, by the criterion `answer_f1`.

    Args:
        responses: columns response_id, instruction_id, dump, response; one whose finish_reason is `length` is marked
            `cut_answer` and has no score.
        instructions: columns instruction_id, response (the accepted answer).
    """
    references = instructions.select("instruction_id", pl.col("response").alias("reference"))
    rows = (
        responses.select("response_id", "instruction_id", "dump", "response", mark_cut(responses).alias("is_cut"))
        .join(references, on="instruction_id", how="inner", maintain_order="left", validate="m:1")
        .rows(named=True)
    )
    made = []
    for row in rows:
        precision, recall = measure_overlap(row["response"], row["reference"])
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        made.append(
            {
                "judgement_id": make_id("judgement", row["response_id"], CRITERION),
                "response_id": row["response_id"],
                "instruction_id": row["instruction_id"],
                "dump": row["dump"],
                "criterion": CRITERION,
                "score": None if row["is_cut"] else round(1 + 9 * f1, 4),
                "judgement_status": CUT if row["is_cut"] else "ok",
                "judgement": json.dumps({"precision": round(precision, 4), "recall": round(recall, 4)}),
                "teacher": f"rule:{CRITERION}@2",
                "prompt_version": CRITERION,
                "sampling": "{}",
                "seed": 0,
                "attempts": 0 if row["is_cut"] else 1,
                "prompt_tokens": 0,
                "completion_tokens": 0,
            }
        )
    return Synthesis(JUDGEMENTS.conform(pl.DataFrame(made, schema=JUDGEMENTS.schema)), len(rows), {}, {}, Spent())


def measure_overlap(response: str, reference: str) -> tuple[float, float]:
    """Return precision and recall of the response's words against the reference's, counted with repeats.

    Where one of the two has words of grammar alone ("no", "A", "who"), every word of both counts.
    """
    texts = [_SIGN.sub(" minus ", text) for text in (response, reference)]
    said, wanted = (Counter(_list_telling(text)) for text in texts)
    if not said or not wanted:
        said, wanted = (Counter(list_words(text)) for text in texts)
    shared = (said & wanted).total()
    if not said or not wanted:
        return float(said == wanted), float(said == wanted)
    return shared / said.total(), shared / wanted.total()


def _list_telling(text: str) -> list[str]:
    content = set(list_content_words(text)) | _DENIALS
    return [word for word in list_words(text) if word in content]
