"""Vocabulary extension: new ids after the old ones, old texts as before, and the plan for the new rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mmpipe.errors import ConfigurationError
from mmpipe.models.tokenizer import LoadedTokenizer, extend_vocabulary, load_tokenizer


@pytest.fixture
def small(tmp_path: Path) -> LoadedTokenizer:
    vocabulary = {"</s>": 0, **{letter: place + 1 for place, letter in enumerate("abcd")}, "ab": 5}
    backend = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>").save_pretrained(tmp_path / "small")
    return load_tokenizer(str(tmp_path / "small"))


def test_new_tokens_get_new_ids_and_a_plan(small: LoadedTokenizer, tmp_path: Path) -> None:
    extended, added = extend_vocabulary(small, ["abc", "<dd>"])
    assert [(each.token, each.id, each.pieces) for each in added] == [("abc", 6, (5, 3)), ("<dd>", 7, (4, 4))]
    assert extended.vocabulary_size == small.vocabulary_size + 2 == 8
    assert extended.encode_batch(["abcd", "d<dd>a"]) == [[6, 4], [4, 7, 1]]
    assert small.encode_batch(["abcd"]) == [[5, 3, 4]]
    assert extended.encode_batch(["ab dc"]) == small.encode_batch(["ab dc"])
    assert extended.end_of_text == small.end_of_text
    assert extended.digest != small.digest
    assert extended.decode([6, 7]).replace(" ", "") == "abc<dd>"
    extended.save(tmp_path / "more")
    again = load_tokenizer(str(tmp_path / "more"))
    assert again.encode_batch(["abcd", "d<dd>a"]) == [[6, 4], [4, 7, 1]]
    assert (again.end_of_text, again.vocabulary_size) == (0, 8)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([""], "'' cannot be a token"),
        ([" x"], "' x' cannot be a token"),
        (["ab"], "'ab' is a token already"),
        (["xy", "xy"], "'xy' is a token already"),
        (["</s>"], "'</s>' is a token already"),
    ],
)
def test_tokens_that_are_none_are_named(small: LoadedTokenizer, tokens: list[str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        extend_vocabulary(small, tokens)
