"""The block reader: text as a browser shows it, whatever the markup; nothing unshown leaks; time stays linear."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpipe.extraction.html_blocks import read_blocks
from mmpipe.extraction.html_runs import END, FLAGS, HEADING, LINK_WORDS, START, TAG_ID, WORDS
from mmpipe.extraction.html_vocabulary import CLASS_BITS, FLAG, TAG, load_vocabulary


def read(html: str | bytes) -> list[str]:
    """Return the text of each block."""
    data = html.encode("utf-8", "replace") if isinstance(html, str) else html
    text, blocks, *_ = read_blocks(np.frombuffer(data, np.uint8), load_vocabulary())
    return [text[start:end].tobytes().decode("utf-8") for start, end in blocks[:, [START, END]]]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>one<p>two<div>three</div>four", ["one", "two", "three", "four"]),
        ("<p>One <b>bold</b>face <i>word</i>.</p>", ["One boldface word."]),
        ("  a \n\t b&nbsp;c\u00a0d  ", ["a b c d"]),
        ("line<br>next<br><br>new", ["line\nnext", "new"]),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", ["a", "b", "c", "d"]),
        ("<table><tr><td>1<td>2<tr><th>3</table>x", ["1", "2", "3", "x"]),
        ("<pre>\n a\n  b\n</pre>", [" a\n  b"]),
        ("<h1>A</h1><h2>B", ["A", "B"]),
        ("a < b && c &unknown; 5<6", ["a < b && c &unknown; 5<6"]),
        ("&amp;&lt;&gt;&quot;&eacute;&#233;&#xE9;&hellip;&copy 1", ['&<>"éé\u00e9…© 1']),
        ("&#0;&#x110000;&#xD800;&#150;&#8203;x&shy;y&zwnj;", ["\ufffd\ufffd\ufffd–xy\u200c"]),
        ("&nGt;&NotEqualTilde;", ["≫⃒≂̸"]),
        ("<!-- no --><!-->a<!---->b<!-- x --!>c<!--> d", ["abc d"]),
        ("<![CDATA[no <p>no</p>]]>yes", ["yes"]),
        ("<?xml no ?><!doctype no>yes</ no>", ["yes"]),
        ("<script>if (a</b) '<p>no'</script><style>no</style>yes", ["yes"]),
        ("<SCRIPT type='a>b'>no</Script >yes", ["yes"]),
        ("<noscript><p>no</noscript><template>no</template><iframe>no</iframe><textarea>no</textarea>yes", ["yes"]),
        ("<title>no</title><svg><text>no</text></svg><math>no</math>yes", ["yes"]),
        ("<svg/>yes<svg>lost", ["yeslost"]),
        ("<p title='a > b' data-x=\"<p>no\">yes", ["yes"]),
        ("<a href=x>link</a><a href='y'>er", ["linker"]),
        ("a<script>never closed", ["a"]),
        ("a<!-- never closed", ["a"]),
        ("a<p class='never closed", ["a"]),
        ("日本語。テキスト", ["日本語。テキスト"]),
        ("\x01a\x02", ["a"]),
        ("<", ["<"]),
        ("", []),
        ("<p></p> <div>\n</div>", []),
    ],
)
def test_text_of_blocks(html: str, expected: list[str]) -> None:
    assert read(html) == expected


def test_what_a_block_knows() -> None:
    html = (
        '<nav><a href=/a>Home page</a> now</nav><div class="mainNav article-body"><h2>Head <span>line</span></h2></div>'
    )
    _, blocks, marks, *_ = read_blocks(np.frombuffer(html.encode(), np.uint8), load_vocabulary())
    assert blocks[:, [WORDS, LINK_WORDS]].tolist() == [[3, 2], [2, 0]]
    assert blocks[0, FLAGS] & FLAG["nav"]
    assert not blocks[1, FLAGS] & FLAG["nav"]
    assert (blocks[1, TAG_ID], blocks[1, HEADING]) == (TAG["h2"], 2)
    for bits in (int(marks[1, 0]), int(marks[1, 1])):
        assert bits & CLASS_BITS["navigation"]
        assert bits & CLASS_BITS["article_body"]
        assert not bits & CLASS_BITS["footer"]


def test_words_are_counted_in_every_script() -> None:
    for text, words in (("one, two-three", 3), ("日本語", 3), ("Größe и слово", 3), ("한국어", 3)):
        _, blocks, *_ = read_blocks(np.frombuffer(f"<p>{text}".encode(), np.uint8), load_vocabulary())
        assert blocks[0, WORDS] == words


def test_a_link_left_open_ends_with_its_element() -> None:
    html = b"<div><a href=x>in</div><p>one two</p>"
    _, blocks, *_ = read_blocks(np.frombuffer(html, np.uint8), load_vocabulary())
    assert blocks[:, LINK_WORDS].tolist() == [1, 0]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(
                ["<", ">", "&", "&#", "&#x", ";", "<p>", "</p>", "<td>", "<tr>", "</table>", "<table>", "<li>", "<!--",
                 "-->", "<![CDATA[", "]]>", "</", "<a href=x>", "</a>", "<br>", "<pre>", "</pre>", "<svg>", "'", '"',
                 "=", "\0",
                 "<script>", "</script>", "\n", " ", "é", "\u00a0", "\u200b", "語"]
            ),
            st.text(max_size=5),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_any_markup_gives_clean_text(parts: list[str]) -> None:
    html = "".join(parts).encode("utf-8", "replace")
    blocks = read(html)
    assert blocks == read(html)
    for block in blocks:
        assert block.strip()
        assert "\0" not in block
        assert "\ufeff" not in block


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    text, blocks, *_ = read_blocks(np.frombuffer(data, np.uint8), load_vocabulary())
    assert all(0 <= start < end <= text.size for start, end in blocks[:, [START, END]])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("abc &<>\"'é語", min_size=1, max_size=20), max_size=8))
def test_escaped_paragraphs_come_back(paragraphs: list[str]) -> None:
    from html import escape

    html = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)
    expected = [" ".join(paragraph.split()) for paragraph in paragraphs]
    assert read(html) == [paragraph for paragraph in expected if paragraph]


@pytest.mark.parametrize(
    "unit",
    [
        "<div>", "<b>", "<table><tr><td>", "<a href=x>", "<svg>", "<!--", "<![CDATA[", "&", "</div>", "<", "<p a", "x ",
        "<section><td></section>", "<li><ul>", "<script>", "<textarea>", "<p>x", "&#99999999",
    ],
)  # fmt: skip
def test_time_is_linear(unit: str) -> None:
    read("warm")
    start = time.process_time()
    read(unit * 100_000)
    assert time.process_time() - start < 2.0


def test_deep_nesting_keeps_the_text() -> None:
    assert read("<div>" * 100_000 + "<p>deep" + "</div>" * 100_000 + "<p>after") == ["deep", "after"]
