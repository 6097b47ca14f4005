"""Released rows become each dialect's file; what one dialect cannot hold is told and costs the others nothing."""

from __future__ import annotations

import json

import pytest

from mmpipe.errors import ConfigurationError
from mmpipe.release import exporters_openai, exporters_trl
from mmpipe.release.conversations import render_conversations
from mmpipe.release.dialect_files import (
    CONVERSATION_DIALECTS,
    PREFERENCE_DIALECTS,
    read_conversations,
    read_preferences,
    render_conversations_for,
    render_preferences_for,
)
from mmpipe.release.jsonl import list_image_files
from mmpipe.release.preference_pairs import render_preferences
from mmpipe.release.records import Conversation, Turn
from mmpipe_tests.release.rows import FILES, INSTRUCTIONS, PAIRS

SFT = render_conversations(INSTRUCTIONS, FILES)
PREFERRED = render_preferences(PAIRS, INSTRUCTIONS, FILES)


def test_released_rows_are_read_with_the_paths_of_their_pictures() -> None:
    text, vision = read_conversations(SFT)
    assert text.turns[1] == Turn("assistant", "In 1877.")
    assert list(vision.images) == [path for path, _ in list_image_files(SFT)]
    first, second = read_preferences(PREFERRED)
    assert (first.margin, first.group_id, first.chosen[0].content) == (7.0, "i1", "In 1877.")
    assert second.images == vision.images


@pytest.mark.parametrize("dialect", CONVERSATION_DIALECTS)
def test_every_row_is_in_the_file_or_refused_by_name(dialect: str) -> None:
    file = render_conversations_for(read_conversations(SFT), dialect)
    rows = json.loads(file.text) if file.name.endswith(".json") else list(map(json.loads, file.text.splitlines()))
    assert file.rows == len(rows)
    assert file.rows + len(file.refused) == SFT.height
    # OpenAI takes URLs only
    assert list(file.refused) == (["i2"] if dialect == "openai" else [])


@pytest.mark.parametrize("dialect", PREFERENCE_DIALECTS)
def test_every_preference_is_in_the_file_or_refused_by_name(dialect: str) -> None:
    file = render_preferences_for(read_preferences(PREFERRED), dialect)
    assert file.rows == file.text.count("\n") == 2 - len(file.refused)
    # neither has room for pictures in this form
    assert list(file.refused) == (["q2"] if dialect in {"openai", "axolotl"} else [])


def test_files_hold_what_exporters_write() -> None:
    text, vision = read_conversations(SFT)
    lines = render_conversations_for([text, vision], "trl").text.splitlines()
    assert [exporters_trl.import_conversation(json.loads(line)) for line in lines] == [text, vision]
    (line,) = render_conversations_for([text], "openai").text.splitlines()
    assert exporters_openai.import_conversation(json.loads(line), text.id) == text


def test_bad_rows_and_dialects_are_named() -> None:
    broken = Conversation("bad", (Turn("user", "q"), Turn("assistant", "")))
    file = render_conversations_for([broken], "trl")
    assert (file.text, file.rows) == ("", 0)
    assert "row bad has an empty turn" in file.refused["bad"]
    with pytest.raises(ConfigurationError, match="Did you mean 'axolotl'"):
        render_conversations_for([], "axolot")


def test_a_row_beyond_openais_limits_is_refused_by_name() -> None:
    turns = (Turn("user", "<image>" * 11 + "q"), Turn("assistant", "a"))
    many = Conversation("many", turns, ("data:image/png;base64,AAAA",) * 11)
    gif = Conversation("gif", (Turn("user", "<image>q"), turns[1]), ("data:image/gif;base64,AAAA",))
    file = render_conversations_for([many, gif], "openai")
    assert file.rows == 0
    assert "has 11 images, where 10 are allowed" in file.refused["many"]
    assert "of kind gif" in file.refused["gif"]
    assert render_conversations_for([many, gif], "trl").rows == 2
