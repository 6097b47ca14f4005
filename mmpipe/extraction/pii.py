"""Masks or tags personal data in a text: which spans, which of two that overlap, and what stands there instead."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING

import xxhash

from mmpipe.errors import ConfigurationError, name_nearest
from mmpipe.extraction.pii_shapes import find_shape
from mmpipe.tables.correction_steps import CORRECTION_STEPS, MASK_STEP, PII_KINDS, PII_STYLES
from mmpipe.tables.corrections import Edit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mmpipe.extraction.pii_addresses import Span


#: Examples that belong to nobody: domains of RFC 2606, addresses of RFC 5737, the registry's IBAN, the networks' test
#: cards, numbers kept for fiction (NANP 555-01xx, Ofcom).
EXAMPLES = {
    "email": ("email@example.com", "firstname.lastname@example.org"),
    "ip": ("192.0.2.17", "198.51.100.42", "203.0.113.99"),
    "iban": ("GB82 WEST 1234 5698 7654 32", "DE89 3704 0044 0532 0130 00"),
    "card": ("4111 1111 1111 1111", "5555 5555 5555 4444"),
    "phone": ("+1 202-555-0143", "+44 20 7946 0958"),
    "key": ("EXAMPLE-KEY",),
    "user": ("@example",),
}
_EXAMPLES = tuple(example for examples in EXAMPLES.values() for example in examples)

_DEFAULTS: Any = CORRECTION_STEPS[MASK_STEP]

#: Masking may bring characters together that match anew; each round masks what the one before uncovered. Texts that
#: take more rounds than these are made for it: from then on each round masks twice as far around what it finds.
_EXACT_ROUNDS = 8


def mask_pii(
    text: str,
    mask: Sequence[str] = _DEFAULTS["mask"],
    tag: Sequence[str] = _DEFAULTS["tag"],
    style: str = _DEFAULTS["style"],
    phone_regions: Sequence[str] = _DEFAULTS["phone_regions"],
) -> list[Edit]:
    """Return the edits that mask personal data, and the tags on what is only marked.

    Corrections are named `pii_{kind}`; private and reserved addresses are `pii_reserved_ip` and never masked. Where
    spans to mask overlap, their union is masked under the first kind of `PII_KINDS`, so that no part of one is left; a
    tag that overlaps a mask is left out. What a mask makes findable beside it is masked with it, until nothing is
    found: masking a masked text with the same options changes nothing.

    Kinds: datatrove's PIIFormatter masks e-mail and public addresses; ROOTS (Laurençon et al. 2022) keys, e-mail, users
    and addresses; Dolma (Soldaini et al. 2024) e-mail, phone and addresses.

    Args:
        text: any text.
        mask: kinds that are replaced.
        tag: kinds whose spans are noted and left in the text.
        style: `tag` writes `<EMAIL>`; `example` writes one of `EXAMPLES`, the same for the same value.
        phone_regions: countries whose national phone formats are known, by ISO 3166 code.

    Raises:
        ConfigurationError: an unknown kind, style or country, or a kind that is both masked and tagged.
    """
    _check(tuple(mask), tuple(tag), style)
    # else a mask that is an example would be masked again
    known = _EXAMPLES if style == "example" else ()
    masked: list[tuple[int, int, str]] = []
    replaced: list[tuple[int, int, str, str]] = []
    # the last round masks all of the text
    for doubled in range(-_EXACT_ROUNDS, len(text).bit_length() + 1):
        found = _find_uncovered(text, replaced, mask, phone_regions, known)
        if not found:
            break
        reach = 2**doubled if doubled >= 0 else 0
        wide = ((max(0, start - reach), min(len(text), end + reach), kind) for start, end, kind in found)
        masked = _merge([*masked, *wide])
        replaced = [(start, end, kind, _write(text[start:end], kind, style)) for start, end, kind in masked]
    edits = [Edit(f"pii_{kind}", start, end, written) for start, end, kind, written in replaced]
    if tag or "ip" in mask:
        noted = [*_find(text, tag, phone_regions, known), *_find_reserved(text, (*mask, *tag))]
        edits += (Edit(f"pii_{kind}", start, end, None) for start, end, kind in _leave_out(noted, replaced))
        edits.sort(key=lambda edit: edit.start)
    return edits


def _find(text: str, kinds: Sequence[str], regions: Sequence[str], known: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return the spans of those kinds, in no order, but the examples that are known and parts of them."""
    from mmpipe.extraction import pii_addresses, pii_keys, pii_numbers

    shape = find_shape(text)
    finders = {
        "key": lambda: pii_keys.find_keys(text),
        "email": lambda: pii_addresses.find_emails(text),
        "iban": lambda: pii_numbers.find_ibans(text, shape),
        "card": lambda: pii_numbers.find_cards(text, shape),
        "ip": lambda: pii_addresses.find_ips(text, shape)[0],
        "phone": lambda: pii_numbers.find_phones(text, shape, regions),
        "user": lambda: pii_addresses.find_users(text),
    }
    found = [(*span, kind) for kind in PII_KINDS if kind in kinds for span in finders[kind]()]
    return [span for span in found if not _is_within_any(text, span[0], span[1], known)] if known else found


