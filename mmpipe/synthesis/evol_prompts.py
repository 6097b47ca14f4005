"""The prompts of Evol-Instruct in our own words: five ways to make an instruction harder, one to find another, a judge.

Xu et al. 2023 (arXiv 2304.12244, section 3.2, appendices A to G): each operator has a prompt of its own, adds 10 to 20
words, and shows no example but for complicated input.
"""

from __future__ import annotations

from typing import Any

from mmpipe.synthesis.prompts import Prompt

_DEPTH = (
    "You make instructions harder, so that even strong assistants have to think about them, while people still "
    "understand and can answer them. You keep what belongs to the instruction, tables, code and texts to work on too. "
    "You add 10 to 20 words, not more. {way} You reply with the harder instruction, in the "
    "language of the given one, and nothing else."
)
# without the last sentence small models carry the instruction out
_USER = "Given instruction:\n{instruction}\n\nDo not carry it out. Write the harder instruction:"

#: The five operators of evolving in depth.
DEPTH = tuple(
    Prompt(f"evol_instruct/{name}", _DEPTH.format(way=way), _USER)
    for name, way in (
        ("add_constraints", "You do so by adding one more constraint or requirement."),
        (
            "deepening",
            "You do so by asking further: what it asks about is to be gone into more deeply and more widely.",
        ),
        ("concretizing", "You do so by putting more particular notions in place of general ones."),
        (
            "increase_reasoning_steps",
            "You do so by making what can be answered in few steps of thought need several, said outright.",
        ),
    )
)

#: The fifth operator: data to work on, in a form that is drawn for each request.
COMPLICATE_INPUT = Prompt(
    "evol_instruct/complicate_input",
    _DEPTH.format(
        way="You do so by adding data to work on, in the form that is named, short but complete; the data do not count "
        "as words added."
    ),
    "Form of the data: {form}\n" + _USER,
    (
        (
            {"form": "JSON", "instruction": "Compute the average of some prices."},
            (
                "Compute the average price of all articles that are in stock, rounded to cents:\n"
                '[{"article": "lamp", "price": 19.5, "stock": 3}, {"article": "desk", "price": 120, "stock": 0}, '
                '{"article": "chair", "price": 45.25, "stock": 8}]'
            ),
        ),
    ),
)
#: Forms of the data of complicated input (appendix A: XML, SQL, Python code, HTML, shell commands, JSON).
FORMS = ("XML", "an SQL table", "Python code", "an HTML page", "a shell session", "JSON")

#: Evolving in breadth: another instruction of the same domain, rarer than the given one, as long and as hard.
BREADTH = Prompt(
    "evol_instruct/breadth",
    "You think up instructions. Given one, you write a wholly new one from the same domain that is asked more rarely, "
    "about as long and as hard as the given one, that people understand and can answer. You reply with the new "
    "instruction, in the language of the given one, and nothing else.",
    "Given instruction:\n{instruction}\n\nDo not carry it out. Write the new instruction:",
)

#: All six, each equally likely.
OPERATORS = (*DEPTH, COMPLICATE_INPUT, BREADTH)

#: The first elimination: whether the evolved instruction says more than the one it came from (appendix G).
EQUALITY = Prompt(
    "evol_instruct/equality",
    "You compare two instructions. They are equal if they have the same constraints and requirements, and ask in the "
    "same depth and breadth. You reply as JSON: equal or not_equal.",
    "First instruction:\n{first}\n\nSecond instruction:\n{second}",
    (
        (
            {"first": "List three rivers of Peru.", "second": "Name three rivers that flow in Peru."},
            {"verdict": "equal"},
        ),
        (
            {
                "first": "List three rivers of Peru.",
                "second": "List three rivers of Peru by length and say which sea each of them reaches.",
            },
            {"verdict": "not_equal"},
        ),
    ),
)
EQUALITY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": ["equal", "not_equal"]}},
    "required": ["verdict"],
    "additionalProperties": False,
}

ANSWER = Prompt(
    "evol_instruct/answer", "You follow the instruction of the user, carefully and completely.", "{instruction}"
)
