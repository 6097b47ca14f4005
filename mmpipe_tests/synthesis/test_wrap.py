"""WRAP: pieces that tile, the guards one by one, pieces rejoined in order, exact mixing with the real twins."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.document_pieces import cut_pieces
from mmpipe.synthesis.reply_faults import name_script
from mmpipe.synthesis.reply_guards import is_refusal, measure_copy, strip_preamble
from mmpipe.synthesis.told_numbers import list_added_numbers
from mmpipe.synthesis.wrap import PROMPTS, choose_styles, rephrase_documents
from mmpipe.synthesis.wrap_guards import Asked, read_reply
from mmpipe.synthesis.wrap_mixing import mix_with_twins
from mmpipe.synthesis.wrap_settings import WrapSettings
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest
from mmpipe.tables.rephrased import REPHRASED_DOCUMENTS


def count_words(texts: list[str] | tuple[str, ...]) -> list[int]:
    return [len(text.split()) for text in texts]


def count_characters(texts: list[str] | tuple[str, ...]) -> list[int]:
    return [len(text) for text in texts]


SENTENCES = st.lists(
    st.sampled_from(
        [
            "A cat sat. ",
            "It ran far away!\n\n",
            "Why?  ",
            "东京很大。",
            '"Go." He went. ',
            "a" * 30 + " ",
            " \n",
            "b c d e f g",
        ]
    ),
    max_size=12,
)


@given(SENTENCES, st.integers(1, 12), st.sampled_from([count_words, count_characters]))
def test_pieces_tile_the_document_and_none_is_too_long(parts: list[str], most: int, count) -> None:  # type: ignore[no-untyped-def]
    text = "".join(parts)
    pieces = cut_pieces(text, most, count)
    assert "".join(piece.before + piece.text + piece.after for piece in pieces) == (text if text.strip() else "")
    assert all(0 < size <= most for size in count([piece.text for piece in pieces]))
    assert [piece.position for piece in pieces] == list(range(len(pieces)))


def test_pieces_end_at_sentences_where_they_fit() -> None:
    text = "One two three. Four five.\n\nSix seven eight nine ten eleven. Twelve."
    assert [piece.text for piece in cut_pieces(text, 5, count_words)] == [
        "One two three. Four five.", "Six seven eight nine ten", "eleven. Twelve."]  # fmt: skip
    with pytest.raises(ConfigurationError, match="at least one token"):
        cut_pieces(text, 0, count_words)
    with pytest.raises(ConfigurationError, match="One character"):
        cut_pieces(text, 5, lambda texts: [9 for _ in texts])


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Here is a paraphrase of the text:\n\nThe cat sat.", "The cat sat."),
        ("Sure! Here's a rephrased version: The cat sat.", "The cat sat."),
        ("Certainly, below is the rewritten passage:\nThe cat sat.", "The cat sat."),
        ("Paraphrase: The cat sat.", "The cat sat."),
        ("**Rephrased text:**\nThe cat sat.", "The cat sat."),
        ("Sure!\nThe cat sat.\n\nI hope this helps!", "The cat sat."),
        ("The cat sat.\nNote: this is a paraphrase and keeps all facts.", "The cat sat."),
        ('"The cat sat."', "The cat sat."),
        ("Here is the harbour: it has two piers.", "Here is the harbour: it has two piers."),
        ("Sure, the cat sat.", "Sure, the cat sat."),
        ('"Go," he said. "Now."', '"Go," he said. "Now."'),
        ("Note: the cat sat.", "Note: the cat sat."),
    ],
)
def test_preambles_go_and_text_stays(said: str, kept: str) -> None:
    assert strip_preamble(said) == kept


BRIDGE = "The bridge was built in 1877 by Clara Benn. It has three arches."


@pytest.mark.parametrize(
    "said",
    [
        f"Okay, here's an easier version:\n\n{BRIDGE}",
        f"Here is the text for a scholarly audience:\n{BRIDGE}",
        f"Sure!\n\nHere you go:\n\n{BRIDGE}",
        f"**Text:**\n\n{BRIDGE}",
        f"Voici une paraphrase du texte :\n\n{BRIDGE}",
        f"以下是改写后的文本：{BRIDGE}",
        f"好的！以下是用简单语言改写的版本：\n{BRIDGE}",
        f"以下は言い換えた文章です：\n{BRIDGE}",
        f"{BRIDGE}\n\n(Note: I kept the names.)",
    ],
)
def test_what_stands_around_a_reply_goes_whatever_its_words(said: str) -> None:
    assert strip_preamble(said, "In 1877 Clara Benn built a bridge of three arches.") == BRIDGE


def test_a_line_with_a_colon_stays_where_the_source_may_have_it() -> None:
    source = "He gave three reasons: rain, snow and ice. Note: he was ill."
    said = "His reasons were three:\n- rain\n- snow\n- ice\nNote: he was not well."
    assert strip_preamble(said, source) == said
    assert strip_preamble(said) == said
    # a list that the reply itself begins is no preamble either
    listed = "The bridge has two parts:\n- arches\n- towers"
    assert strip_preamble(listed, "Arches and towers make the bridge.") == listed
    # a last line that begins with 注 is a note if it says so
    told = "这座桥建于1877年。\n注册方法如下：请访问网站。"
    assert strip_preamble(told, "1877年建桥，请在网站注册。") == told
    assert strip_preamble("这座桥建于1877年。\n（注：名字保留不变。）", "1877年建桥。") == "这座桥建于1877年。"
    # nor is the first label of questions and answers
    asked = "**Question 1:**\nWho built it?\n**Answer:**\nClara Benn."
    assert strip_preamble(asked, "Clara Benn built a bridge.") == asked


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("I apologize, but I can't do this.", True),
        ("很抱歉，我无法改写这段文字。", True),
        ("作为一个人工智能语言模型，我不能这样做。", True),
        ("Lo siento, pero no puedo.", True),
        ("I must decline.", True),
        ("I'm ready to help! What's your task? Go ahead and share your text with me.", True),
        ("Please provide the text you would like me to rephrase.", True),
        ("请提供您需要改写的文本。", True),
        ("The teachers share the picture with the class.", False),
        ("作为一个港口，海港镇很古老。", False),
        ("I apologized to him.", False),
    ],
)
def test_refusals_of_several_tongues(text: str, is_one: bool) -> None:
    assert is_refusal(text) is is_one


def test_refusals_copies_and_scripts() -> None:
    assert is_refusal("I'm sorry, but I can't rephrase this.")
    assert is_refusal("The text is long. As an AI language model, I do not read.")
    assert not is_refusal("The minister was sorry and could not help.")
    assert measure_copy("the cat sat on the mat", "so the cat sat on the mat again", 5) == 1.0
    assert measure_copy("the cat sat on a mat", "the cat sat on the mat", 3) == 0.5
    assert measure_copy("", "the cat", 5) == 0.0
    assert [name_script(text) for text in ("Hallo", "Привет", "東京へ", "12 !", "日本 Tokyo")] == [
        "LATIN", "CYRILLIC", "CJK", "", "LATIN"]  # fmt: skip


ONE = "The harbour museum opened in a former rope factory beside the docks in 1931."
TWO = "Its largest room holds a whale skeleton that was found on the north beach."
GOOD = {
    ONE: "In 1931 a museum began work at the port, where ropes were once made.",
    TWO: "A whale from the northern shore fills its biggest hall.",
}
DOCUMENTS = pl.DataFrame(
    {
        "doc_id": ["d1", "d2", "d0"],
        "dump": "x",
        "language": "en",
        "text": [f"{ONE}\n\n{TWO}", TWO, "  \n "],
    }
)
MEDIUM = WrapSettings(styles=("medium",), piece_tokens=14, attempts=2, temperature=0.0)


def asked_about(request: ChatRequest) -> str:
    return request.messages[-1].content.removeprefix("Text:\n")


def test_pieces_are_rejoined_in_order_with_what_stood_between_them() -> None:
    teacher = ScriptedTeacher(lambda request: f"Here is a paraphrase:\n{GOOD[asked_about(request)]}")
    made = rephrase_documents(DOCUMENTS, teacher, MEDIUM, count_words)
    assert made.synthesis.frame.schema == REPHRASED_DOCUMENTS.schema
    assert made.synthesis.frame["text"].to_list() == [f"{GOOD[ONE]}\n\n{GOOD[TWO]}", GOOD[TWO]]
    assert made.synthesis.frame["doc_id"].to_list() == ["d1", "d2"]
    assert made.synthesis.frame["pieces"].to_list() == [2, 1]
    assert made.synthesis.frame["parents"].to_list()[0] == [{"table": "deduped_corpus", "id": "d1"}]
    assert (made.synthesis.planned, made.synthesis.rejected) == (3, {"empty_document": 1})
    assert made.synthesis.frame["prompt_version"].unique().to_list() == [PROMPTS["medium"].version]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (TWO, "copied"),
        (f"Here is a paraphrase: {TWO}", "copied"),
        ("I'm sorry, I cannot help with this request about whales at all.", "refusal"),
        ("A whale.", "too_short"),
        (GOOD[TWO] * 6, "too_long"),
        ("В самом большом зале стоит скелет кита с северного берега.", "other_script"),
        ("A huge whale from the northern shore fills the biggest room since 1931.", "added_numbers"),
        ("", "empty_reply"),
        (ChatReply("A whale from the northern shore fills its", "length", 5, 8), "teacher_truncated"),
        (ChatFailure("timeout", "late"), "teacher_timeout"),
    ],
)
def test_a_document_falls_with_a_piece_that_fails_every_time(reply: str | ChatReply | ChatFailure, reason: str) -> None:
    def say(request: ChatRequest) -> str | ChatReply | ChatFailure:
        return reply if asked_about(request) == TWO else GOOD[ONE]

    made = rephrase_documents(DOCUMENTS[:1], ScriptedTeacher(say), MEDIUM, count_words)
    assert made.synthesis.frame.height == 0
    assert made.synthesis.rejected == {reason: 1}
    assert made.synthesis.rejected_replies == {reason: 2}
    assert made.candidates["reason"].to_list() == [reason]
    # the good piece is asked for once, the other twice
    assert made.synthesis.spent.requests == 3


def test_a_row_states_no_parameter_that_the_endpoint_refused() -> None:
    teacher = ScriptedTeacher(lambda request: ChatReply(GOOD[asked_about(request)], "stop", 1, 1, left_out=("top_p",)))
    made = rephrase_documents(DOCUMENTS, teacher, MEDIUM, count_words)
    stated = [json.loads(text) for text in made.synthesis.frame["sampling"]]
    assert [("top_p" in one, "temperature" in one) for one in stated] == [(False, True)] * 2


def test_a_second_attempt_is_warmer_and_saves_the_document() -> None:
    teacher = ScriptedTeacher(
        lambda request: GOOD[asked_about(request)] if request.sample_index else asked_about(request)
    )
    made = rephrase_documents(DOCUMENTS, teacher, MEDIUM, count_words)
    assert made.synthesis.frame["attempts"].to_list() == [4, 2]
    assert made.synthesis.rejected_replies == {"copied": 3}
    assert {request.sampling.temperature for request in teacher.asked} == {0.0, 0.9}


@pytest.mark.parametrize(
    ("text", "source", "added"),
    [
        ("In 1902 it had 30,000 rooms and 45 doors.", "1902: 30 000 rooms", ["45"]),
        ("1,500 of 3.14", "1.500, 3,14", []),
        ("On 2024-05-01 at 10:45", "1 May 2024, 10.45 h", []),
        ("2024-05-31", "May 2024", ["2024-05-31"]),
        ("3. Two of 7, 12 and 13", "none", ["13"]),
        ("في ٢٠٢٤ و ١٩٩٩", "2024", ["1999"]),
        ("１９４８年、1948 x² 007", "1948", []),
        ("9" * 5000, "1", ["9" * 5000]),
        ("", "1948", []),
    ],
)
def test_numbers_that_nobody_told_are_found(text: str, source: str, added: list[str]) -> None:
    assert list_added_numbers(text, source) == added


@given(st.lists(st.sampled_from(["1902", "3,000", " and ", "17.5", "中", "x", " ", "2024-05-01"]), max_size=8))
def test_a_text_adds_nothing_to_itself_whatever_stands_around(parts: list[str]) -> None:
    text = " ".join(parts)
    assert list_added_numbers(text, f"77 {text} 88") == []
    assert set(list_added_numbers(f"{text} 4711", text)) == {"4711"}


def test_how_many_numbers_may_be_added_is_set() -> None:
    reply = "A huge whale from the northern shore fills the biggest room since 1931."
    for most, rows in ((0, 0), (1, 1), (None, 1)):
        settings = replace(MEDIUM, added_numbers=most, attempts=1)
        made = rephrase_documents(DOCUMENTS[1:2], ScriptedTeacher(lambda _: reply), settings, count_words)
        assert made.synthesis.frame.height == rows


def test_a_reply_that_repeats_itself_is_refused_unless_its_piece_does() -> None:
    refrain = "The tide comes in and the tide goes out. "
    said = "In comes the sea and out goes the sea. " * 4
    for text, share, rules in (
        ("The tide comes in each day, and goes out each night, as the moon draws the whole sea.", 0.3, ["repeated"]),
        ("The tide comes in each day, and goes out each night, as the moon draws the whole sea.", None, []),
        (refrain * 4, 0.3, []),
    ):
        settings = replace(MEDIUM, repeated_share=share, length_ratio=(0.1, 9.0))
        read = read_reply(Asked(text, "medium"), ChatReply(said, "stop", 1, 1), settings)
        assert [fault.rule for fault in read.faults] == rules
        assert all((fault.high, round(fault.value or 0, 2)) == (0.3, 0.74) for fault in read.faults)


def test_questions_and_answers_must_come_in_pairs() -> None:
    settings = WrapSettings(styles=("question_answer",), piece_tokens=14, attempts=1)
    good = "Question: Where was the whale found?\nAnswer: On the beach in the north."
    made = rephrase_documents(DOCUMENTS[1:2], ScriptedTeacher(lambda _: good), settings, count_words)
    assert made.synthesis.frame["text"].to_list() == [good]
    listed = "1. **Question:** Where was the whale found?\n   **Answer:** On the beach in the north."
    made = rephrase_documents(DOCUMENTS[1:2], ScriptedTeacher(lambda _: listed), settings, count_words)
    assert made.synthesis.frame["text"].to_list() == [listed]
    both = rephrase_documents(DOCUMENTS[:1], ScriptedTeacher(lambda _: good), settings, count_words)
    assert both.synthesis.frame["text"].to_list() == [f"{good}\n\n{good}"]
    for said in (
        "Question: Where was the whale found, on which of the beaches?",
        "Answer: North.\nQuestion: Where is the whale from?",
        GOOD[TWO],
    ):
        bad = rephrase_documents(DOCUMENTS[1:2], ScriptedTeacher(lambda _, said=said: said), settings, count_words)
        assert bad.synthesis.rejected == {"question_answer_missing": 1}


def test_styles_are_drawn_by_the_document_alone() -> None:
    ids = [f"d{number}" for number in range(4000)]
    drawn = pl.Series([choose_styles(doc_id, WrapSettings())[0] for doc_id in ids]).value_counts()
    assert drawn.height == 4
    assert drawn["count"].min() > 900
    two = WrapSettings(styles_per_document=2)
    assert all(choose_styles(doc_id, two)[:1] == choose_styles(doc_id, WrapSettings()) for doc_id in ids[:50])
    teacher = ScriptedTeacher(lambda request: GOOD[asked_about(request)])
    settings = WrapSettings(styles=("easy", "medium", "hard"), styles_per_document=2, piece_tokens=14)
    one = rephrase_documents(DOCUMENTS, teacher, settings, count_words).synthesis
    other = rephrase_documents(DOCUMENTS.reverse(), teacher, settings, count_words).synthesis
    assert one.frame.sort("rephrased_id").equals(other.frame.sort("rephrased_id"))
    assert (one.planned, one.frame.height, one.rejected) == (6, 4, {"empty_document": 2})


@pytest.mark.parametrize(
    "wrong", [{"styles": ("poem",)}, {"styles_per_document": 5}, {"styles_per_document": 0}, {"attempts": 0}]
)
def test_settings_that_cannot_work_stop(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="WRAP"):
        WrapSettings(**wrong)  # type: ignore[arg-type]


def make_pair(reals: int, styles: list[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    real = pl.DataFrame({"doc_id": [f"d{n}" for n in range(reals)], "text": [f"real {n}" for n in range(reals)]})
    rows = [
        (f"r{n}-{style}", f"d{n}", str(style), f"again {n}") for n, count in enumerate(styles) for style in range(count)
    ]
    return real, pl.DataFrame(
        rows, schema=["rephrased_id", "doc_id", "style", "text"], orient="row"
    ) if rows else pl.DataFrame(
        schema={"rephrased_id": pl.String, "doc_id": pl.String, "style": pl.String, "text": pl.String}
    )


@given(st.lists(st.integers(0, 3), max_size=12), st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 2)]), st.integers(0, 3))
def test_the_ratio_is_exact_and_everything_is_accounted_for(
    styles: list[int], ratio: tuple[int, int], seed: int
) -> None:
    real, rephrased = make_pair(len(styles), styles)
    mixed = mix_with_twins(real, rephrased, ratio=ratio, seed=seed)
    assert mixed.real * ratio[1] == mixed.rephrased * ratio[0]
    assert mixed.frame["is_rephrased"].sum() == mixed.rephrased
    assert mixed.frame.height == mixed.real + mixed.rephrased
    assert (mixed.real + mixed.left_out_real, mixed.rephrased + mixed.left_out_rephrased) == (len(styles), sum(styles))
    # as large as can be
    assert mixed.left_out_real < ratio[0] or mixed.left_out_rephrased < ratio[1]
    real_ids = set(mixed.frame.filter(~pl.col("is_rephrased"))["doc_id"])
    twins = mixed.frame.filter("is_rephrased")["doc_id"]
    assert mixed.without_twin == sum(doc_id not in real_ids for doc_id in twins)
    if ratio[0] >= ratio[1]:
        assert mixed.without_twin == 0
    again = mix_with_twins(real.reverse(), rephrased.reverse(), ratio=ratio, seed=seed)
    assert again.frame.equals(mixed.frame)


def test_one_style_each_gives_every_document_with_its_twin() -> None:
    mixed = mix_with_twins(*make_pair(5, [1, 1, 0, 1, 0]))
    assert (mixed.real, mixed.rephrased, mixed.left_out_real, mixed.without_twin) == (3, 3, 2, 0)
    assert mixed.frame.group_by("doc_id").len()["len"].to_list() == [2, 2, 2]


def test_mixing_stops_on_what_cannot_be() -> None:
    real, rephrased = make_pair(2, [1, 1])
    with pytest.raises(ConfigurationError, match="whole numbers"):
        mix_with_twins(real, rephrased, ratio=(1, 0))
    with pytest.raises(ConfigurationError, match="1 rephrased documents have no real twin here, among them of 'd1'"):
        mix_with_twins(real[:1], rephrased)
    with pytest.raises(ConfigurationError, match="doc_id is not unique"):
        mix_with_twins(pl.concat([real, real]), rephrased)