def _is_within_any(text: str, start: int, end: int, known: Sequence[str]) -> bool:
    """Whether a span is an example, or part of one that stands there as a whole."""
    value = text[start:end]
    for example in known:
        at = example.find(value)
        while at >= 0:
            if at <= start and text.startswith(example, start - at):
                return True
            at = example.find(value, at + 1)
    return False


def _find_reserved(text: str, kinds: Sequence[str]) -> list[tuple[int, int, str]]:
    from mmpipe.extraction.pii_addresses import find_ips

    return [(*span, "reserved_ip") for span in find_ips(text, find_shape(text))[1]] if "ip" in kinds else []


def _merge(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return spans in order, those that overlap as one of the kind that comes first."""
    merged: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(found):
        if merged and start < merged[-1][1]:
            first, last, earlier = merged[-1]
            merged[-1] = (first, max(last, end), min(earlier, kind, key=PII_KINDS.index))
        else:
            merged.append((start, end, kind))
    return merged


def _keep_outside(found: list[tuple[int, int, str]], covers: list[Span]) -> list[tuple[int, int, str]]:
    """Return the spans, in order, that share no character with any of the covers, which are in order."""
    kept: list[tuple[int, int, str]] = []
    at = 0
    for start, end, kind in sorted(found):
        while at < len(covers) and covers[at][1] <= start:
            at += 1
        if at == len(covers) or end <= covers[at][0]:
            kept.append((start, end, kind))
    return kept


def _leave_out(
    noted: list[tuple[int, int, str]], replaced: list[tuple[int, int, str, str]]
) -> list[tuple[int, int, str]]:
    """Return the spans to tag that share nothing with a mask or a tag before them."""
    kept: list[tuple[int, int, str]] = []
    for start, end, kind in _keep_outside(noted, [(start, end) for start, end, *_ in replaced]):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end, kind))
    return kept


def _find_uncovered(
    text: str,
    replaced: list[tuple[int, int, str, str]],
    kinds: Sequence[str],
    regions: Sequence[str],
    known: Sequence[str],
) -> list[tuple[int, int, str]]:
    """Return what is found with the masks in place, in places of the text before: whole masks, where it meets one.

    Each span reaches beyond the masks it meets or joins two of them, as no kind is found within one.
    """
    if not replaced:
        return _find(text, kinds, regions, known)
    parts: list[str] = []
    begins: list[int] = []  # of each mask, as written
    ends: list[int] = []
    at = written_at = 0
    for start, end, _, written in replaced:
        parts += (text[at:start], written)
        begins.append(written_at + start - at)
        at, written_at = end, begins[-1] + len(written)
        ends.append(written_at)
    uncovered: list[tuple[int, int, str]] = []
    for start, end, kind in _find("".join((*parts, text[at:])), kinds, regions, known):
        first, last = bisect_right(begins, start) - 1, bisect_left(begins, end) - 1
        begin, stop = start, end
        if first >= 0:
            begin = replaced[first][0] if start < ends[first] else replaced[first][1] + start - ends[first]
        if last >= 0:
            stop = replaced[last][1] + max(0, end - ends[last])
        uncovered.append((begin, stop, kind))
    return uncovered


def _write(value: str, kind: str, style: str) -> str:
    if style == "tag":
        return f"<{kind.upper()}>"
    examples = EXAMPLES[kind]
    return examples[xxhash.xxh3_64_intdigest(value.encode("utf-8", "surrogatepass")) % len(examples)]


@lru_cache(maxsize=64)
def _check(mask: tuple[str, ...], tag: tuple[str, ...], style: str) -> None:
    for kind in (*mask, *tag):
        if kind not in PII_KINDS:
            raise ConfigurationError(f"mask_pii: no kind of personal data {kind!r}.{name_nearest(kind, PII_KINDS)}")
    both = sorted(set(mask) & set(tag))
    if both:
        raise ConfigurationError(f"mask_pii: {both} are to be masked and to be tagged; name each once.")
    if style not in PII_STYLES:
        raise ConfigurationError(f"mask_pii: no style {style!r}.{name_nearest(style, PII_STYLES)}")
