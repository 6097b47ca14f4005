"""The words LRV's positive and negative instructions are asked for with: our own prompts, tasks and examples.

Liu et al. 2024, "Mitigating Hallucination in Large Multi-Modal Models via Robust Instruction Tuning", section 3: 16
vision-language tasks, instructions as questions and as statements, negatives with the reason why they are wrong.
"""

from __future__ import annotations

from mmpipe.synthesis.prompts import Prompt

#: The 16 tasks, and what an instruction of each asks for. The number is the paper's, the list is ours.
TASKS = {
    "captioning": "to describe the picture as a whole",
    "dense_captioning": "to describe one part of the picture closely",
    "styled_captioning": "to describe the picture in a stated tone",
    "object_detection": "which things are there",
    "object_attributes": "what a thing looks like: colour, material, size or state",
    "object_interaction": "what things or beings do with one another",
    "referring_expression": "which of several things a stated expression means",
    "visual_grounding": "where a thing is in the picture",
    "counting": "how many of a thing there are",
    "activity_recognition": "what somebody or something is doing",
    "scene_recognition": "what kind of place it is",
    "text_reading": "what is written, or whether something is",
    "visual_entailment": "whether a statement follows from the picture",
    "commonsense_reasoning": "why something is so, or what may follow",
    "sentiment": "what mood the picture has, or somebody in it",
    "anomaly_detection": "whether something is out of the ordinary",
}

_FORMS = "Form: {form} (a question ends with a question mark; a statement is a request or claim and does not)\n"
_USER = "Notes:\n{symbols}\nTask: {task}: an instruction that asks {meaning}\n" + _FORMS + "Number {number}"
_RULES = (
    "You are given notes on a picture: sentences about it, and things in it with their places as shares of width and "
    "height (X and Y of the left top corner, Width, Height). Write one instruction about the picture, of the task and "
    "form asked for, and its answer in open words, as somebody who looks at the picture itself. Never speak of notes, "
    "sentences, boxes or numbers of places. "
)
_DOG = "A brown dog sleeps on a red sofa\ndog: X 0.100, Y 0.250, Width 0.400, Height 0.700"
_BOATS = "Three boats near a wooden pier\nboat: X 0.050, Y 0.500, Width 0.200, Height 0.150"


def _fields(symbols: str, task: str, form: str, number: str = "1") -> dict[str, str]:
    return {"symbols": symbols, "task": task, "meaning": TASKS[task], "form": form, "number": number}


POSITIVE = Prompt(
    "lrv_balance/positive",
    _RULES + "The instruction is right about the picture and the notes answer it. `objects` lists the things that "
    "instruction and answer name.",
    _USER,
    (
        (
            _fields(_DOG, "activity_recognition", "question"),
            {
                "instruction": "What is the dog doing?",
                "answer": "The dog sleeps on the sofa.",
                "objects": ["dog", "sofa"],
            },
        ),
        (
            _fields(_BOATS, "counting", "statement"),
            {
                "instruction": "Tell how many boats are near the pier.",
                "answer": "Three boats are near the pier.",
                "objects": ["boats", "pier"],
            },
        ),
    ),
)

NONEXISTENT = Prompt(
    "lrv_balance/nonexistent_object",
    _RULES + "The instruction speaks of a thing as if it were there, but it is not, nor is anything of its kind. "
    "`object` is that thing in the instruction's own words. The answer says that it is not there, and what there is "
    "instead. `reason` says in a few words why the instruction is wrong.",
    _USER,
    (
        (
            _fields(_DOG, "object_attributes", "question"),
            {
                "instruction": "What colour is the bicycle beside the sofa?",
                "answer": "There is no bicycle; a brown dog is on the sofa.",
                "object": "bicycle",
                "reason": "No bicycle is in the picture.",
            },
        ),
        (
            _fields(_BOATS, "visual_grounding", "statement"),
            {
                "instruction": "Show me where the lighthouse stands.",
                "answer": "No lighthouse can be seen, only three boats near a pier.",
                "object": "lighthouse",
                "reason": "The picture has boats and a pier, no lighthouse.",
            },
        ),
    ),
)

WRONG_ATTRIBUTE = Prompt(
    "lrv_balance/wrong_attribute",
    _RULES + "The instruction speaks of a thing that is there, but gives it a wrong colour, material, number, state or "
    "place. `object` is the thing and `wrong` the wrong word, both in the instruction's own words; `right` is the "
    "right word by the notes. The answer says what is wrong and what is right. `reason` says why in a few words.",
    _USER,
    (
        (
            _fields(_DOG, "object_attributes", "statement"),
            {
                "instruction": "Describe the green sofa.",
                "answer": "The sofa is not green but red, and a dog sleeps on it.",
                "object": "sofa",
                "wrong": "green",
                "right": "red",
                "reason": "The sofa is red.",
            },
        ),
        (
            _fields(_BOATS, "counting", "question"),
            {
                "instruction": "Are the seven boats near the pier?",
                "answer": "No, there are not seven boats but three.",
                "object": "boats",
                "wrong": "seven",
                "right": "three",
                "reason": "There are three boats.",
            },
        ),
    ),
)

WRONG_KNOWLEDGE = Prompt(
    "lrv_balance/wrong_knowledge",
    _RULES + "The instruction speaks of a thing that is there, but rests on wrong knowledge about it: what it is used "
    "for, what it is made by, which kind it belongs to, or whom it is related to. `object` is the thing and `wrong` "
    "the wrong word, both in the instruction's own words; nothing of that kind is in the notes. `right` is what is "
    "known instead. The answer says what is wrong and what is right. `reason` says why in a few words.",
    _USER,
    (
        (
            _fields(_DOG, "commonsense_reasoning", "question"),
            {
                "instruction": "Why does the dog, as a reptile, need the warm sofa?",
                "answer": "A dog is not a reptile but a mammal; it sleeps on the sofa because it is soft.",
                "object": "dog",
                "wrong": "reptile",
                "right": "mammal",
                "reason": "Dogs are mammals.",
            },
        ),
        (
            _fields(_BOATS, "visual_entailment", "statement"),
            {
                "instruction": "Explain how the boats at the pier run on rails.",
                "answer": "Boats do not run on rails; they float on water.",
                "object": "boats",
                "wrong": "rails",
                "right": "water",
                "reason": "Boats float, only trains need rails.",
            },
        ),
    ),
)

#: Of every kind, by its name.
LRV_PROMPTS = {
    "positive": POSITIVE,
    "nonexistent_object": NONEXISTENT,
    "wrong_attribute": WRONG_ATTRIBUTE,
    "wrong_knowledge": WRONG_KNOWLEDGE,
}
