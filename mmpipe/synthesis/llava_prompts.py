"""The words LLaVA's three types are asked for with: our own prompts, scenes and answers, two, three and three examples.

Liu et al. 2023, section 3 and appendix: a few hand-made demonstrations of each type teach the text-only teacher.
"""

from __future__ import annotations

from typing import Any

from mmpipe.synthesis.prompts import Prompt

#: Requests for a detailed answer, one per picture by hash.
DETAIL_REQUESTS = (
    "Describe this picture in detail.",
    "What can be seen here? Go into detail.",
    "Tell me everything you notice in this image.",
    "Walk me through the picture, part by part.",
    "Give a thorough account of what the photo shows.",
    "Explain in detail what is happening in this image and where things are.",
)

_MARKET = """A woman weighs apples at a market stall
People shop for fruit under striped awnings
apples: [0.120, 0.610, 0.480, 0.820]
scale: [0.510, 0.480, 0.630, 0.700]
woman: [0.550, 0.180, 0.790, 0.880]
umbrella: [0.020, 0.050, 0.300, 0.210]"""
_KITCHEN = """Two boys bake in a small kitchen
A boy in an apron cracks an egg into a bowl
boy: [0.100, 0.240, 0.370, 0.960]
boy: [0.450, 0.310, 0.690, 0.970]
bowl: [0.380, 0.620, 0.520, 0.740]
oven: [0.740, 0.450, 0.990, 0.950]"""
_HARBOUR = """Fishing boats lie on the mud at low tide
An old harbour with boats and a stone wall
boat: [0.060, 0.520, 0.410, 0.780]
boat: [0.440, 0.550, 0.720, 0.760]
gull: [0.810, 0.410, 0.850, 0.450]
wall: [0.000, 0.330, 1.000, 0.480]"""

_RULES = (
    "You are given notes on a picture: sentences about it, and things in it with their places as shares of width and "
    "height (left, top, right, bottom). Write as somebody who looks at the picture itself. Never speak of the notes, "
    "of sentences, boxes or numbers of places; say left, right, near or behind instead. Name only things that the "
    "notes name. "
)


def _turn(question: str, answer: str) -> list[dict[str, str]]:
    return [{"speaker": "question", "text": question}, {"speaker": "answer", "text": answer}]


def _talk(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"turns": [turn for question, answer in pairs for turn in _turn(question, answer)]}


_USER = "Notes:\n{symbols}"

CONVERSATION = Prompt(
    "llava_types/conversation",
    _RULES
    + "Write a talk between somebody who asks about the picture and somebody who answers: what things are there, "
    "how many, what they do, where they are and how they stand to one another. Ask only what the notes answer for "
    "certain. Questions and answers take turns, and the last turn is an answer.",
    _USER,
    (
        (
            {"symbols": _MARKET},
            _talk(
                ("What is the woman doing?", "She weighs apples at a market stall."),
                ("What kind of food do people shop for?", "They shop for fruit."),
                ("Where is the scale?", "The scale stands beside the woman, to the right of the apples."),
            ),
        ),
        (
            {"symbols": _KITCHEN},
            _talk(
                ("How many boys are there?", "There are two boys in the kitchen."),
                ("What does the boy in the apron do?", "He cracks an egg into a bowl."),
                ("On which side is the oven?", "The oven is on the right."),
            ),
        ),
    ),
)

DETAIL = Prompt(
    "llava_types/detail",
    _RULES + "Answer the request with one rich paragraph that tells of every thing, what it does and where it is.",
    "Request: {request}\n" + _USER,
    (
        (
            {"request": DETAIL_REQUESTS[0], "symbols": _MARKET},
            {
                "answer": "A woman stands at a market stall and weighs apples. The apples lie on the left, and the "
                "scale is beside her. People shop for fruit under striped awnings, and an umbrella is open at the top "
                "left corner."
            },
        ),
        (
            {"request": DETAIL_REQUESTS[3], "symbols": _KITCHEN},
            {
                "answer": "Two boys bake together in a small kitchen. One of the boys wears an apron and cracks an egg "
                "into a bowl, which stands between the two. The oven is on the right side of the picture."
            },
        ),
        (
            {"request": DETAIL_REQUESTS[4], "symbols": _HARBOUR},
            {
                "answer": "It is low tide in an old harbour, and two fishing boats lie side by side on the mud. A "
                "stone wall runs across the whole picture behind the boats, and to the right a gull sits alone."
            },
        ),
    ),
)

REASONING = Prompt(
    "llava_types/reasoning",
    _RULES + "Write one question about the picture that cannot be answered by naming what is there: why something is "
    "so, what it needs, what may follow, what to take care of. Ask of things that the notes name. Answer it step by "
    "step, from what is seen to what follows.",
    _USER,
    (
        (
            {"symbols": _MARKET},
            {
                "question": "Why may the woman use a scale before she sells the apples?",
                "answer": "The woman stands at a market stall where people shop for fruit. Apples differ in size, so "
                "a count would not be fair to every buyer. With the scale she can ask the same price for the same "
                "weight, and the people see that for themselves.",
            },
        ),
        (
            {"symbols": _KITCHEN},
            {
                "question": "What should the two boys take care of in this kitchen?",
                "answer": "The boys bake, so the oven will be hot soon, and they are near it: they should not reach "
                "into it without help. One boy cracks an egg into the bowl, so both boys should be clean before they "
                "go on with the bowl.",
            },
        ),
        (
            {"symbols": _HARBOUR},
            {
                "question": "Why are the boats of no use at the moment?",
                "answer": "It is low tide, so there is no water under the boats, and they lie on the mud. The stone "
                "wall shows how high the sea can be in this harbour. With the next tide the boats can leave again.",
            },
        ),
    ),
)

#: Of every type, by its name.
LLAVA_PROMPTS = {"conversation": CONVERSATION, "detail": DETAIL, "reasoning": REASONING}
