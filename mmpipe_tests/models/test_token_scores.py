"""Token scores of the embedded model: pieces that join, passes that agree, Toolformer's filter with a real model."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mmpipe.models.perplexity import TransformersPerplexity
from mmpipe.models.token_scores import TransformersTokenScorer
from mmpipe.synthesis.call_losses import measure_losses

TEXT = "The theatre has 37 rows of 43 seats each, so that 1591 people can sit in it at the same time."


@pytest.fixture(scope="module")
def scorer(converted_weights: Path) -> TransformersTokenScorer:
    return TransformersTokenScorer("embedded", max_tokens=256, converted=converted_weights)


@pytest.mark.parametrize("text", [TEXT, "naïve 東京 👩‍👩‍👧 x", " ", "", "\n\n a"])
def test_pieces_join_to_the_text(scorer: TransformersTokenScorer, text: str) -> None:
    pieces = scorer.split(text)
    assert "".join(pieces) == text
    assert all(pieces)


def test_scores_do_not_depend_on_the_batch_and_add_up_to_the_perplexity(scorer: TransformersTokenScorer) -> None:
    pairs = [("", TEXT), (TEXT, " It is large."), ("It is", " large"), ("x", "")]
    together = scorer.score(pairs)
    for pair, logs in zip(pairs, together, strict=True):
        assert scorer.score([pair])[0] == pytest.approx(logs, abs=1e-3)
    assert together[3] == []
    first, rest = scorer.split(TEXT)[0], "".join(scorer.split(TEXT)[1:])
    start = scorer._loaded[1].decode([scorer._start_id])
    other = TransformersPerplexity("embedded")
    other.__dict__["_loaded"] = scorer._loaded  # loaded once
    perplexity = other.score([start + TEXT])[0]
    assert perplexity is not None
    logs = together[0]
    assert len(logs) == len(scorer.score([("", first)])[0]) + len(scorer.score([(first, rest)])[0])
    assert math.exp(-math.fsum(logs) / len(logs)) == pytest.approx(perplexity, rel=1e-3)


def test_one_pass_gives_what_single_prefixes_give(scorer: TransformersTokenScorer) -> None:
    pieces = scorer.split(TEXT)
    logs = scorer.score_before_each("Calls:", pieces, " [")
    for place in (0, 3, len(pieces) - 1):
        one = scorer.score([("Calls:" + "".join(pieces[:place]), " [")])[0][0]
        assert logs[place] == pytest.approx(one, abs=1e-3)
    short = TransformersTokenScorer("embedded", max_tokens=8)
    short.__dict__["_loaded"] = scorer._loaded
    assert [math.isinf(log) for log in short.score_before_each("", pieces, " [")][6:10] == [False, False, True, True]


def test_a_right_result_lowers_a_real_models_loss(scorer: TransformersTokenScorer) -> None:
    pieces = scorer.split(TEXT)
    place = next(place for place in range(len(pieces)) if "".join(pieces[:place]).endswith("so that"))
    right, wrong = measure_losses(pieces, [(place, "37 * 43", "1591"), (place, "37 + 43", "80")], "Calculator", scorer)
    assert right.gain > 0.5
    assert wrong.gain < 0.1


def test_a_long_text_before_a_place_takes_nothing_of_its_call(scorer: TransformersTokenScorer) -> None:
    long = f"{'It was a long and quiet evening in the old town by the river. ' * 30}{TEXT}"
    pieces = scorer.split(long)
    place = next(place for place in range(len(pieces)) if "".join(pieces[:place]).endswith("so that"))
    assert place > scorer.max_tokens
    right, wrong = measure_losses(pieces, [(place, "37 * 43", "1591"), (place, "37 + 43", "80")], "Calculator", scorer)
    assert right.gain > 0.5
    assert wrong.gain < 0.1
