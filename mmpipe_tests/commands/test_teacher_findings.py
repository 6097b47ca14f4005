"""`mmpipe doctor` looks at each teacher of the file, and at the single one where it answers something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.commands.teacher_findings import find_teachers
from mmpipe_tests.models.test_teacher_probe import serve_models

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
teachers:
  small: {{model: qwen-7b, base_url: "{url}"}}
  strong: {{model: qwen-99b, base_url: "{url}", api_key_variable: STRONG_KEY}}
  idle: {{model: /gone/model}}
uses: {{{uses}judge: strong}}
"""


def look(folder: Path, url: str, uses: str, **environ: str) -> list[tuple[bool, str]]:
    (folder / "teachers.yaml").write_text(FILE.format(url=url, uses=uses))
    return list(find_teachers({"MMPIPE_TEACHERS": str(folder / "teachers.yaml"), **environ}))


def test_each_teacher_of_the_file_is_looked_at(tmp_path: Path) -> None:
    with serve_models() as (url, _):
        unset = look(tmp_path, url, "default: small, ")
        key = look(tmp_path, url, "default: small, ", STRONG_KEY="k")
        single = look(tmp_path, url, "", MMPIPE_TEACHER="/gone/too")
    assert [is_wrong for is_wrong, _ in unset] == [False, True, True]
    assert unset[0][1] == f"small (for default): qwen-7b at {url}"
    assert "strong (for judge): " in unset[1][1]
    assert "STRONG_KEY is not set" in unset[1][1]
    assert "does not serve 'qwen-99b'" in key[1][1]
    assert "idle (used for nothing): /gone/model: no such file" in key[2][1]
    # without a default the single teacher answers what the file does not name
    assert single[0][0]
    assert single[0][1].startswith("MMPIPE_TEACHER: /gone/too: no such file or folder.")


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    ((is_wrong, message),) = find_teachers({"MMPIPE_TEACHERS": str(tmp_path / "gone.yaml")})
    assert is_wrong
    assert "there is no file" in message
    (tmp_path / "teachers.yaml").write_text("teachers: {a: {modell: x}}")
    ((is_wrong, message),) = find_teachers({"MMPIPE_TEACHERS": str(tmp_path / "teachers.yaml")})
    assert is_wrong
    assert "Did you mean 'model'" in message


def test_a_pool_of_the_recipe_is_looked_for_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: refinedweb\ninstructions: {response_teachers: [small, idel]}\n")
    with serve_models() as (url, _):
        found = look(tmp_path, url, "default: small, ", MMPIPE_RECIPE=str(tmp_path / "mine.yaml"))
    wrong = next(message for is_wrong, message in found if is_wrong and "response_teachers" in message)
    assert "'idel'; the file of teachers has none of that name (MMPIPE_TEACHERS). Did you mean 'idle'?" in wrong
    assert any(message.startswith("small (for default, response_teachers): ") for _, message in found)
    ((is_wrong, message), *_) = find_teachers({"MMPIPE_RECIPE": str(tmp_path / "mine.yaml"), "MMPIPE_TEACHER": "/gone"})
    assert is_wrong
    assert message.startswith("MMPIPE_TEACHER")
    messages = [said for _, said in find_teachers({"MMPIPE_RECIPE": str(tmp_path / "mine.yaml")})]
    assert sum("no file of teachers is named" in said for said in messages) == 2
