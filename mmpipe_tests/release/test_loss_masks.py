"""What is learnt decodes to what the assistant says, whole and with its end; anything less is refused by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.chat_tokenizer import ChatTokenizer, load_chat_tokenizer
from mmpipe.models.tokenizer import open_tokenizer
from mmpipe.release.chat_templates import (
    ChatTemplate,
    RenderedConversation,
    TemplateFault,
    render_conversation,
    take_template,
)
from mmpipe.release.loss_masks import (
    IGNORED_LABEL,
    MaskedConversation,
    count_lengths,
    mask_conversations,
    truncate,
)
from mmpipe.release.records import Conversation, ToolCall, Turn
from mmpipe_tests.release.record_strategies import TOOLS, conversations

MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")

# a template of our own: tools, calls, results, and words that say what is generated
MARKED = (
    "{{ bos_token }}{% if tools %}tools: {{ tools | tojson }}\n{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}"
    "<|im_start|>assistant{{ '\n' }}{% generation %}{{ message.content }}"
    "{% for call in message.tool_calls or [] %}"
    "[{{ call.function.name }} {{ call.function.arguments | tojson }}]{% endfor %}"
    "<|im_end|>{% endgeneration %}{{ '\n' }}"
    "{% else %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>{{ '\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% endif %}"
)
# the same text, without the marks of generation
UNMARKED = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")


@pytest.fixture(scope="module")
def whole() -> Any:
    """The tokenizer as transformers has it: the oracle."""
    return open_tokenizer(None, allow_download=False)[1]


@pytest.fixture(scope="module")
def embedded(whole: Any, tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    # out of a folder: the GGUF file takes seconds
    folder = tmp_path_factory.mktemp("tokenizer")
    whole.save_pretrained(folder)
    return load_chat_tokenizer(str(folder))


def say(*words: str) -> Conversation:
    roles = ("user", "assistant")
    return Conversation("r", tuple(Turn(roles[place % 2], text) for place, text in enumerate(words)))  # type: ignore[arg-type]


def make_template(source: str) -> ChatTemplate:
    return ChatTemplate("own", source, {"bos_token": "", "eos_token": "<|im_end|>"}, MARKS)


def decode_answers(row: MaskedConversation, tokenizer: ChatTokenizer) -> list[str]:
    return [tokenizer.decode(row.ids[begin:end].tolist()) for begin, end in row.answers]


@given(conversation=conversations(has_tools=False, most_images=0))
@settings(max_examples=150)
def test_the_embedded_template_learns_each_answer_and_its_end(
    embedded: ChatTokenizer, conversation: Conversation
) -> None:
    answers = [turn.content for turn in conversation.turns if turn.role == "assistant"]
    masked = mask_conversations([conversation], take_template(embedded), embedded)
    if masked.rows:
        (row,) = masked.rows
        assert decode_answers(row, embedded) == [f"{answer}<|im_end|>" for answer in answers]
        learnt = row.labels != IGNORED_LABEL
        assert embedded.decode(row.labels[learnt].tolist()) == "".join(f"{answer}<|im_end|>" for answer in answers)
        assert (row.ids[learnt] == row.labels[learnt]).all()
        assert (learnt == row.mask).all()
    else:
        # only white space at the begin of an answer can join the prompt's line feed
        assert masked.removed.item(0, "reason") == "inexact_tokens"
        assert any(answer[0].isspace() for answer in answers)


@given(conversation=conversations(has_tools=False, most_images=0))
@settings(max_examples=40)
def test_ids_are_those_of_the_trainers_own_rendering(
    embedded: ChatTokenizer, whole: Any, conversation: Conversation
) -> None:
    messages = [{"role": turn.role, "content": turn.content} for turn in conversation.turns]
    text = whole.apply_chat_template(messages, tokenize=False)
    rendered = render_conversation(take_template(embedded), conversation)
    assert isinstance(rendered, RenderedConversation)
    assert rendered.text == text
    assert embedded.encode_chat(text)[0] == whole(text, add_special_tokens=False)["input_ids"]


@given(conversation=conversations(most_images=0))
@settings(max_examples=100)
def test_marks_and_prefixes_find_the_same_spans_as_transformers(
    embedded: ChatTokenizer, whole: Any, conversation: Conversation
) -> None:
    marked, unmarked = (render_conversation(make_template(source), conversation) for source in (MARKED, UNMARKED))
    assert marked == unmarked
    assert isinstance(marked, RenderedConversation)
    messages: list[dict[str, Any]] = []
    for turn in conversation.turns:
        calls = [
            {"type": "function", "function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in turn.tool_calls
        ]
        messages.append({"role": turn.role, "content": turn.content} | ({"tool_calls": calls} if calls else {}))
    theirs = whole.apply_chat_template(
        messages,
        tools=[dict(tool) for tool in conversation.tools] or None,
        chat_template=MARKED.replace("{{ bos_token }}", ""),
        return_assistant_tokens_mask=True,
        return_dict=True,
    )
    masked = mask_conversations([conversation], make_template(MARKED), embedded)
    for row in masked.rows:
        assert row.ids.tolist() == theirs["input_ids"]
        assert row.mask.tolist() == [bool(flag) for flag in theirs["assistant_masks"]]


def test_the_marks_themselves_are_not_in_the_text() -> None:
    rendered = render_conversation(make_template(MARKED), say("q", "a"))
    assert isinstance(rendered, RenderedConversation)
    assert rendered.text == "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
    assert [rendered.text[begin:end] for begin, end in rendered.spans] == ["a<|im_end|>"]


CALLS = Conversation(
    "r",
    (
        Turn("user", "q"),
        Turn("assistant", "", (ToolCall("look", {"of": "x"}),)),
        Turn("tool", "7", name="look"),
        Turn("assistant", "a"),
    ),
    tools=TOOLS,
)


def test_calls_are_learnt_like_words(embedded: ChatTokenizer) -> None:
    (row,) = mask_conversations([CALLS], make_template(UNMARKED), embedded).rows
    assert decode_answers(row, embedded) == ['[look {"of": "x"}]<|im_end|>', "a<|im_end|>"]


REFUSING = "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}" + UNMARKED
# as models that think drop what they thought in earlier turns
REWRITING = UNMARKED.replace(
    "{{ message.content }}", "{{ message.content if loop.last else message.content | upper }}", 1
)
SECRETIVE = UNMARKED.replace("{{ message.role }}\n{{ message.content }}", "{{ message.role }}\n")
SWALLOWING = UNMARKED.replace("[{{ call.function.name }}", "[")
MARKING_ALL = MARKED.replace(
    "<|im_start|>{{ message.role }}\n{{ message.content }}",
    "<|im_start|>{{ message.role }}\n{% generation %}{{ message.content }}{% endgeneration %}",
)
THINKING = UNMARKED.removesuffix("{% endif %}") + "<think>{% endif %}"


@pytest.mark.parametrize(
    ("source", "conversation", "reason"),
    [
        (UNMARKED, say("q", "a <|im_end|> b"), "special_token_in_text"),
        (UNMARKED, say("q \ufdd0", "a"), "special_token_in_text"),
        (REFUSING, say("q", "a"), "template_refuses"),
        ("{{ messages[0].nothing.there }}", say("q", "a"), "template_refuses"),
        (REWRITING, say("q", "a", "r", "b"), "template_rewrites_turns"),
        (THINKING, say("q", "a"), "template_rewrites_turns"),
        (SECRETIVE, say("q", "a"), "template_drops_words"),
        (SWALLOWING, CALLS, "template_drops_calls"),
        (MARKING_ALL, say("q", "a"), "template_marks_other_turns"),
        (UNMARKED, say("q", "\n\na"), "inexact_tokens"),
    ],
)
def test_templates_that_are_not_exact_are_named(
    embedded: ChatTokenizer, source: str, conversation: Conversation, reason: str
) -> None:
    sound = replace(conversation, id="sound", turns=(Turn("user", "x"), Turn("assistant", "y")))
    masked = mask_conversations([conversation], make_template(source), embedded)
    assert masked.rows == ()
    assert masked.removed.rows()[0][:2] == ("r", reason)
    beside = mask_conversations([sound, conversation], make_template(UNMARKED), embedded)
    assert len(beside.rows) + beside.removed.height == 2


def test_the_embedded_template_drops_calls_and_says_so(embedded: ChatTokenizer) -> None:
    masked = mask_conversations([CALLS], take_template(embedded), embedded)
    assert masked.removed.item(0, "reason") == "template_drops_calls"


def test_a_template_that_tells_the_date_is_given_one(embedded: ChatTokenizer) -> None:
    source = "{{ strftime_now('%d %b %Y') }}\n" + UNMARKED
    with pytest.raises(ConfigurationError, match="give the date"):
        render_conversation(make_template(source), say("q", "a"))
    dated = replace(make_template(source), today=date(2024, 2, 29))
    rendered = render_conversation(dated, say("q", "a"))
    assert isinstance(rendered, RenderedConversation)
    assert rendered.text.startswith("29 Feb 2024\n")


def test_no_template_and_no_jinja_are_refused(embedded: ChatTokenizer) -> None:
    with pytest.raises(ConfigurationError, match="no chat template"):
        take_template(replace(embedded, chat_template=None))
    with pytest.raises(ConfigurationError, match="line 1"):
        take_template(embedded, source="{% if %}")


@given(
    lengths=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4), limit=st.integers(1, 40)
)
def test_truncation_keeps_whole_answers_or_names_the_row(lengths: list[tuple[int, int]], limit: int) -> None:
    answers, place = [], 0
    for prompt, answer in lengths:
        answers.append((place + prompt, place + prompt + answer))
        place += prompt + answer + 1
    row = MaskedConversation("r", np.arange(place, dtype=np.int32), tuple(answers))
    cut = truncate(row, limit)
    if place <= limit:
        assert cut is row
    elif limit < answers[0][1]:
        assert isinstance(cut, TemplateFault)
        assert cut.reason == "answer_longer_than_limit"
    else:
        assert isinstance(cut, MaskedConversation)
        assert len(cut.ids) <= limit
        assert cut.answers == row.answers[: len(cut.answers)]
        assert len(cut.ids) == cut.answers[-1][1]
        assert cut.cut_answers == len(answers) - len(cut.answers)
        # the next answer would not have fitted
        assert len(cut.answers) == len(answers) or answers[len(cut.answers)][1] > limit


def test_long_conversations_are_cut_at_an_answer_or_removed(embedded: ChatTokenizer) -> None:
    rows = [say("q", "a", "r", "b " * 50), replace(say("q", "a " * 80), id="long")]
    masked = mask_conversations(rows, make_template(UNMARKED), embedded, max_tokens=60)
    assert [(row.id, row.cut_answers) for row in masked.rows] == [("r", 1)]
    assert decode_answers(masked.rows[0], embedded) == ["a<|im_end|>"]
    assert masked.removed.rows()[0][:2] == ("long", "answer_longer_than_limit")
    with pytest.raises(ConfigurationError, match="max_tokens"):
        mask_conversations(rows, make_template(UNMARKED), embedded, max_tokens=0)


def test_lengths_are_counted_for_the_card() -> None:
    rows = [MaskedConversation("r", np.zeros(length, dtype=np.int32), ()) for length in (3, 4, 5, 9)]
    assert count_lengths(rows, [4, 8]) == [("up to 4", 2), ("up to 8", 1), ("more than 8", 1)]
