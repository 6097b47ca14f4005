"""Reads the posts of a StackExchange dump as a stream: one row after another, what is broken named, memory bounded.

`Posts.xml` has one root `posts` and an empty element `row` per post with everything in attributes (Id, PostTypeId 1 a
question and 2 an answer, ParentId, AcceptedAnswerId, Score, Body as HTML, Title, Tags, CreationDate, ContentLicense). A
`<` never stands unescaped in an attribute, so the bytes `<row` part the stream whatever its lines look like, and one
broken row takes none of its neighbours with it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

from mmpipe.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

QUESTION, ANSWER = "1", "2"

#: Why a row of the dump is neither a question nor an answer. The first is no fault: wikis, nominations and the like.
ROW_REASONS = (
    "other_post_type", "malformed_xml", "missing_id", "missing_post_type", "missing_parent", "missing_score",
    "missing_body", "oversized_row",
)  # fmt: skip

#: When the licence of what users write changed, for dumps without ContentLicense (stackoverflow.com/help/licensing).
_LICENCES = (("2018-05-02", "CC BY-SA 4.0"), ("2011-04-08", "CC BY-SA 3.0"), ("", "CC BY-SA 2.5"))
_ROW = re.compile(rb"<row(?=[\s/>])")
_ROOT_END = re.compile(rb"</(?!row\b)[\w:.-]+\s*>\s*\Z")
_ENCODING = re.compile(rb"<\?xml[^>]*encoding=[\"']([\w.-]+)")
#: Far above any post: a site's longest has 30,000 characters.
_LONGEST_ROW = 1 << 26


@dataclass(frozen=True, slots=True)
class Post:
    """A question or an answer.

    Attributes:
        id: of the post.
        question_id: of its question; a question's own id.
        is_answer: whether it is one.
        votes: up less down.
        body: HTML.
        accepted_id: of a question's accepted answer; empty if none.
        title: of a question.
        tags: of a question.
        license: under which it stands.
        owner: user id; empty if the user is gone.
    """

    id: int
    question_id: int
    is_answer: bool
    votes: int
    body: str
    accepted_id: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    license: str = ""
    owner: str = ""


@dataclass(slots=True)
class DumpAccount:
    """What a dump's rows were: rows = questions + answers + sum of `left_out`.

    Attributes:
        rows: elements seen.
        questions: usable ones.
        answers: usable ones.
        left_out: others, by reason.
        broken: number of the row (from 1) and reason of the first broken ones, for a look into the file.
        bytes_read: of the stream.
    """

    rows: int = 0
    questions: int = 0
    answers: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)
    bytes_read: int = 0

    def leave_out(self, reason: str) -> None:
        """Count the current row under a reason."""
        self.left_out[reason] += 1
        if reason != "other_post_type" and len(self.broken) < 100:
            self.broken.append((self.rows, reason))


def iterate_posts(stream: BinaryIO, account: DumpAccount, *, chunk_bytes: int = 1 << 20) -> Iterator[Post]:
    """Yield the questions and answers of a `Posts.xml`, in its order; everything else is counted.

    Args:
        stream: the XML, as bytes.
        account: counts; filled on the way.
        chunk_bytes: read at a time. Memory: some chunks and the longest row.

    Raises:
        ConfigurationError: it is no `Posts.xml`, or not in UTF-8.
    """
    for element in _iterate_elements(stream, account, chunk_bytes):
        account.rows += 1
        post = "oversized_row" if element is None else _read_row(element)
        if isinstance(post, str):
            account.leave_out(post)
            continue
        account.answers += post.is_answer
        account.questions += not post.is_answer
        yield post


def _iterate_elements(stream: BinaryIO, account: DumpAccount, chunk_bytes: int) -> Iterator[bytes | None]:
    """Yield the bytes of each row element; None for one that is too long to be any."""
    buffer = bytearray()
    is_begun = is_oversized = False
    while True:
        chunk = stream.read(chunk_bytes)
        account.bytes_read += len(chunk)
        # a mark that the last chunk broke in two begins in its last five bytes
        start = max(0, len(buffer) - 5)
        buffer += chunk
        places = [found.start() for found in _ROW.finditer(buffer, start)]
        if not is_begun and (places or not chunk):
            _check_head(bytes(buffer[: places[0]] if places else buffer[:4096]))
        begin = 0
        for place in places:
            if place == 0 and begin == 0 and is_begun:
                continue
            if is_begun:
                yield None if is_oversized else bytes(buffer[begin:place])
            is_begun, is_oversized, begin = True, False, place
        del buffer[:begin]
        if not chunk:
            break
        if len(buffer) > _LONGEST_ROW:
            is_oversized = is_begun
            if not is_begun:
                _check_head(bytes(buffer[:4096]))
            del buffer[6:-6]
    if is_begun:
        yield None if is_oversized else _ROOT_END.sub(b"", bytes(buffer))


def _check_head(head: bytes) -> None:
    encoding = _ENCODING.search(head)
    if encoding and encoding[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        raise ConfigurationError(
            f"The dump says that it is in {encoding[1].decode()}; StackExchange dumps are in UTF-8."
        )
    if b"<posts" not in head:
        shown = head.strip()[:60].decode("utf-8", "replace")
        raise ConfigurationError(f"This is no Posts.xml of a StackExchange dump: it begins with {shown!r}.")


def _read_row(element: bytes) -> Post | str:
    from lxml import etree

    try:
        attributes = dict(etree.fromstring(element, _open_parser()).attrib)
    except etree.XMLSyntaxError:
        return "malformed_xml"
    return read_post(attributes)


@cache
def _open_parser() -> Any:
    from lxml import etree

    # no entities, no DTD, no network: a row has none of them
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)


def read_post(attributes: Mapping[str, Any]) -> Post | str:
    """Return the post that a row's attributes tell of, or the reason why there is none (`ROW_REASONS`)."""
    kind = attributes.get("PostTypeId", "").strip()
    if not kind:
        return "missing_post_type"
    if kind not in (QUESTION, ANSWER):
        return "other_post_type"
    is_answer = kind == ANSWER
    number = _read_integer(attributes.get("Id"))
    parent = _read_integer(attributes.get("ParentId")) if is_answer else number
    votes = _read_integer(attributes.get("Score"))
    body = attributes.get("Body", "")
    if number is None or parent is None:
        return "missing_id" if number is None else "missing_parent"
    # a question's votes are not used
    if (votes is None and is_answer) or not body.strip():
        return "missing_score" if votes is None and is_answer else "missing_body"
    return Post(
        id=number,
        question_id=parent,
        is_answer=is_answer,
        votes=votes or 0,
        body=body,
        accepted_id=attributes.get("AcceptedAnswerId", "").strip(),
        title=attributes.get("Title", "").strip(),
        tags=split_tags(attributes.get("Tags", "")),
        license=attributes.get("ContentLicense", "").strip() or find_license(attributes.get("CreationDate", "")),
        owner=attributes.get("OwnerUserId", "").strip(),
    )


def split_tags(text: str) -> tuple[str, ...]:
    """Return the tags of a question; older dumps write `<a><b>`, newer ones `|a|b|`."""
    return tuple(tag for tag in re.split(r"[<>|]+", text) if tag)


def find_license(creation_date: str) -> str:
    """Return the licence of what was written on an ISO date; without one, the licence's name alone."""
    if not creation_date.strip():
        return "CC BY-SA"
    return next(license_name for since, license_name in _LICENCES if creation_date >= since)


def _read_integer(text: str | None) -> int | None:
    found = re.fullmatch(r"\s*(-?\d{1,18})\s*", text or "", re.ASCII)
    return int(found[1]) if found else None
