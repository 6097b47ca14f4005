"""Says which fields of published evaluation sets hold text that a corpus must not have, layout by layout."""

from __future__ import annotations

import re

#: Fields of a layout: all are in a row of it. A dot goes into a nested field, and through every entry of a list.
Layout = tuple[str, ...]

#: Set to its published layouts: the first whose fields a row has is read. Evidence pages of TriviaQA and the pages of
#: Natural Questions are Wikipedia itself, so that only what was asked is read of them.
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "boolq": (("question", "passage"),),
    "piqa": (("goal", "sol1", "sol2"),),
    "siqa": (("context", "question", "answerA", "answerB", "answerC"),),
    "hellaswag": (("ctx", "endings"), ("ctx_a", "ctx_b", "endings"), ("ctx", "ending_options")),
    "winogrande": (("sentence", "option1", "option2"),),
    "arc": (("question.stem", "question.choices.text"), ("question", "choices.text")),
    "openbookqa": (("question.stem", "question.choices.text"), ("question_stem", "choices.text")),
    "naturalquestions": (
        ("question_text",),
        ("question.text",),
        ("question", "answer"),
        ("question", "answers"),
        ("question",),
    ),
    "triviaqa": (("Question", "Answer.Value"), ("question", "answer.value"), ("question", "answer"), ("question",)),
    "race": (
        ("article", "questions", "options"),
        ("article", "question", "options"),
        ("passage", "question", "options"),
    ),
    "math": (("problem", "solution"), ("question", "solution"), ("question", "answer"), ("problem", "answer")),
    "gsm8k": (("question", "answer"),),
    "humaneval": (("prompt", "canonical_solution", "test"), ("prompt", "canonical_solution"), ("prompt",)),
    "mbpp": (("text", "code", "test_list"), ("prompt", "code", "test_list"), ("text", "code"), ("prompt", "code")),
    "mmlu": (("question", "choices"), ("question", "A", "B", "C", "D"), ("input", "A", "B", "C", "D")),
    "ceval": (("question", "A", "B", "C", "D"),),
    "bbh": (("input", "target"), ("input", "targets")),
    "tydiqa": (
        ("question", "context"),
        ("question_text", "document_plaintext"),
        ("passage_text", "question_text"),
        ("question_text",),
    ),
    "mgsm": (("question", "answer"), ("question", "answer_number"), ("question",)),
}

#: Other names that sets go by, letters and digits only.
_ALIASES = {
    "socialiqa": "siqa",
    "ai2arc": "arc",
    "obqa": "openbookqa",
    "nq": "naturalquestions",
    "nqopen": "naturalquestions",
    "hendrycksmath": "math",
    "competitionmath": "math",
    "bigbenchhard": "bbh",
    "hendryckstest": "mmlu",
    "openaihumaneval": "humaneval",
    "winograndexl": "winogrande",
}

#: Columns of sets published as tables without a head.
HEADLESS: dict[str, tuple[str, ...]] = {
    "mmlu": ("question", "A", "B", "C", "D", "answer"),
    "mgsm": ("question", "answer"),
}

#: Where a row of a set's file is not an item itself: the list of items within it, and lists within those.
NESTED: tuple[tuple[str, ...], ...] = (
    ("examples",),  # BBH
    ("Data",),  # TriviaQA
    ("data", "paragraphs", "qas"),  # TyDi QA's passage task, in the layout of SQuAD
    ("data",),
    ("rows", "row"),  # a page of the Hugging Face dataset viewer
)

#: Fields that name an item, the first that a row has.
ID_FIELDS = (
    "id", "item_id", "task_id", "question_id", "QuestionId", "qID", "qid", "example_id", "unique_id", "uid", "ind",
    "idx",
)  # fmt: skip


def find_set(name: str) -> str:
    """Return the set that a name stands for (`ARC-Challenge`, `gsm8k_test`, `mmlu_anatomy`), empty if unknown."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    known = {**{each: each for each in LAYOUTS}, **_ALIASES}
    fitting = [each for each in known if plain.startswith(each)]
    return known[max(fitting, key=len)] if fitting else ""
