"""Long descriptions of pictures as MiniGPT-4 has them: a model that sees describes and goes on, another mends.

Zhu et al. 2023 (arXiv 2304.10592, section 3.2): the model of the first stage describes a picture; where it stays below
80 tokens it is told to go on, and both parts are joined. ChatGPT then mends the text: repetition, broken and foreign
sentences, meaningless characters. People look at the rest (`mmpipe review`). Prompts are in our own words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.caption_polishing import PolishSettings, find_fault
from mmpipe.synthesis.drafts import Parent, make_seed
from mmpipe.synthesis.grounding import list_words
from mmpipe.synthesis.llava_prompts import DETAIL_REQUESTS
from mmpipe.synthesis.passages import split_sentences
from mmpipe.synthesis.picture_rows import LEAK_REASONS, MODE, STAGE, PictureAsking, draw, find_leak
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.reply_faults import name_script
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount, make_instruction_row, write_details
from mmpipe.tables.chat import ChatFailure, ChatMessage, ChatRequest, Sampling
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmpipe.synthesis.scene_evidence import Scene
    from mmpipe.tables.chat import ChatReply, Teacher

METHOD = "picture_descriptions"

#: Why a picture has no row, beside the teacher's failures; the last four are of `caption_polishing`.
REASONS = (
    *LEAK_REASONS,
    "empty_reply",
    "description_too_short",
    "description_unfinished",
    "description_other_script",
    "empty_caption",
    "polish_leak",
    "polish_repetition",
    "polish_ungrounded",
)

DESCRIBE = Prompt(
    "picture_descriptions/describe",
    "You look at pictures and tell what is to be seen, in English.",
    "Tell in detail what this picture shows. Leave out nothing that you see.",
)
CONTINUE = "Go on."

MEND = Prompt(
    "picture_descriptions/mend",
    "You mend descriptions of pictures. You leave out sentences that say again what was said, sentences in other "
    "languages, and signs without meaning; you finish or leave out a sentence that breaks off. You add nothing, and "
    "you say nothing about your work. A description without faults you give back as it is.",
    "Description: {description}",
    (
        (
            {
                "description": "A white ferry lies at a pier. The ferry is white and it lies at a pier. ### Zwei "
                "Möwen fliegen vorbei. Three people wait on the pier with suitcases. In the background there is a"
            },
            {"description": "A white ferry lies at a pier. Three people wait on the pier with suitcases."},
        ),
    ),
)
_SCHEMA = {
    "type": "object",
    "properties": {"description": {"type": "string", "minLength": 1, "maxLength": 8000}},
    "required": ["description"],
    "additionalProperties": False,
}
_ENDS = (".", "!", "?", '."', ".”", ".)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptionSettings:
    """How pictures are described.

    Attributes:
        least_tokens: a description with fewer is gone on with, once (80: section 3.2).
        asking: how the describer is asked, and how the mender; tokens of the mender are twice as many, as both parts
            are mended. A description that the limit of tokens cuts is mended, not refused.
        least_words: fewest words of a mended description; ours.
        mending: the checks of what was mended; ours (`caption_polishing`). Its tokens, seed and attempts are not read.
    """

    least_tokens: int = 80
    asking: PictureAsking = field(default_factory=lambda: PictureAsking(max_tokens=300))
    least_words: int = 20
    mending: PolishSettings = field(default_factory=PolishSettings)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: one is below 0, or nothing would be asked.
        """
        if min(self.least_tokens, self.least_words) < 0 or self.asking.attempts < 1:
            raise ConfigurationError(f"{METHOD}: least_tokens and least_words must be 0 or more, attempts 1 or more.")


@dataclass(slots=True)
class _Described:
    """One picture on its way."""

    scene: Scene
    instruction_id: str
    paid: Paid = field(default_factory=Paid)
    raw: str = ""
    is_continued: bool = False
    reason: str = ""
    said: str = ""
    request: ChatRequest | None = None


def make_descriptions(
    scenes: Sequence[Scene],
    describer: Teacher,
    settings: DescriptionSettings,
    count_tokens: Callable[[Sequence[str]], list[int]],
    *,
    mender: Teacher | None = None,
) -> Judged:
    """Return a row per picture: one of several requests, the mended description, and as evidence what it was before.

    Args:
        scenes: pictures, each once, with the picture itself; captions and boxes are shown to nobody.
        describer: who sees.
        settings: how.
        count_tokens: tokens of each text, for `least_tokens`.
        mender: who mends; the describer if None.

    Raises:
        TeacherError: a teacher cannot answer any more. With a reply cache, a later call repeats no paid request.
    """
    account = RowAccount()
    described = [_Described(scene, make_id(METHOD, scene.pair_id)) for scene in scenes]
    _describe(described, describer, settings, account)
    short = _list_short(described, settings, count_tokens)
    _go_on(short, describer, settings, account)
    _mend([one for one in described if not one.reason], mender or describer, settings, account)
    sizes = count_tokens([one.raw for one in described])
    for one, tokens in zip(described, sizes, strict=True):
        if one.reason or one.request is None:
            account.refuse(one.instruction_id, one.said or one.raw, one.reason)
            continue
        account.rows.append(_make_row(one, tokens, describer, mender or describer, settings))
    return account.close(pl.Schema())


def _describe(
    described: Sequence[_Described], describer: Teacher, settings: DescriptionSettings, account: RowAccount
) -> None:
    requests = [_request_description(one, settings) for one in described]
    for one, outcome in zip(described, account.ask(describer, requests), strict=True):
        one.raw = _take(one, outcome)


