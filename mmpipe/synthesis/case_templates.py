"""Words in which cases of a function are shown and its code is asked for; which ones, the row's own hash says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Case:
    """One call and what came of it: the text between the brackets, and what was returned or raised."""

    arguments: str
    output: str
    has_raised: bool = False


#: As many of each as the published rows have (28 requests, 20 headers, 8 namings, 13 styles), in our own words.
REQUESTS = (
    "Write a Python function that behaves as the cases below show.",
    "Below are calls of a function whose code was lost. Write it again in Python.",
    "Find the rule behind these inputs and outputs, and implement it in Python.",
    "Which Python function turns each of these inputs into its output? Give its code.",
    "Here is what a function does on some inputs. Work out what it computes and write it in Python.",
    "I have only a log of calls and results. Please reconstruct the Python function that made it.",
    "Implement in Python the function that these examples specify.",
    "Infer the function from its behaviour and write it down in Python.",
    "The following examples are tests. Write the Python function that passes all of them.",
    "Study the examples and program the function they come from, in Python.",
    "Someone called an unknown function a few times. Write Python code that gives the same results.",
    "Derive a Python function from the observations below; it should also be right for inputs like them.",
    "What function gives these results? Answer with Python code.",
    "Please program, in Python, whatever maps the inputs below to their outputs.",
    "A colleague left only this table of calls. Write the Python function that fits it.",
    "Each case below is a call and its outcome. Recover the function in Python.",
    "Look for the pattern in these cases and put it into a Python function.",
    "Give me a Python function for which all of the following holds.",
    "Reverse engineer the function behind these calls and write it in Python.",
    "These inputs and outputs belong to one function. Say which, as Python code.",
    "Complete my library: I know what this function returns, but not how. Write it in Python.",
    "The behaviour that I need is shown by examples only. Turn it into a Python function.",
    "Can you tell from its results what this function does? Write it in Python.",
    "Write Python code that answers every one of these calls as shown.",
    "Program by example: find a Python function that agrees with all the cases.",
    "From the recorded calls below, restore the source of the function in Python.",
    "Explain the cases by a Python function: given the same input, it gives the same output.",
    "I call a black box with some arguments and note what comes back. Write the box in Python.",
)

HEADERS = (
    "Cases:",
    "Examples:",
    "Observed calls:",
    "What was seen:",
    "Inputs and outputs:",
    "Tests:",
    "Calls and results:",
    "Log:",
    "Recorded behaviour:",
    "Some runs:",
    "It behaves like this:",
    "Known values:",
    "Sample calls:",
    "Observations:",
    "Test cases:",
    "For example:",
    "Here is what I know:",
    "Input-output pairs:",
    "Results so far:",
    "Trace:",
)

NAMINGS = (
    "The function is called `{name}`.",
    "Name it `{name}`.",
    "Use the name `{name}`.",
    "Its signature starts with `def {name}(`.",
    "It must be named `{name}`.",
    "Callers know it as `{name}`.",
    "Define it as `{name}`.",
    "Let its name be `{name}`.",
)

#: (a case that returned, a case that raised)
STYLES = (
    ("{name}({arguments}) -> {output}", "{name}({arguments}) raises {output}"),
    (">>> {name}({arguments})\n{output}", ">>> {name}({arguments})\n{output}"),
    ("assert {name}({arguments}) == {output}", "# {name}({arguments}) raises {output}"),
    ("Input: {arguments}\nOutput: {output}", "Input: {arguments}\nError: {output}"),
    ("- given `{arguments}` it returns `{output}`", "- given `{arguments}` it raises `{output}`"),
    ("({arguments}) => {output}", "({arguments}) => error {output}"),
    ("arguments {arguments}; result {output}", "arguments {arguments}; exception {output}"),
    ("`{name}({arguments})` is `{output}`", "`{name}({arguments})` fails with `{output}`"),
    ("{name}({arguments})  # returns {output}", "{name}({arguments})  # raises {output}"),
    ("In: {name}({arguments})\nOut: {output}", "In: {name}({arguments})\nException: {output}"),
    ("called with {arguments}, it gives {output}", "called with {arguments}, it stops with {output}"),
    ("* arguments: {arguments}\n  returned: {output}", "* arguments: {arguments}\n  raised: {output}"),
    ("{arguments} | {output}", "{arguments} | raises {output}"),
)


def render_cases(row_id: str, seed: int, name: str, cases: Sequence[Case]) -> str:
    """Return the instruction: request, name of the function and cases, in words that follow from id and seed."""

    def choose(part: str, count: int) -> int:
        return int(make_id("template", part, seed, row_id)[:12], 16) % count

    returned, raised = STYLES[choose("style", len(STYLES))]
    lines = [
        (raised if case.has_raised else returned).format(name=name, arguments=case.arguments, output=case.output)
        for case in cases
    ]
    header = HEADERS[choose("header", len(HEADERS))]
    naming = NAMINGS[choose("naming", len(NAMINGS))].format(name=name)
    request = f"{REQUESTS[choose('request', len(REQUESTS))]} {naming}"
    shown = f"{header}\n" + "\n".join(lines)
    parts = (request, shown) if choose("order", 3) else (shown, request)
    return "\n\n".join(parts)
