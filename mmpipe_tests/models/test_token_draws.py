from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.models.token_draws import DrawTokens, draw_tokens, seed_draws
from mmpipe.tables.chat import ChatMessage, ChatRequest, Sampling


def request(seed: int = 0, sample_index: int = 0, temperature: float = 1.0, top_p: float = 1.0) -> ChatRequest:
    sampling = Sampling(temperature, top_p, max_tokens=4, seed=seed)
    return ChatRequest((ChatMessage("user", "x"),), sampling, sample_index=sample_index)


def test_frequencies_are_the_probabilities() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).repeat(20_000, 1)
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for top_p, expected in ((1.0, [0.5, 0.3, 0.15, 0.05]), (0.7, [0.625, 0.375, 0, 0])):
        drawn = draw_tokens(logits, torch.full((20_000,), top_p), uniforms)
        shares = np.bincount(drawn.numpy(), minlength=4) / 20_000
        np.testing.assert_allclose(shares, expected, atol=0.012)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 1.0), st.integers(2, 700), st.floats(0, 0.999999))
def test_a_token_outside_the_nucleus_is_never_drawn(seed: int, top_p: float, size: int, uniform: float) -> None:
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(seed)) * 2
    drawn = int(draw_tokens(logits, torch.tensor([top_p]), torch.tensor([uniform], dtype=torch.float64)))
    probabilities = torch.softmax(logits, -1)[0].double()
    before = probabilities[probabilities > probabilities[drawn]].sum()
    assert before < top_p + 1e-6


def test_impossible_tokens_stay_impossible() -> None:
    logits = torch.full((1, 1000), float("-inf"))
    logits[0, [3, 700]] = 0.0
    for uniform in (0.0, 0.3, 0.7, 0.999999999):
        for top_p in (1.0, 0.99):
            drawn = draw_tokens(logits, torch.tensor([top_p]), torch.tensor([uniform], dtype=torch.float64))
            assert int(drawn) in (3, 700)


def test_rows_draw_for_themselves() -> None:
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    requests = [request(seed=1), request(seed=2, temperature=0.0), request(seed=3, top_p=0.5)]
    together = DrawTokens([seed_draws(each) for each in requests])(None, scores.clone())
    for place, each in enumerate(requests):
        alone = DrawTokens([seed_draws(each)])(None, scores[place : place + 1].clone())
        assert torch.equal(alone.argmax(-1)[0], together[place].argmax(-1))
    assert torch.equal(together[1], scores[1])  # greedy rows are left as they are


def test_seeds_and_samples_are_told_apart() -> None:
    draws = [seed_draws(request(seed, sample)).uniforms.tolist() for seed in (0, 1) for sample in (0, 1)]
    assert len({tuple(values) for values in draws}) == 4
    assert seed_draws(request(5)).uniforms.tolist() == seed_draws(request(5)).uniforms.tolist()
