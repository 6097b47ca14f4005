"""Lines of JSON are as many to every reader, and say what was written."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mmpipe.release.dialect_files import CONVERSATION_DIALECTS, render_conversations_for
from mmpipe.release.json_lines import write_json_line
from mmpipe.release.records import Conversation, Turn

#: All that `str.splitlines` takes for the end of a line, and what it might be mistaken for.
ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\\u2028"


@given(st.dictionaries(st.text(max_size=8), st.text(alphabet=st.sampled_from(ENDS + 'a中"\\\x00\ufeff'), max_size=30)))
def test_a_row_is_one_line_to_every_reader(row: dict[str, str]) -> None:
    line = write_json_line(row)
    assert line.splitlines() == [line.removesuffix("\n")]
    assert json.loads(line) == row


def test_files_of_all_dialects_have_a_line_per_row(tmp_path: Path) -> None:
    rows = [Conversation(str(place), (Turn("user", f"q{ENDS}"), Turn("assistant", f"a{ENDS}"))) for place in range(3)]
    for dialect in CONVERSATION_DIALECTS:
        file = render_conversations_for(rows, dialect)
        assert (file.rows, len(file.text.splitlines())) == (3, 3), dialect
        (tmp_path / file.name).write_text(file.text)
        if file.name.endswith(".jsonl"):
            with (tmp_path / file.name).open() as stream:
                assert all(json.loads(line) for line in stream)
        else:
            assert [item["conversations"][0]["value"] for item in json.loads(file.text)] == [f"q{ENDS}"] * 3


def test_letters_stand_as_they_are() -> None:
    assert write_json_line({"text": "中文 ß 👩"}) == '{"text": "中文 ß 👩"}\n'
