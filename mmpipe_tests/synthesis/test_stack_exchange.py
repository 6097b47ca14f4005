"""Pairs of a StackExchange dump written as the real ones are; broken rows are named and take no neighbour with them."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.comparison_groups import join_comparisons
from mmpipe.synthesis.post_html import clean_post_html
from mmpipe.synthesis.stack_exchange import StackExchangeSettings, pair_dump, score_votes
from mmpipe.synthesis.stack_exchange_posts import DumpAccount, find_license, iterate_posts, split_tags

HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
TAIL = "</posts>"


def write_row(**attributes: Any) -> str:
    said = " ".join(
        f"{name}={quoteattr(str(value), {chr(10): '&#xA;', chr(13): '&#xD;'})}" for name, value in attributes.items()
    )
    return f"  <row {said} />\n"


def write_question(number: int, accepted: int | None = None, **more: Any) -> str:
    attributes: dict[str, Any] = {"Id": number, "PostTypeId": 1}
    if accepted is not None:
        attributes["AcceptedAnswerId"] = accepted
    attributes |= {
        "CreationDate": "2012-07-31T21:42:52.667",
        "Score": 4,
        "ViewCount": 1,
        "Body": f"<p>How many, {number}?</p>\n",
        "OwnerUserId": 8,
        "LastActivityDate": "2018-07-31T21:42:52.667",
        "Title": f"Counting & {number}",
        "Tags": "<c#><math>",
        "AnswerCount": 2,
        "ContentLicense": "CC BY-SA 3.0",
    }
    return write_row(**attributes | more)


def write_answer(number: int, question: int, votes: Any, **more: Any) -> str:
    attributes = {
        "Id": number, "PostTypeId": 2, "ParentId": question, "CreationDate": "2019-07-31T21:42:52.667",
        "Score": votes, "Body": f"<p>Answer {number}</p>", "OwnerUserId": 9, "ContentLicense": "CC BY-SA 4.0",
    }  # fmt: skip
    return write_row(**attributes | more)


def write_dump(*rows: str) -> bytes:
    return (HEAD + "".join(rows) + TAIL).encode()


def run(dump: bytes, folder: Path, **settings: Any) -> tuple[Any, DumpAccount]:
    account = DumpAccount()
    parts = pair_dump(io.BytesIO(dump), folder, StackExchangeSettings(**settings), account)
    return join_comparisons(parts), account


def list_pairs(frame: pl.DataFrame) -> set[tuple[str, str]]:
    return set(frame.select("chosen_id", "rejected_id").rows())


@pytest.mark.parametrize(
    ("votes", "score"),
    [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (7, 3), (10, 3), (11, 4), (1000, 10), (-1, -1), (-50, -1)],
)
def test_scores_of_votes(votes: int, score: int) -> None:
    assert score_votes(votes, is_accepted=False) == score
    # an accepted answer that people voted down stays at -1
    assert score_votes(votes, is_accepted=True) == (score + 1 if votes >= 0 else -1)
    assert score_votes(10**30, is_accepted=False) == 40


def test_votes_become_pairs_with_licence_links_and_tags(tmp_path: Path) -> None:
    dump = write_dump(
        write_question(1, accepted=13),
        write_answer(11, 1, 0),
        write_answer(12, 1, 1),
        write_answer(13, 1, 3),
        write_answer(14, 1, 7),
        write_answer(15, 1, -2, OwnerUserId=""),
    )
    made, account = run(dump, tmp_path)
    # scores 0, 1, 2 + 1, 3, -1: ten comparisons, one tie
    assert made.planned == 10
    assert made.left_out == {"tied_scores": 1}
    assert list_pairs(made.frame) == {
        ("12", "11"), ("13", "11"), ("14", "11"), ("11", "15"), ("13", "12"), ("14", "12"), ("12", "15"),
        ("13", "15"), ("14", "15"),
    }  # fmt: skip
    row = made.frame.filter(pl.col("chosen_id") == "12", pl.col("rejected_id") == "15").row(0, named=True)
    assert row["prompt"] == "Counting & 1\n\nHow many, 1?"
    assert (row["chosen"], row["rejected"]) == ("Answer 12", "Answer 15")
    assert row["tags"] == ["c#", "math"]
    assert row["license"] == "CC BY-SA 3.0 AND CC BY-SA 4.0"
    assert row["source_urls"] == [
        "https://stackoverflow.com/q/1", "https://stackoverflow.com/users/8", "https://stackoverflow.com/a/12",
        "https://stackoverflow.com/users/9", "https://stackoverflow.com/a/15",
    ]  # fmt: skip
    assert row["parents"][0] == {"table": "stack_exchange:stackoverflow.com", "id": "12"}
    assert made.frame["group_id"].n_unique() == 1
    assert (account.rows, account.questions, account.answers) == (6, 1, 5)
    assert account.bytes_read == len(dump)
    assert list(tmp_path.iterdir()) == []


def test_broken_rows_are_named_and_take_no_neighbour(tmp_path: Path) -> None:
    dump = write_dump(
        write_question(1),
        write_answer(11, 1, 5),
        '  <row Id="12" PostTypeId="2" ParentId="1" Score="9" Body="a & b" />\n',
        '  <row Id="13" PostTypeId="2" ParentId="1" Score="9" Body="a < b" />\n',
        '  <row Id="14" PostTypeId="2" ParentId="1" Score="9" Body="bell \x07" />\n',
        write_answer("fourteen", 1, 5),  # type: ignore[arg-type]
        write_answer(15, 1, "many"),
        write_answer(16, 1, ""),
        write_answer(17, 1, 5, Body="  "),
        write_answer(18, 1, 5, ParentId=""),
        write_row(Id=19, Score=3, Body="x"),
        write_row(Id=20, PostTypeId=5, Body="a wiki"),
        write_answer(21, 1, 1),
        write_answer(22, 99, 1),
        write_answer(23, 99, 8),
    )
    broken = dump.replace(b"Answer 11", b"Answer \xff 11")
    made, account = run(dump, tmp_path)
    assert list_pairs(made.frame) == {("11", "21")}
    assert made.left_out == {"no_question": 1}
    assert account.left_out == {
        "malformed_xml": 3, "missing_id": 1, "missing_score": 2, "missing_body": 1, "missing_parent": 1,
        "missing_post_type": 1, "other_post_type": 1,
    }  # fmt: skip
    assert account.rows == account.questions + account.answers + sum(account.left_out.values()) == 15
    assert account.broken[:2] == [(3, "malformed_xml"), (4, "malformed_xml")]
    assert "other_post_type" not in [reason for _, reason in account.broken]
    assert run(broken, tmp_path)[1].left_out["malformed_xml"] == 4


def test_a_dump_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    dump = write_dump(write_question(1), write_answer(11, 1, 5), write_answer(12, 1, 1), write_answer(13, 1, 0))
    cut = dump[: dump.index(b"Answer 13")]
    made, account = run(cut, tmp_path)
    assert list_pairs(made.frame) == {("11", "12")}
    assert account.left_out == {"malformed_xml": 1}
    whole, account = run(dump, tmp_path)
    assert whole.frame.height == 3
    assert account.left_out == {}


def test_other_layouts_of_the_same_xml_read_alike(tmp_path: Path) -> None:
    rows = [write_question(1), write_answer(11, 1, 5, Body="<pre><code>a\n  b</code></pre>"), write_answer(12, 1, 1)]
    plain, _ = run(write_dump(*rows), tmp_path)
    assert "a\n  b" in plain.frame["chosen"][0]
    in_one_line = write_dump(*(row.strip() for row in rows)).replace(b"\n", b"")
    spread = write_dump(*(row.replace('" ', '"\n\t') for row in rows))
    closed = write_dump(*(row.replace(" />", "></row>") for row in rows))
    single = write_dump(*(row.replace('Id="1"', "Id='1'") for row in rows))
    for dump in (in_one_line, spread, closed, single):
        assert run(dump, tmp_path)[0].frame.equals(plain.frame)


@given(st.integers(1, 700), st.integers(1, 9), st.integers(1, 4000))
def test_chunks_partitions_and_buffers_change_nothing(chunk: int, partitions: int, buffer_bytes: int) -> None:
    import tempfile

    rows = [write_question(n, accepted=n * 100 + 1) for n in range(1, 7)]
    rows += [write_answer(n * 100 + k, n, k * k - 1) for k in range(4) for n in range(1, 7)]
    dump = write_dump(*rows)
    posts = list(iterate_posts(io.BytesIO(dump), DumpAccount(), chunk_bytes=chunk))
    assert posts == list(iterate_posts(io.BytesIO(dump), DumpAccount()))
    assert len(posts) == 30
    with tempfile.TemporaryDirectory() as folder:
        made, _ = run(dump, Path(folder), partitions=partitions, buffer_bytes=buffer_bytes)
        one, _ = run(dump, Path(folder), partitions=1)
    assert made.frame.sort("pair_id").equals(one.frame.sort("pair_id"))
    # votes -1, 0, 3, 8 with the second accepted: -1, 1, 2, 3
    assert made.frame.height == 6 * 6


def test_memory_does_not_grow_with_the_dump(tmp_path: Path) -> None:
    def measure(questions: int) -> int:
        path = tmp_path / "Posts.xml"
        body = "<p>" + "word " * 400 + "</p>"
        with path.open("w", encoding="utf-8") as file:
            file.write(HEAD)
            for number in range(questions):
                file.write(write_question(number, Body=body))
                file.writelines(
                    write_answer(10**6 + number * 2 + k, number, k * 5, Body=f"{k}{body}") for k in range(2)
                )
            file.write(TAIL)
        tracemalloc.start()
        with path.open("rb") as stream:
            settings = StackExchangeSettings(partitions=questions // 10, buffer_bytes=1 << 16)
            pairs = sum(part.frame.height for part in pair_dump(stream, tmp_path, settings, DumpAccount()))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pairs == questions
        return peak

    # five times the dump; whatever grew with it would be some 8 MB more
    small, large = measure(150), measure(750)
    assert large < 1.5 * small


def test_most_pairs_of_a_question_are_drawn_by_hash(tmp_path: Path) -> None:
    rows = [write_question(1), *(write_answer(n, 1, 2**k - 1) for k, n in enumerate(range(10, 18)))]
    whole, _ = run(write_dump(*rows), tmp_path)
    capped, _ = run(write_dump(*rows), tmp_path, pairs_per_question=10)
    assert whole.frame.height == 28
    assert capped.left_out == {"over_pairs_per_question": 18}
    assert list_pairs(capped.frame) < list_pairs(whole.frame)
    assert run(write_dump(rows[0], *rows[:0:-1]), tmp_path, pairs_per_question=10)[0].frame.equals(capped.frame)


def test_the_marker_stands_at_the_end_of_both_answers(tmp_path: Path) -> None:
    rows = [write_question(1), write_answer(11, 1, 5), write_answer(12, 1, 1)]
    made, _ = run(write_dump(*rows), tmp_path, end_marker="<EOC>")
    assert made.frame.select("chosen", "rejected").rows() == [("Answer 11<EOC>", "Answer 12<EOC>")]
    assert "<EOC>" not in made.frame["prompt"][0]


def test_answers_of_equal_words_or_of_pictures_alone_are_no_pair(tmp_path: Path) -> None:
    rows = [
        write_question(1), write_answer(11, 1, 5, Body="<p>Use  sort</p>"), write_answer(12, 1, 1, Body="Use sort"),
        write_answer(13, 1, 0, Body='<p><img src="x.png" alt="y"></p>'),
        write_question(2, Body="<p></p>", Title=""), write_answer(21, 2, 5), write_answer(22, 2, 1),
        write_question(3), write_question(3, Title="Again"), write_answer(31, 3, 5), write_answer(31, 3, 0, Body="z"),
        write_answer(32, 3, 1),
    ]  # fmt: skip
    made, _ = run(write_dump(*rows), tmp_path)
    assert made.left_out == {"empty_answer": 2, "identical_answers": 1, "no_question": 1}
    assert made.frame.select("chosen", "rejected").rows() == [("Answer 31", "Answer 32")]
    assert made.frame["prompt"][0].startswith("Counting & 3")


def test_what_is_no_posts_file_stops(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no Posts\.xml.*<comments>"):
        run(b'<?xml version="1.0" encoding="utf-8"?><comments><row Id="1" /></comments>', tmp_path)
    with pytest.raises(ConfigurationError, match=r"no Posts\.xml"):
        run(b"", tmp_path)
    with pytest.raises(ConfigurationError, match="utf-16"):
        run(b'<?xml version="1.0" encoding="utf-16"?><posts><row Id="1" /></posts>', tmp_path)
    made, account = run(write_dump(), tmp_path)
    assert (made.planned, account.rows) == (0, 0)


def test_no_entity_of_the_file_is_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden words")
    dump = write_dump(write_question(1), write_answer(11, 1, 5, Body="x"), write_answer(12, 1, 1))
    attack = dump.replace(b"<posts>", f'<!DOCTYPE posts [<!ENTITY e SYSTEM "{secret}">]><posts>'.encode())
    made, account = run(attack.replace(b'"x"', b'"&e;"'), tmp_path)
    assert account.left_out == {"malformed_xml": 1}
    assert made.frame.height == 0


def test_licences_and_tags_of_older_dumps() -> None:
    assert find_license("2010-01-01T00:00:00") == "CC BY-SA 2.5"
    assert find_license("2011-04-08T00:00:00") == "CC BY-SA 3.0"
    assert find_license("2018-05-01T23:59:59") == "CC BY-SA 3.0"
    assert find_license("2018-05-02T00:00:00") == "CC BY-SA 4.0"
    assert find_license("") == "CC BY-SA"
    assert split_tags("<c#><.net>") == split_tags("|c#|.net|") == ("c#", ".net")
    assert split_tags("") == ()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p>\n\n<p>Two  three<br>four</p>", "One\n\nTwo three\nfour"),
        ("<p>Use <code>a  &lt; b</code> here</p>", "Use `a  < b` here"),
        ("<p>Use <code>a`b</code></p>", "Use `` a`b ``"),
        ("<pre><code>def f():\n    return  1\n</code></pre><p>Done</p>", "```\ndef f():\n    return  1\n```\n\nDone"),
        ('<pre class="lang-py"><code>a ``` b</code></pre>', "````\na ``` b\n````"),
        ("<pre><code>one\n\n\n\ntwo</code></pre>", "```\none\n\n\n\ntwo\n```"),
        ("<ul>\n<li>a</li>\n<li><p>b</p></li>\n</ul>", "- a\n- b"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
        ("<blockquote>\n<p>said</p>\n<p>more</p></blockquote><p>I</p>", "> said\n>\n> more\n\nI"),
        ('<p>See <a href="https://x.y">the <b>docs</b></a>.</p>', "See the docs."),
        ('<p><img src="a.png"></p>', ""),
        ("<p>a<script>alert(1)</script><!-- no -->b</p>", "ab"),
        ("plain &amp; simple", "plain & simple"),
        ("", ""),
        ("<p>broken <b>tags", "broken tags"),
        ("<h2>Title</h2>text<hr>end", "Title\n\ntext\nend"),
        # marks that change the sense: 2 to the 10 is not 210, and what was struck out is not said
        ("<p>2<sup>10</sup>, x<sup>n+1</sup>, H<sub>2</sub>O<sup></sup></p>", "2^10, x^(n+1), H_2O"),
        ("<p>Use <del>gets</del> <s> </s><strike>puts</strike> fgets</p>", "Use ~~gets~~ ~~puts~~ fgets"),
        (
            "<table>\n<tr>\n<th>Name</th>\n<th>Age</th>\n</tr>\n<tr>\n<td>Ann<br>B.</td>\n<td>12</td>\n</tr>\n</table>So.",
            "Name | Age\nAnn B. | 12\n\nSo.",
        ),
        (
            "<blockquote><p>Try</p>\n<pre><code>if x:\n    y\n\nz\n</code></pre></blockquote><p>I</p>",
            "> Try\n>\n> ```\n> if x:\n>     y\n>\n> z\n> ```\n\nI",
        ),
        ('<ol start="3"><li>c</li><li>d</li></ol>', "3. c\n4. d"),
        ('<ol start="0"><li>a</li><li>b</li></ol>', "0. a\n1. b"),
        ("<p><code>``</code> <code>a``b`</code></p>", "` `` ` ``` a``b` ```"),
    ],
)
def test_html(html: str, text: str) -> None:
    assert clean_post_html(html) == text


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1, max_size=80))
def test_code_is_kept_to_the_letter(code: str) -> None:
    from xml.sax.saxutils import escape

    from hypothesis import assume

    # what XML and HTML cannot hold is not in a dump
    assume(all(ord(letter) >= 32 or letter in "\n\t" for letter in code))
    assume(not any(0x7F <= ord(letter) <= 0x9F or ord(letter) in (0xFFFE, 0xFFFF) for letter in code))
    wanted = code.strip("\n")
    cleaned = clean_post_html(f"<p>x</p><pre><code>{escape(code)}</code></pre>")
    if wanted.strip():
        assert cleaned.partition("```\n")[2].removesuffix("`").rstrip("`") == f"{wanted}\n".rstrip("`") or "`" in code
        assert wanted in cleaned
    else:
        assert cleaned == "x"