def _request_description(one: _Described, settings: DescriptionSettings) -> ChatRequest:
    messages = DESCRIBE.render()
    if one.scene.picture is not None:
        messages = (*messages[:-1], replace(messages[-1], images=(one.scene.picture,)))
    asking = settings.asking
    seed = make_seed(asking.seed, one.instruction_id, "describe")
    return ChatRequest(messages, Sampling(asking.temperature, asking.top_p, asking.max_tokens, seed))


def _take(one: _Described, outcome: ChatReply | ChatFailure) -> str:
    one.paid.add(outcome)
    if isinstance(outcome, ChatFailure):
        one.reason, one.said = f"teacher_{outcome.kind}", outcome.detail
        return ""
    text = " ".join(outcome.text.split())
    one.reason = find_leak(text, "") if text else "empty_reply"
    return text


def _list_short(
    described: Sequence[_Described], settings: DescriptionSettings, count_tokens: Callable[[Sequence[str]], list[int]]
) -> list[_Described]:
    sizes = count_tokens([one.raw for one in described])
    return [
        one for one, tokens in zip(described, sizes, strict=True) if not one.reason and tokens < settings.least_tokens
    ]


def _go_on(short: Sequence[_Described], describer: Teacher, settings: DescriptionSettings, account: RowAccount) -> None:
    """Have short descriptions gone on with, and join both parts; one that cannot be gone on with stays as it is."""
    requests = []
    for one in short:
        asked = _request_description(one, settings)
        messages = (*asked.messages, ChatMessage("assistant", one.raw), ChatMessage("user", CONTINUE))
        seed = make_seed(settings.asking.seed, one.instruction_id, "continue")
        requests.append(ChatRequest(messages, replace(asked.sampling, seed=seed)))
    for one, outcome in zip(short, account.ask(describer, requests), strict=True):
        one.paid.add(outcome)
        if isinstance(outcome, ChatFailure):
            account.refuse_reply(f"teacher_{outcome.kind}")
            continue
        more = " ".join(outcome.text.split())
        if fault := find_leak(more, ""):
            account.refuse_reply(fault)
        elif more:
            one.raw, one.is_continued = f"{one.raw} {more}", True


def _mend(described: Sequence[_Described], mender: Teacher, settings: DescriptionSettings, account: RowAccount) -> None:
    """Have descriptions mended, again with another seed where the reply will not do."""
    waiting = list(described)
    for attempt in range(settings.asking.attempts):
        requests = [_request_mending(one, attempt, settings) for one in waiting]
        still = []
        for one, request, outcome in zip(waiting, requests, account.ask(mender, requests), strict=True):
            one.paid.add(outcome)
            if isinstance(outcome, ChatFailure):
                one.reason, one.said = f"teacher_{outcome.kind}", outcome.detail
            else:
                one.said = " ".join(str(json.loads(outcome.text)["description"]).split())
                one.reason = find_description_fault(one.said, one.raw, settings)
            one.request = request
            if one.reason:
                still.append(one)
                if attempt + 1 < settings.asking.attempts:
                    account.refuse_reply(one.reason)
        waiting = still
        if not waiting:
            return


def _request_mending(one: _Described, attempt: int, settings: DescriptionSettings) -> ChatRequest:
    asking = settings.asking
    sampling = Sampling(
        asking.retry_temperature if attempt else 0.0,
        asking.top_p,
        2 * asking.max_tokens,
        make_seed(asking.seed, one.instruction_id, "mend", attempt),
    )
    return ChatRequest(MEND.render(description=one.raw), sampling, _SCHEMA, sample_index=attempt)


def find_description_fault(text: str, raw: str, settings: DescriptionSettings) -> str:
    """Return why a mended description is refused, one of REASONS; an empty string if it is not.

    It is held to what it was made of: what the mender adds, repeats, leaves broken or in another script is refused.
    """
    if fault := find_fault(text, raw, settings.mending):
        return fault
    if len(list_words(text)) < settings.least_words:
        return "description_too_short"
    if not text.endswith(_ENDS):
        return "description_unfinished"
    scripts = {name_script(sentence, least_letters=3) for sentence in split_sentences(text)}
    return "description_other_script" if scripts - {"", "LATIN"} else find_leak(text, "")


def _make_row(
    one: _Described, tokens: int, describer: Teacher, mender: Teacher, settings: DescriptionSettings
) -> dict[str, Any]:
    assert one.request is not None, one.instruction_id
    # a row states the parameters of the model that it names
    asked, mending = _request_description(one, settings).sampling, one.request.sampling
    request = DETAIL_REQUESTS[draw(settings.asking.seed, len(DETAIL_REQUESTS), METHOD, one.scene.pair_id)]
    details = {
        "described_by": describer.name,
        "mended_by": mender.name,
        "mended_with": {"temperature": mending.temperature, "top_p": mending.top_p, "seed": mending.seed},
        "described_tokens": tokens,
        "is_continued": one.is_continued,
    }
    row = make_instruction_row(
        instruction_id=one.instruction_id,
        dump=one.scene.dump,
        method=METHOD,
        stage=STAGE,
        mode=MODE,
        instruction=request,
        response=one.said,
        parents=[Parent("filtered_image_pairs", one.scene.pair_id)],
        teacher=describer.name,
        prompt_version=f"{DESCRIBE.version}+{MEND.version}",
        sampling=asked,
        paid=one.paid,
        evidence=one.raw,
    )
    return row | {"images": [one.scene.pair_id], "details": write_details(details)}
