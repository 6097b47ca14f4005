"""Pictures stand where the page shows them, main text is cut around them, and neither is lost."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpipe.extraction.decoding import decode_page
from mmpipe.extraction.images import find_image_candidates
from mmpipe.extraction.interleaved import (
    NO_PLACE,
    OUTSIDE,
    Markup,
    PageNode,
    _is_next_to_main,
    _Line,
    _locate_lines,
    _Picture,
    find_nodes,
)
from mmpipe.storage.places import Place

SENTENCES = (
    "The old harbour lies below the town, and every morning the fishing boats come back with the tide.",
    "In the summer months visitors walk along the quay, look at the nets, and eat fresh fish in the small bars.",
    "A museum beside the church tells how the harbour was built, who paid for it, and why it nearly silted up.",
    "Most of the boats are made of wood and were built by the same family, which still keeps a yard on the north side.",
    "When the wind turns to the west the harbour master closes the outer gate, and nobody leaves until it is over.",
)


def make_page(body: str) -> str:
    head = "<head><title>Harbour</title></head>"
    navigation = '<nav><ul><li><a href="/">Home</a><li><a href="/a">About</a></ul><img src="logo.png" alt="Logo"></nav>'
    footer = '<footer><img src="seal.png" alt="Seal"><a href="/i">Imprint</a> <a href="/p">Privacy</a></footer>'
    return f"<html>{head}<body>{navigation}<article><h1>The harbour</h1>{body}</article>{footer}</body></html>"


def read(html: str) -> list[str | int]:
    """Return the nodes of all pictures of a page: the first words of a text, the position of a picture."""
    nodes = find_nodes(html, range(html.count("<img")))
    # whether the heading is main text is the chooser's matter
    nodes = [node for node in nodes if node.left_out is None and node.text != "The harbour"]
    return [node.text.split()[0] if node.text else node.position for node in nodes]


def test_pictures_stand_between_the_paragraphs_that_they_stand_between() -> None:
    a, b, c, d, _ = SENTENCES
    html = make_page(f'<p>{a}</p><img src="1.jpg" alt="one"><p>{b}</p><p>{c}</p><div><img src="2.jpg"></div><p>{d}</p>')

    assert read(html) == ["The", 1, "In", "A", 2, "Most"]


def test_a_picture_in_a_line_stands_after_it_and_one_between_lines_between_them() -> None:
    a, b, c, d, _ = SENTENCES
    inside = make_page(f'<p>{a} <img src="1.jpg"> {b}</p><p>{c}</p><p>{d}</p>')
    between = make_page(f'<p>{a}<br><img src="1.jpg">{b}</p><p>{c}</p><p>{d}</p>')

    assert read(inside) == ["The", 1, "A", "Most"]
    assert read(between) == ["The", 1, "In", "A", "Most"]


def test_pictures_beside_the_content_are_named_and_not_lost() -> None:
    a, b, c, _, _ = SENTENCES
    html = make_page(f'<p>{a}</p><p>{b}</p><aside><p>{c}</p><img src="1.jpg"></aside>')

    nodes = find_nodes(html, [0, 1, 2, 9])

    assert [(node.position, node.left_out) for node in nodes if node.left_out] == [
        (0, OUTSIDE), (1, OUTSIDE), (2, OUTSIDE), (9, NO_PLACE),
    ]  # fmt: skip


def test_a_picture_that_opens_an_article_is_looked_for_past_the_byline() -> None:
    credit = "<div><span>By A. Writer</span><figure><img src='1.jpg'></figure><span>12 May</span></div>"
    related = "".join(f'<li><a href="/{n}"><img src="r{n}.jpg"> Story {n}</a></li>' for n in range(6))
    text = "".join(f"<p>{sentence}</p>" for sentence in SENTENCES)
    html = make_page(f"{credit}{text}<div><h4>Related</h4><ul>{related}</ul></div>")

    nodes = find_nodes(html, range(html.count("<img")))

    assert [node.position for node in nodes if node.position is not None and not node.left_out] == [1]


def test_a_figures_own_caption_does_not_put_it_outside() -> None:
    a, b, c, d, _ = SENTENCES
    figure = '<figure><img src="1.jpg"><figcaption>Photo: X</figcaption></figure>'
    html = make_page(f"<p>{a}</p><p>{b}</p>{figure}<p>{c}</p><p>{d}</p>")

    assert 1 in read(html)


def test_text_of_the_picture_itself_says_nothing_of_where_it_stands() -> None:
    def judge(main: int, **places: Any) -> bool:
        lines = [_Line("", number, is_main=number == main, letters=letters) for number, letters in enumerate("abcd")]
        spans = {"figure_start": 2, "figure_end": 2, "alt_letters": ""} | places
        picture = _Picture(0, 2, Markup(None, None, None), is_outside=False, around=(), **spans)
        return _is_next_to_main(picture, lines, [0, 1, 2, 3])

    # lines a and b stand before it, c and d behind it; one of them is main text
    assert (judge(0), judge(1), judge(2), judge(3)) == (False, True, True, False)
    assert judge(3, alt_letters="c")
    assert judge(0, alt_letters="b")
    assert judge(3, figure_end=3)


def test_the_markup_of_a_picture_is_kept_as_written() -> None:
    a, b, _, _, _ = SENTENCES
    html = make_page(f'<p>{a}</p><img src="../x y.jpg" width="640px" height="50%"><p>{b}</p>')

    (picture,) = [node for node in find_nodes(html, [1]) if node.position == 1]

    assert picture.markup == Markup("../x y.jpg", 640, None)


@given(
    st.lists(st.sampled_from(["p", "img", "br-img", "figure", "div-img", "inline"]), min_size=1, max_size=12),
    st.lists(st.integers(0, 14), max_size=6),
)
def test_every_picture_asked_for_is_one_node_in_the_order_of_the_page(parts: list[str], asked: list[int]) -> None:
    body = ""
    for number, part in enumerate(parts):
        text = f"Part {number}: {SENTENCES[number % len(SENTENCES)]}"
        body += {
            "p": f"<p>{text}</p>",
            "img": f'<img src="{number}.jpg">',
            "br-img": f'<p>{text}<br><img src="{number}.jpg"><br>{text[::-1]}</p>',
            "figure": f'<figure><img src="{number}.jpg"><figcaption>{text}</figcaption></figure>',
            "div-img": f'<div><img src="{number}.jpg"><span>Credit</span></div>',
            "inline": f'<p>{text} <img src="{number}.jpg"> and more of it.</p>',
        }[part]
    html = make_page(body)

    nodes = find_nodes(html, asked)

    placed = [node.position for node in nodes if node.position is not None]
    assert sorted(placed) == sorted(set(asked))
    shown = [node.position for node in nodes if node.position is not None and node.left_out is None]
    assert shown == sorted(shown)
    # the same text whatever pictures are asked for
    assert "".join(_letters(nodes)) == "".join(_letters(find_nodes(html, [])))


def _letters(nodes: list[PageNode]) -> list[str]:
    return ["".join(node.text.split()) for node in nodes if node.text]


@pytest.mark.parametrize("html", ["", "<img>", "no markup", "<figure><img></figure>", "<p>" * 3000 + "<img>", "\0<img"])
def test_broken_pages_yield_what_they_hold(html: str) -> None:
    nodes = find_nodes(html, [0])

    assert [node.position for node in nodes if node.position is not None] == [0]


def test_many_pictures_and_lines_take_linear_time() -> None:
    from time import process_time

    def seconds(pictures: int) -> float:
        html = make_page(
            "".join(f"<p>{n} {SENTENCES[n % 5]}</p><img src='{n}.jpg' alt='{n}'>" for n in range(pictures))
        )
        find_nodes(html[:5000], [1])
        least = math.inf
        for _ in range(2):
            started = process_time()
            find_nodes(html, range(pictures))
            least = min(least, process_time() - started)
        return least

    # were it quadratic, 400 times
    assert seconds(20_000) < 80 * max(seconds(1_000), 0.02)


def test_lines_that_are_nowhere_cost_no_more_than_others() -> None:
    from time import process_time

    lines = [_Line("", number, is_main=True, letters=f"x{number}" * 20) for number in range(50_000)]
    started = process_time()

    starts = _locate_lines(lines, "xx00x1" * 170_000)

    assert starts == [0] * len(lines)
    assert process_time() - started < 2


def test_positions_of_real_pages_are_those_of_the_candidates(shared_data) -> None:  # type: ignore[no-untyped-def]
    from mmpipe.storage.warc import cut_ranges, index_range, read_payloads

    root = Place(str(shared_data / "web"))
    (part, *_) = cut_ranges(root.join("real_pages.warc.gz"), 4 * 2**20, root)
    index = index_range("real", root, part)
    index = index.filter((index["kind"] == "html") & (index["record_status"] == "ok")).head(60)
    urls = dict(index.select("doc_id", "url").iter_rows())
    asked, shown = 0, 0
    for doc_id, payload in read_payloads(root, index, 20_000_000):
        html = decode_page(payload.body, payload.charset).text
        candidates = [item for item in find_image_candidates(html, urls[doc_id]) if item.element == "img"]
        nodes = [node for node in find_nodes(html, [item.position for item in candidates]) if node.position is not None]
        assert {node.position for node in nodes} == {item.position for item in candidates}
        assert all(node.left_out != NO_PLACE for node in nodes)
        asked += len(nodes)
        shown += sum(node.left_out is None for node in nodes)
    assert asked > 300
    # neither all of them, which are mostly logos and teasers, nor none
    assert 0.1 < shown / asked < 0.7
