"""Draws of sound conversations and preferences for the round trips: turns, calls with their results, pictures."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mmpipe.release.records import Conversation, LabelledAnswer, Preference, ToolCall, Turn

#: Words in several scripts, with line feeds and quotes inside, never empty, and no placeholder.
WORDS = st.text(st.sampled_from("ab é中🙂\n\"\\'{}:<>"), min_size=1, max_size=12).filter(
    lambda text: text.strip() != ""
)

TOOLS = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "looks",
            "parameters": {"type": "object", "properties": {"of": {"type": "string"}}},
        },
    }
    for name in ("look", "count")
)

_ARGUMENTS = st.dictionaries(
    st.sampled_from(["of", "at"]),
    st.one_of(st.integers(-5, 5), WORDS, st.booleans(), st.none(), st.lists(st.integers(0, 3), max_size=2)),
    max_size=2,
)
_CALLS = st.lists(st.builds(ToolCall, st.sampled_from(["look", "count"]), _ARGUMENTS), min_size=1, max_size=2)


@st.composite
def exchanges(draw: Any, *, has_tools: bool, speaks_beside_calls: bool) -> list[Turn]:
    turns = [Turn("user", draw(WORDS))]
    if has_tools and draw(st.booleans()):
        calls = tuple(draw(_CALLS))
        beside = draw(st.one_of(st.just(""), WORDS)) if speaks_beside_calls else ""
        turns.append(Turn("assistant", beside, calls))
        turns += [Turn("tool", draw(WORDS), name=call.name) for call in calls]
    return [*turns, Turn("assistant", draw(WORDS))]


@st.composite
def conversations(
    draw: Any,
    *,
    has_system: bool = True,
    has_tools: bool = True,
    speaks_beside_calls: bool = True,
    most_images: int = 3,
    most_exchanges: int = 3,
    leads_with_image: bool = False,
    image: str = "images/{}.png",
) -> Conversation:
    turns = [Turn("system", draw(WORDS))] if has_system and draw(st.booleans()) else []
    drawn = exchanges(has_tools=has_tools, speaks_beside_calls=speaks_beside_calls)
    for exchange in draw(st.lists(drawn, min_size=1, max_size=most_exchanges)):
        turns += exchange
    count = draw(st.integers(0, most_images))
    asked = [place for place, turn in enumerate(turns) if turn.role == "user"]
    for _ in range(count):
        place = asked[0] if leads_with_image else draw(st.sampled_from(asked))
        words = turns[place].content
        cut = 0 if leads_with_image else draw(st.integers(0, len(words)))
        # a cut inside of a placeholder would break it
        cut = 0 if "<image>" in words and not leads_with_image else cut
        mark = "<image>\n" if leads_with_image else "<image>"
        turns[place] = Turn("user", words[:cut] + mark + words[cut:])
    uses_tools = any(turn.tool_calls for turn in turns)
    return Conversation(
        draw(st.uuids()).hex, tuple(turns), tuple(image.format(n) for n in range(count)), TOOLS if uses_tools else ()
    )


@st.composite
def preferences(draw: Any, *, has_group: bool = True, has_margin: bool = True, **more: Any) -> Preference:
    asked = draw(conversations(**more))
    rejected = draw(WORDS.filter(lambda text: text.split() != asked.turns[-1].content.split()))
    return Preference(
        asked.id,
        asked.turns[:-1],
        asked.turns[-1:],
        (Turn("assistant", rejected),),
        asked.images,
        asked.tools,
        draw(st.one_of(st.none(), st.floats(0.5, 9))) if has_margin else None,
        draw(st.one_of(st.none(), st.just("g"))) if has_group else None,
    )


@st.composite
def labelled(draw: Any, **more: Any) -> LabelledAnswer:
    asked = draw(conversations(**more))
    return LabelledAnswer(asked.id, asked.turns[:-1], asked.turns[-1:], draw(st.booleans()), asked.images, asked.tools)
