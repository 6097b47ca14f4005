"""What proves that an answer calls the wanted API, what that it does not, and what proves nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.answer_checks import AnswerCheck, check_answer
from mmpipe.synthesis.call_verifier import CallVerifier, read_only_call

WANTED = "torch.hub.load(repo_or_dir='pytorch/vision', model='resnet50')"
OTHER = "torch.hub.load(repo_or_dir='pytorch/vision', model='vgg16')"
LARGER = "torch.hub.load(repo_or_dir='pytorch/vision', model='resnet50', pretrained=True)"


@pytest.mark.parametrize(
    ("answer", "verdict", "name"),
    [
        (f"Use this:\n```python\nimport torch\nmodel = {WANTED}\n```", True, "right"),
        (LARGER, True, "right"),
        (OTHER, False, "wrong"),
        (f"Say {WANTED} and be glad.", True, "right"),
        (f"```python\nmodel = {WANTED.replace('resnet50', 'resnet51')}\n```", False, "hallucination"),
        (f"```python\na = {WANTED}\nb = {OTHER}\n```", None, "ambiguous"),
        ("You could classify it by hand.", None, "no_call"),
    ],
)
def test_only_calls_prove_something(answer: str, verdict: bool | None, name: str) -> None:
    verify = CallVerifier([WANTED, OTHER, "no call at all"])
    assert verify({"answer": answer, "reference": WANTED}) is verdict
    assert dict(verify.verdicts) == {name: 1}


def test_the_call_that_states_most_is_meant_where_it_is_known() -> None:
    row = {"answer": LARGER, "reference": WANTED}
    assert CallVerifier([])(row) is True
    assert CallVerifier([WANTED, LARGER])(row) is False


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (WANTED, "torch.hub.load"),
        (f"model = {WANTED}", "torch.hub.load"),
        (f"Classifies: so.\n\n```python\n{WANTED}\n```\n\nNeeds: torch", "torch.hub.load"),
        (f"print({WANTED})", "print"),
        ("", None),
        ("The Eiffel Tower (1889).", None),
        ("```python\ndef double(number):\n    return number * 2\n```", None),
        (f"```python\n{WANTED}\n{OTHER}\n```", None),
        ("(" * 300, None),
    ],
)
def test_a_reference_is_one_call_and_nothing_beside_it(text: str, name: str | None) -> None:
    call = read_only_call(text)
    assert (call and call.name) == name
    if call is None:
        verify = CallVerifier([OTHER])
        assert verify({"answer": OTHER, "reference": text}) is None
        assert dict(verify.verdicts) == {"no_reference": 1}


CALL = st.builds(
    lambda name, arguments: f"{name}({', '.join(f'{key}={value!r}' for key, value in sorted(arguments.items()))})",
    st.sampled_from(["a.load", "b.load", "load"]),
    st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=3),
)


@given(st.lists(CALL, max_size=6), CALL)
def test_every_call_is_right_as_an_answer_to_itself_whatever_apis_there_are(known: list[str], wanted: str) -> None:
    assert CallVerifier(known)({"answer": f"```python\n{wanted}\n```", "reference": wanted}) is True


@given(st.lists(CALL, max_size=6), CALL, CALL)
def test_the_order_of_the_apis_says_nothing(known: list[str], said: str, wanted: str) -> None:
    row = {"answer": said, "reference": wanted}
    assert CallVerifier(known)(row) is CallVerifier([*reversed(known), *known])(row)


def test_a_final_answer_may_be_a_call() -> None:
    check = AnswerCheck(kind="api_call")
    assert check_answer(f"```python\n{LARGER}\n```", WANTED, check).is_right
    assert check_answer(OTHER, WANTED, check).reason == "wrong_answer"
    assert check_answer("I do not know.", WANTED, check).reason == "answer_unreadable"
    with pytest.raises(ConfigurationError, match="is no call in Python"):
        check_answer(OTHER, "forty-two", check)
