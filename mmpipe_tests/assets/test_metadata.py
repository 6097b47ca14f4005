from __future__ import annotations

import base64
import io

import polars as pl

from mmpipe.assets.metadata import CELL_CHARS, choose_comparable, draw_bars, write_counts, write_funnel, write_sample


def test_the_funnel_shows_each_rule_with_its_share() -> None:
    funnel = write_funnel(200, 150, {"short": 40, "loud": 20})

    assert "| **in** | 200 | |" in funnel
    assert "| failed `short` | 40 | 20.0% |" in funnel
    assert "| **out** | 150 | 75.0% |" in funnel


def test_a_funnel_of_nothing_divides_by_nothing() -> None:
    assert "| **out** | 0 |  |" in write_funnel(0, 0, {})


def test_a_sample_is_one_line_per_row_whatever_is_in_it() -> None:
    rows = pl.DataFrame(
        {
            "text": ["a\n\n| b <img>" + "x" * 500],
            "bytes": [b"123"],
            "list": [[{"id": "1", "data": b"4567"}]],
            "none": [None],
        }
    )

    lines = write_sample(rows).splitlines()

    assert len(lines) == 3
    assert "&lt;img>" in lines[2]
    assert "\\|" in lines[2]
    assert "3 bytes" in lines[2]
    assert "4 bytes" in lines[2]
    assert all(len(cell) <= CELL_CHARS + 10 for cell in lines[2].split(" | "))


def test_a_sample_of_many_columns_has_a_line_for_each() -> None:
    rows = pl.DataFrame({f"column_{number}": [f"{number}, {row}" for row in range(5)] for number in range(9)})

    lines = write_sample(rows).splitlines()

    assert len(lines) == 2 + 9
    assert lines[0] == "| column | row 1 | row 2 | row 3 |"
    assert lines[3] == "| column_1 | 1, 0 | 1, 1 | 1, 2 |"


def test_no_rows_say_so() -> None:
    assert write_sample(pl.DataFrame({"a": []})) == "no rows"


def test_bars_are_a_small_png() -> None:
    from PIL import Image

    address = draw_bars({f"rule_{n}": n for n in range(40)}, "rows removed by rule")

    head, data = address.split(",", 1)
    assert head == "data:image/png;base64"
    assert len(address) < 100_000
    assert Image.open(io.BytesIO(base64.b64decode(data))).size[0] > 300


def test_counts_are_a_table() -> None:
    assert "| tokens | 12,345 |" in write_counts({"tokens": 12345.0})
    assert "| tokens | 1,646,338 |" in write_counts({"tokens": 1_646_338})
    assert "| cost | 0.038983 |" in write_counts({"cost": 0.03898299999999998})


def test_one_axis_shows_what_compares() -> None:
    asked = {"requests": 371, "prompt_tokens": 77_307, "completion_tokens": 29_402, "cost": 0.04, "requests_cached": 0}
    assert choose_comparable({"accepted": 78, **asked, "refused_question_copied": 312}) == {
        "accepted": 78,
        "refused_question_copied": 312,
    }
    assert choose_comparable(asked | {"missing": 0}) == {"prompt_tokens": 77_307, "completion_tokens": 29_402}
    assert choose_comparable({"requests": 3}) == {"requests": 3}
