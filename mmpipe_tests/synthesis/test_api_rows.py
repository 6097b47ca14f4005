"""Instruction–API rows and the scoring of calls: trees, not substrings; references score 100 % against themselves."""

from __future__ import annotations

import json
import keyword
from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.models.scripted_teacher import ScriptedTeacher
from mmpipe.synthesis.api_calls import CallTree, check_references, judge_calls, read_calls, read_reference
from mmpipe.synthesis.api_rows import REASONS, ApiRowSettings, make_api_rows, names_api
from mmpipe.tables.chat import ChatFailure, ChatReply, ChatRequest

CALLS = {
    "resnet": "torch.hub.load(repo_or_dir='pytorch/vision', model='resnet50', pretrained=True)",
    "resnet18": "torch.hub.load(repo_or_dir='pytorch/vision', model='resnet18', pretrained=True)",
    "hub": "torch.hub.load(repo_or_dir='pytorch/vision')",
    "bert": "AutoModel.from_pretrained('bert-base-uncased')",
    "pipe": "pipeline('summarization', model='acme/sum-3')(text)",
}
REFERENCES = {number: read_reference(text) for number, text in CALLS.items()}


@pytest.mark.parametrize(
    ("answer", "verdict", "found"),
    [
        (CALLS["resnet"], "right", ("resnet",)),
        (f"m = {CALLS['resnet'][:-1]}, force=1).eval()", "right", ("resnet",)),
        ("torch.hub.load(model='resnet50', pretrained=True, repo_or_dir='pytorch/vision')", "right", ("resnet",)),
        (f"Use this:\n```python\nimport torch\nmodel = {CALLS['resnet']}\n```\nDone.", "right", ("resnet",)),
        (f"First load it (it is big!).\n{CALLS['resnet']}\nThen enjoy.", "right", ("resnet",)),
        (f"wrap(run({CALLS['resnet']}))", "right", ("resnet",)),
        (CALLS["resnet18"], "wrong", ("resnet18",)),
        (f"{CALLS['resnet']}\n{CALLS['bert']}", "ambiguous", ("bert", "resnet")),
        # all words of the reference, and yet another call: a substring, or a comment, is no call
        ("torch.hub.load(repo_or_dir='pytorch/vision', model='resnet50', pretrained=False)", "wrong", ("hub",)),
        (f"# {CALLS['resnet']}\nprint('hello')", "hallucination", ()),
        (f"load_it({CALLS['resnet']!r})", "hallucination", ()),
        # by position or by keyword: the published script compares values
        ("torch.hub.load('pytorch/vision', 'resnet50', pretrained=True)", "right", ("resnet",)),
        ("torch.hub.load('pytorch/vision', 'resnet50', pretrained=False)", "wrong", ("hub",)),
        ("torch.hub.load(model='pytorch/vision', repo_or_dir='resnet50', pretrained=True)", "hallucination", ()),
        # within words: the published rows' own form, lists, marks, several lines, a card
        (f"<<<domain>>>: Vision\n<<<api_call>>>: m = {CALLS['resnet']}\n<<<code>>>: 1. Load.", "right", ("resnet",)),
        (f"You want `{CALLS['resnet']}`, I think.", "right", ("resnet",)),
        (f"1. {CALLS['resnet'].replace(' ', chr(10))}\n2. Run it.", "right", ("resnet",)),
        (json.dumps({"api_call": CALLS["resnet"]}), "right", ("resnet",)),
        (f"Not {CALLS['bert']} but {CALLS['resnet18']}.", "wrong", ("bert", "resnet18")),
        ("The image(s) of step(2), see f(x) and e.g.(that).", "no_call", ()),
        ("mytorch.hub.load(repo_or_dir='pytorch/vision', model='resnet50', pretrained=True)", "hallucination", ()),
        ("Please use a residual network.", "no_call", ()),
        ("", "no_call", ()),
        ("((((" * 200, "no_call", ()),
    ],
)  # fmt: skip
def test_a_call_is_what_its_tree_says(answer: str, verdict: str, found: tuple[str, ...]) -> None:
    judged = judge_calls(answer, "resnet", REFERENCES)
    assert (judged.verdict, judged.found) == (verdict, found)


