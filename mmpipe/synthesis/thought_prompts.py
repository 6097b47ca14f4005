"""The prompts of a tree of thoughts, with their schemas: one proposes next steps, one values a state."""

from __future__ import annotations

from typing import Any

from mmpipe.synthesis.prompts import Prompt

_SHOWN = "Problem: {question}\n\nSteps so far:\n{steps}"

PROPOSE = Prompt(
    "thought_trees/propose",
    "You solve a problem step by step. You propose different next steps, each of which follows from the steps so far. "
    "Where a step settles the problem, you give the answer with it; else its answer is empty.",
    _SHOWN + "\n\nNumber of proposals: {count}",
    (
        (
            {"question": "Make 10 from 2, 3 and 4.", "steps": "(none)", "count": "2"},
            {
                "thoughts": [
                    {"thought": "2 * 3 = 6, which leaves 6 and 4.", "answer": ""},
                    {"thought": "3 - 2 = 1, which leaves 1 and 4.", "answer": ""},
                ]
            },
        ),
        (
            {"question": "Make 10 from 2, 3 and 4.", "steps": "1. 2 * 3 = 6, which leaves 6 and 4.", "count": "2"},
            {
                "thoughts": [
                    {"thought": "6 + 4 = 10, which is what was asked for.", "answer": "2 * 3 + 4"},
                    {"thought": "6 - 4 = 2, which leaves 2.", "answer": ""},
                ]
            },
        ),
    ),
)

VALUE = Prompt(
    "thought_trees/value",
    "You judge the last of some steps towards the solution of a problem: can the problem still be solved from there? "
    "Where an answer stands below the steps, is it right, and does it keep to the rules of the problem? You reply "
    "sure, likely or impossible.",
    _SHOWN,
    (
        (
            {"question": "Make 10 from 2, 3 and 4.", "steps": "1. 2 * 3 = 6, which leaves 6 and 4."},
            {"value": "sure"},
        ),
        (
            {"question": "Make 10 from 2, 3 and 4.", "steps": "1. 3 - 2 = 1, which leaves 1 and 4."},
            {"value": "impossible"},
        ),
        (
            {
                "question": "Make 10 from 2, 3 and 4.",
                "steps": "1. 2 * 3 = 6, which leaves 6 and 4.\n2. 6 + 4 = 10, which is what was asked for.\n"
                "Answer: 2 * 3 + 4",
            },
            {"value": "sure"},
        ),
        (
            {
                "question": "Make 10 from 2, 3 and 4.",
                "steps": "1. 2 * 4 = 8, which leaves 8 and 3.\n2. 8 + 2 = 10, which is what was asked for.\n"
                "Answer: 2 * 4 + 2",
            },
            {"value": "impossible"},
        ),
    ),
)

VALUE_SCHEMA = {
    "type": "object",
    "properties": {"value": {"enum": ["sure", "likely", "impossible"]}},
    "required": ["value"],
    "additionalProperties": False,
}


def make_proposals_schema(count: int) -> dict[str, Any]:
    """Return the schema of up to `count` proposed thoughts."""
    thought = {
        "type": "object",
        "properties": {
            "thought": {"type": "string", "maxLength": 1000},
            "answer": {"type": "string", "maxLength": 300},
        },
        "required": ["thought", "answer"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"thoughts": {"type": "array", "items": thought, "maxItems": count}},
        "required": ["thoughts"],
        "additionalProperties": False,
    }
