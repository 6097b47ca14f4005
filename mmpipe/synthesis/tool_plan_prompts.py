"""What teacher and critic of tool plans are asked, and the form of their replies."""

from __future__ import annotations

from mmpipe.synthesis.prompts import Prompt

PROMPT = Prompt(
    "tool_plans/back_instruct",
    "You are given tools that are linked: what one gives another takes. You write what a user might ask so that all "
    "of them are needed, in that order, with every file, name or text that the user must give; no name of a tool "
    "stands in it. Then you write the plan: every task with its tool, the ids of the tasks it waits for, and its "
    "arguments in the order of what the tool takes. An argument that comes from a task is <task-ID>; one from the "
    "user is its value.",
    "Tools: {tools}\n\nTasks: {tasks}",
    (
        (
            {
                "tools": '[{"name": "Shazam", "description": "names the song in a recording"}]',
                "tasks": '[{"id": 0, "tool": "Shazam", "takes": [{"type": "audio", "from": "user"}]}]',
            },
            {
                "request": "What is the song in my recording party.wav?",
                "tasks": [
                    {
                        "id": 0,
                        "tool": "Shazam",
                        "dependencies": [],
                        "arguments": [{"type": "audio", "value": "party.wav"}],
                    }
                ],
            },
        ),
    ),
)

CRITIC = Prompt(
    "tool_plans/critic",
    "You judge whether a plan answers a request: whether it does all that is asked and nothing else, and whether every "
    "file, name and text in it stands in the request or comes from a task before. First a sentence why, then the word.",
    "Request: {request}\n\nPlan: {plan}",
    (
        (
            {
                "request": "Which song is in party.wav?",
                "plan": '{"tasks": [{"id": 0, "tool": "Shazam", "dependencies": [], "arguments": [{"type": "audio", '
                '"value": "party.wav"}]}]}',
            },
            {"why": "The plan names the song of the file that is given.", "verdict": "yes"},
        ),
        (
            {
                "request": "Read the letter to me.",
                "plan": '{"tasks": [{"id": 0, "tool": "Reader", "dependencies": [], "arguments": [{"type": "text", '
                '"value": "letter.txt"}]}, {"id": 1, "tool": "Painter", "dependencies": [0], "arguments": [{"type": '
                '"text", "value": "<task-0>"}]}]}',
            },
            {"why": "Nobody asks for a picture, and letter.txt does not stand in the request.", "verdict": "no"},
        ),
    ),
)

_ARGUMENT = {
    "type": "object",
    "properties": {"type": {"type": "string", "maxLength": 100}, "value": {"type": "string", "maxLength": 500}},
    "required": ["type", "value"],
    "additionalProperties": False,
}

#: What a reply holds: the request, and the plan that answers it.
SCHEMA = {
    "type": "object",
    "properties": {
        "request": {"type": "string", "minLength": 1, "maxLength": 2000},
        "tasks": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "tool": {"type": "string", "maxLength": 100},
                    "dependencies": {"type": "array", "items": {"type": "integer"}, "maxItems": 32},
                    "arguments": {"type": "array", "items": _ARGUMENT, "maxItems": 32},
                },
                "required": ["id", "tool", "dependencies", "arguments"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["request", "tasks"],
    "additionalProperties": False,
}

#: What a critic's reply holds.
VERDICT_SCHEMA = {
    "type": "object",
    "properties": {"why": {"type": "string", "maxLength": 500}, "verdict": {"enum": ["yes", "no"]}},
    "required": ["why", "verdict"],
    "additionalProperties": False,
}
