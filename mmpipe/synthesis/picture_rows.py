"""Plans and makes rows about pictures from a text-only teacher, and catches a reply that tells it saw none.

LLaVA (Liu et al. 2023, section 3): the teacher reads captions and boxes, and must answer as if it looked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.synthesis.drafts import Planned
from mmpipe.synthesis.grounding import list_words
from mmpipe.synthesis.judged_drafts import judge_drafts
from mmpipe.synthesis.reply_guards import is_refusal
from mmpipe.synthesis.row_account import write_details
from mmpipe.tables.chat import Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.judged_drafts import Compare, Judge
    from mmpipe.synthesis.prompts import Prompt
    from mmpipe.synthesis.row_account import Judged
    from mmpipe.synthesis.scene_evidence import Scene
    from mmpipe.tables.chat import Teacher

STAGE = "instruction_tuning"
MODE = "general_distillation.multimodal"

#: Why a text is refused that tells of what its writer read.
LEAK_REASONS = ("coordinates_leak", "evidence_leak", "cannot_see")

#: Several shares of a side in a row, or one with three decimals, as boxes are written.
_COORDINATES = re.compile(r"[\[(]\s*\d*\.\d+\s*,|\b0\.\d{3}\b|\bcoordinates?\b|坐标|座標", re.IGNORECASE)
_READING = re.compile(
    r"\bbounding[ -]box(?:es)?\b"
    r"|\b(?:the|this|these|given|provided|above)\s+(?:\w+\s+)?(?:descriptions?|annotations?|notes)\b"
    r"|\b(?:provided|given)\s+(?:information|text|sentences?|data)\b|\bas (?:mentioned|described|stated)\b"
    # 文字 may stand in the picture
    r"|(?:根据|依据|按照)(?:[^，。]{0,6}(?:描述|说明|标题|标注|笔记|资料)|[^，。图画照牌]{0,6}文字)|(?:描述|标题|标注|笔记)中(?:提到|提及|说|写)|边界框",
    re.IGNORECASE,
)
_BLIND = re.compile(
    r"\b(?:can(?:not|'t| not|’t)|unable to) (?:actually )?(?:see|view)\b[^.]*\b(?:image|picture|photo)"
    r"|(?:(?:无法|不能|没法)[^，。]{0,4}(?:看|访问|打开|识别|分析|处理)|看不到)[^，。]{0,8}(?:图片|图像|照片|图中)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAsking:
    """How a teacher is asked about pictures.

    Attributes:
        temperature: of the first attempt.
        retry_temperature: of later attempts.
        top_p: nucleus.
        max_tokens: of one reply.
        seed: of requests and of all draws.
        attempts: most requests for one row.
    """

    temperature: float = 0.0
    retry_temperature: float = 0.7
    top_p: float = 0.9
    max_tokens: int = 1024
    seed: int = 0
    attempts: int = 3


def plan_picture(
    scene: Scene,
    method: str,
    variant: str,
    prompt: Prompt,
    fields: Mapping[str, str],
    schema: Mapping[str, Any],
    asking: PictureAsking,
    *,
    instruction: str | None = None,
    stage: str = STAGE,
    mode: str = MODE,
) -> Planned:
    """Return a planned row about one picture; its id is made of method, picture and variant.

    Where the scene holds the picture itself, it stands in the last turn, before the words.
    """
    messages = prompt.render(**fields)
    if scene.picture is not None:
        messages = (*messages[:-1], replace(messages[-1], images=(scene.picture,)))
    return Planned(
        instruction_id=make_id(method, scene.pair_id, variant),
        dump=scene.dump,
        method=method,
        stage=stage,
        mode=mode,
        prompt_version=prompt.version,
        messages=messages,
        schema=schema,
        sampling=Sampling(asking.temperature, asking.top_p, asking.max_tokens, asking.seed),
        retry_temperature=asking.retry_temperature,
        evidence=scene.text,
        instruction=instruction,
        images=(scene.pair_id,),
        parents=scene.parents,
    )


def judge_pictures(
    planned: Sequence[Planned],
    teacher: Teacher,
    judge: Judge,
    *,
    details_schema: Mapping[str, pl.DataType],
    attempts: int,
    compare: Compare | None = None,
) -> Judged:
    """Return what `judged_drafts.judge_drafts` does; rows have their pictures, turns, and details as JSON.

    A detail `turns` (question and answer of each) goes into the column of that name where there are several.

    Raises:
        TeacherError: the teacher cannot answer any more.
    """
    judged = judge_drafts(planned, teacher, judge, details_schema=details_schema, attempts=attempts, compare=compare)
    images = {plan.instruction_id: list(plan.images) for plan in planned}
    told = {row.pop("instruction_id"): row for row in judged.details.to_dicts()}
    rows = []
    for row in judged.synthesis.frame.iter_rows(named=True):
        details = told[row["instruction_id"]]
        talk = details.pop("turns", ())
        if len(talk) > 1:
            row |= {"turns": make_turns(talk), "response": talk[-1]["answer"]}
        rows.append(row | {"images": images[row["instruction_id"]], "details": write_details(details)})
    frame = pl.DataFrame(rows, schema=judged.synthesis.frame.schema)
    return replace(judged, synthesis=replace(judged.synthesis, frame=frame))


def make_turns(pairs: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return question-answer pairs as the turns of a row: user and assistant, without a picture's placeholder."""
    return [
        {"role": role, "content": pair[part]}
        for pair in pairs
        for role, part in (("user", "question"), ("assistant", "answer"))
    ]


def find_leak(text: str, evidence: str) -> str:
    """Return which of LEAK_REASONS holds for a text, or an empty string.

    Words that the evidence itself has (a caption that speaks of captions) are no leak.
    """
    if _COORDINATES.search(text) and not _COORDINATES.search(evidence):
        return "coordinates_leak"
    said = {"caption", "captions"} & (set(list_words(text)) - set(list_words(evidence)))
    if said or (_READING.search(text) and not _READING.search(evidence)):
        return "evidence_leak"
    return "cannot_see" if is_refusal(text) or _BLIND.search(text) else ""


def draw(seed: int, size: int, *parts: str | int) -> int:
    """Return a number below `size` that depends on seed and parts alone; all are equally likely."""
    return int(make_id("draw", seed, *parts)[:15], 16) % size