def test_the_references_score_all_right_against_themselves() -> None:
    assert check_references(CALLS) == {}
    assert check_references({**CALLS, "both": f"{CALLS['bert']}; {CALLS['resnet']}"})["both"].verdict == "ambiguous"


def test_equal_references_are_one_api() -> None:
    assert check_references({"a": "f(x=1)", "b": "f( x = 1 )"}) == {}


def test_the_outermost_named_call_is_the_reference() -> None:
    assert read_reference("a.b(c(1), k=d(2))").name == "a.b"
    assert read_reference(CALLS["pipe"]).name == "pipeline"
    assert [call.name for call in read_calls("f(1)(2).g()")] == ["f"]
    with pytest.raises(ConfigurationError, match="is no call"):
        read_reference("torch.hub")
    with pytest.raises(ConfigurationError, match="not among"):
        judge_calls("f()", "absent", REFERENCES)


NAMES = st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5}){0,2}", fullmatch=True).filter(
    lambda name: not any(keyword.iskeyword(part) for part in name.split("."))
)  # fmt: skip
VALUES = st.recursive(
    st.integers() | st.text(max_size=5) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(NAMES, st.dictionaries(st.sampled_from("abcde"), VALUES), st.dictionaries(st.sampled_from("vwxyz"), VALUES))
def test_more_arguments_leave_a_call_right_and_fewer_do_not(
    name: str, stated: dict[str, object], more: dict[str, object]
) -> None:
    def write(arguments: dict[str, object]) -> str:
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"

    references = {"it": read_reference(write(stated))}
    assert judge_calls(write({**more, **stated}), "it", references).verdict == "right"
    if stated:
        del stated[next(iter(stated))]
        assert judge_calls(write({**more, **stated}), "it", references).verdict == "hallucination"


CARDS = pl.DataFrame(
    {
        "api_id": ["resnet", "bert"],
        "dump": ["x", "x"],
        "domain": ["vision", "text"],
        "functionality": ["Classifies images", "Embeds text"],
        "api_name": ["ResNet-50", "BERT base"],
        "api_call": [CALLS["resnet"], CALLS["bert"]],
        "description": ["Knows 1,000 kinds of things.", "Reads English."],
        "environment_requirements": ["torch", None],
    }
)
GOOD = [f"Tell me which animal number {number} is in my photo." for number in range(9)]


def test_each_instruction_is_judged_and_all_that_was_paid_adds_up() -> None:
    said = [
        GOOD[0],
        GOOD[0].upper(),
        "Hi there",
        "Run ResNet 50 on my photo please",
        "Can resnet50 find my cat in here?",
        "I want pytorch/vision to look at this picture",
        GOOD[1],
    ]

    def script(request: ChatRequest) -> str | ChatFailure:
        if "bert" in str(request.messages[-1].content):
            return ChatFailure("refused", "no", prompt_tokens=5)
        return json.dumps({"instructions": said})

    made = make_api_rows(CARDS, ScriptedTeacher(script), ApiRowSettings(instructions=8))
    assert made.synthesis.rejected == {
        "teacher_refused": 8, "names_api": 3, "missing": 1, "repeated_instruction": 1, "too_short": 1,
    }  # fmt: skip
    assert set(REASONS) - {"incomplete_card", "unscorable_card"} < set(made.synthesis.rejected)
    assert (made.synthesis.planned, made.synthesis.frame.height) == (16, 2)
    assert made.candidates.height == 14
    row = made.synthesis.frame.row(0, named=True)
    assert row["instruction"] == GOOD[0]
    assert judge_calls(row["response"], "resnet", REFERENCES).verdict == "right"
    assert "Needs: torch" in row["response"]
    assert made.details["api_id"].to_list() == ["resnet", "resnet"]
    assert row["parents"] == [{"table": "api_cards", "id": "resnet"}]


def test_tokens_of_one_reply_are_shared_whole() -> None:
    teacher = ScriptedTeacher(lambda _: json.dumps({"instructions": GOOD[:7]}))
    made = make_api_rows(CARDS.head(1), teacher, ApiRowSettings(instructions=7))
    assert made.synthesis.frame.height == 7
    assert made.synthesis.frame["completion_tokens"].sum() == made.synthesis.spent.completion_tokens
    assert made.synthesis.frame["prompt_tokens"].sum() == made.synthesis.spent.prompt_tokens


def test_no_row_states_a_parameter_that_the_endpoint_refused() -> None:
    reply = ChatReply(json.dumps({"instructions": GOOD[:2]}), "stop", 9, 9, left_out=("temperature",))
    made = make_api_rows(CARDS.head(1), ScriptedTeacher(lambda _: reply), ApiRowSettings(instructions=2))
    stated = [json.loads(text) for text in made.synthesis.frame["sampling"]]
    assert [("temperature" in one, "top_p" in one) for one in stated] == [(False, True)] * 2


def test_an_incomplete_card_is_kept_as_it_stands_whatever_its_columns_hold() -> None:
    cards = CARDS.tail(1).with_columns(
        description=pl.lit(None, pl.String), since=pl.date(2020, 1, 2), maker=pl.lit("百")
    )
    made = make_api_rows(cards, ScriptedTeacher(lambda _: "{}"), ApiRowSettings(instructions=1))
    (said,) = made.candidates["text"]
    assert (json.loads(said)["since"], '"maker": "百"' in said) == ("2020-01-02", True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        # the call of another card, no call, and nothing
        ({"api_call": f"{CALLS['bert']}; {CALLS['resnet']}"}, "unscorable_card"),
        ({"api_call": "torch.hub"}, "unscorable_card"),
        ({"api_call": "Just load it ("}, "unscorable_card"),
        ({"api_call": None}, "incomplete_card"),
        ({"description": " "}, "incomplete_card"),
        ({"api_name": None}, "incomplete_card"),
    ],
)
def test_a_card_that_no_answer_can_be_scored_against_is_not_asked_about(
    changes: dict[str, str | None], reason: str
) -> None:
    good, other = CARDS.rows(named=True)
    teacher = ScriptedTeacher(lambda _: json.dumps({"instructions": GOOD[:3]}))
    for answer in ("code", "call"):
        cards = pl.DataFrame([good, other | changes], schema=CARDS.schema)
        made = make_api_rows(cards, teacher, ApiRowSettings(instructions=3, answer=answer))  # type: ignore[arg-type]
        assert made.synthesis.rejected == {reason: 3}
        assert made.details["api_id"].to_list() == ["resnet"] * 3
    assert len(teacher.asked) == 2


