from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmpipe.synthesis.passages import choose_passages, measure_length, split_sentences

LIMITS = {"passage_chars": (40, 75), "sentence_chars": (10, 120)}


def test_sentences_end_where_readers_see_it() -> None:
    text = 'It cost 3.5 million. "Too much," said Dr Holt! 12 people agreed.\nNo stop here\n他来了。她走了。'
    assert split_sentences(text) == [
        "It cost 3.5 million.",
        '"Too much," said Dr Holt!',
        "12 people agreed.",
        "No stop here",
        "他来了。",
        "她走了。",
    ]


def test_a_mark_that_closes_belongs_to_the_sentence_it_closes() -> None:
    said = 'He said "Stop." Then he left. (It rained.) Nobody came.'
    assert split_sentences(said) == ['He said "Stop."', "Then he left.", "(It rained.)", "Nobody came."]
    assert split_sentences("他说：“走吧。”然后他走了。真的？！好。") == [
        "他说：“走吧。”",
        "然后他走了。",
        "真的？！",
        "好。",
    ]


def test_passages_of_scripts_without_spaces_are_as_long_as_others_to_a_reader() -> None:
    text = (
        "海港博物馆于1931年在一家旧绳厂里开放。它最大的展厅里陈列着一具长达十八米的鲸鱼骨架，是在北海滩上发现的。"
        "石桥由克拉拉·本设计，市长霍尔特为此支付了九百克朗。许多花朵带有紫外线标记，引导蜜蜂找到花蜜。"
        "市政厅在1904年被烧毁，后来用山谷里的红砖重建。"
    )
    (passage,) = choose_passages("d", text, passages=1, seed=0, passage_chars=(200, 700), sentence_chars=(40, 220))
    assert text.startswith(passage.text)
    assert measure_length(passage.text) >= 200 > len(passage.text)
    assert passage.sentence == "市政厅在1904年被烧毁，后来用山谷里的红砖重建。"


_SENTENCES = st.lists(
    st.builds(
        lambda words: " ".join(words).capitalize() + ".",
        st.lists(st.sampled_from(["a", "the", "Rome", "7", "ran", "far"]), min_size=2, max_size=9),
    ),
    max_size=30,
)


@given(_SENTENCES, st.integers(0, 5), st.integers(1, 4))
def test_passages_are_whole_sentences_of_the_document_and_do_not_overlap(
    sentences: list[str], seed: int, passages: int
) -> None:
    text = " ".join(sentences)
    chosen = choose_passages("d", text, passages=passages, seed=seed, **LIMITS)  # type: ignore[arg-type]
    assert len(chosen) <= passages
    end = 0
    for passage in chosen:
        assert passage.position >= end
        assert text.count(passage.text) >= 1
        assert passage.sentence in passage.text
        assert len(passage.text) + 1 >= 40
        assert len(passage.text) <= 75
        assert 10 <= len(passage.sentence) <= 120
        end = passage.position + len(split_sentences(passage.text))


def test_the_choice_depends_on_document_and_seed_alone() -> None:
    text = " ".join(f"In {year} the town of Holt built a bridge over the river Yarl." for year in range(1900, 1940))
    first = choose_passages("d", text, passages=3, seed=0, **LIMITS)  # type: ignore[arg-type]
    assert first == choose_passages("d", text, passages=3, seed=0, **LIMITS)  # type: ignore[arg-type]
    assert first != choose_passages("e", text, passages=3, seed=0, **LIMITS)  # type: ignore[arg-type]
    assert first != choose_passages("d", text, passages=3, seed=1, **LIMITS)  # type: ignore[arg-type]


def test_the_sentence_asked_about_states_facts_and_stands_alone() -> None:
    text = (
        "It was old then. They liked Rome and Paris in 1900 and 1901. "
        "Clara Benn built the bridge in 1877. Nobody knows."
    )
    (passage,) = choose_passages("d", text, passages=1, seed=0, passage_chars=(100, 200), sentence_chars=(10, 120))
    assert passage.sentence == "Clara Benn built the bridge in 1877."