@pytest.mark.parametrize(("answer", "rejected"), [("code", {}), ("call", {"unscorable_card": 1})])
def test_a_call_with_words_beside_it_is_no_tool_call(answer: str, rejected: dict[str, int]) -> None:
    cards = CARDS.tail(1).with_columns(api_call=pl.lit(f"Load the model:\n{CALLS['bert']}"))
    teacher = ScriptedTeacher(lambda _: json.dumps({"instructions": GOOD[:1]}))
    made = make_api_rows(cards, teacher, ApiRowSettings(instructions=1, answer=answer))  # type: ignore[arg-type]
    assert made.synthesis.rejected == rejected


def test_many_cards_are_held_against_those_of_their_own_function(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Counter[str]()
    is_in = CallTree.is_in

    def count(one: CallTree, other: CallTree) -> bool:
        looks["all"] += 1
        return is_in(one, other)

    monkeypatch.setattr(CallTree, "is_in", count)
    assert check_references({str(n): f"package{n}.load(n={n})" for n in range(500)}) == {}
    assert looks["all"] == 500


def test_cards_without_a_column_stop() -> None:
    teacher = ScriptedTeacher(lambda _: "{}")
    with pytest.raises(ConfigurationError, match=r"lack 'api_call'\. Did you mean 'api_cal'"):
        make_api_rows(CARDS.rename({"api_call": "api_cal"}), teacher, ApiRowSettings())
    assert teacher.asked == []


def test_a_name_is_found_whatever_stands_between_its_parts() -> None:
    assert names_api("use RES-net_50!", ["res net 50"])
    assert names_api("my resnet50 fails", ["ResNet-50"])
    assert not names_api("fifty nets rest on 50 piers", ["ResNet-50"])
    assert not names_api("anything", ["", "--"])
