"""Finds keys and tokens of machines in text: published formats, private keys, and random values given to a name."""

from __future__ import annotations

import math
import re
from collections import Counter

from mmpipe.extraction.pii_addresses import Span

#: The formats as their issuers publish them: letters that a text with one must hold, literal beginnings, and what
#: follows. A match begins behind no letter, digit, `_` or `-`, so that no character starts two attempts.
_PUBLISHED = (
    # docs.aws.amazon.com/IAM: unique identifiers
    ("A", "AKIA ASIA", r"[A-Z2-7]{16}"),
    # github.blog 2021-04-05, behind GitHub's new authentication token formats
    ("_", "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36,251}+"),
    ("_", "github_pat_", r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    # docs.gitlab.com/security/tokens
    ("glpat-", "glpat-", r"[\w-]{20,64}+"),
    # api.slack.com/authentication/token-types
    ("xox", "xoxb- xoxp- xoxa- xoxe- xoxo- xoxr- xoxs-", r"[A-Za-z0-9-]{10,250}+"),
    # docs.stripe.com/keys
    ("_", "sk_live_ rk_live_ pk_live_ sk_test_ rk_test_ pk_test_", r"[A-Za-z0-9]{16,247}+"),
    # cloud.google.com/docs/authentication/api-keys, and OAuth access tokens
    ("AIza", "AIza", r"[\w-]{35}"),
    ("ya29.", "ya29.", r"[\w-]{20,500}+"),
    # platform.openai.com, docs.anthropic.com
    ("sk-", "sk-", r"(?:proj-|ant-|svcacct-)?(?=[\w-]{0,64}\d)[\w-]{32,200}+"),
    # huggingface.co/docs/hub/security-tokens
    ("_", "hf_", r"[A-Za-z0-9]{34,40}+"),
    # docs.npmjs.com/about-access-tokens, docs.sendgrid.com
    ("_", "npm_", r"[A-Za-z0-9]{36}"),
    ("SG.", "SG.", r"[\w-]{22}\.[\w-]{43}"),
    # RFC 7519: a header and a body that are JSON objects, in base64url
    ("eyJ", "eyJ", r"[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]{8,}+"),
)
#: The literal stands first, so that the search leaps from one to the next.
_FORMATS = tuple(
    (
        needed,
        [
            (begin, re.compile(rf"{re.escape(begin)}(?<![\w-]{re.escape(begin)}){rest}(?![\w-])", re.ASCII))
            for begin in begins.split()
        ],
    )
    for needed, begins, rest in _PUBLISHED
)

#: RFC 7468, and the armour of OpenPGP. Behind a header without an end, only lines of base64 belong to the key.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[A-Za-z0-9+/=\s:,.()]++|-(?!-))*+-----END (?:[A-Z]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:\s*+[A-Za-z0-9+/=]{40,}+)*+)"
)

#: One pattern per mark, so that the search leaps from mark to mark.
_ASSIGNED = tuple(
    re.compile(rf"{mark}[ \t]{{0,4}}[\"'`]?([A-Za-z0-9+/_.~-]{{16,}}+={{0,2}})") for mark in ("=", "=>", ":")
)
_NAME = re.compile(
    r"(?:api|access|secret|auth|private|client|account|master|signing|encryption)[_-]?(?:key|token|secret)(?:[_-]?id)?"
    r"|secret|token|passw(?:or)?d|pwd|bearer|credentials?",
    re.IGNORECASE,
)
_NAME_BEFORE = re.compile(rf"(?:{_NAME.pattern})[\"'`\]]{{0,3}}[ \t]{{0,4}}$", re.IGNORECASE)
_NAME_WINDOW = 48
_LONGEST_VALUE = 512

#: Shannon entropy in bits per character from which a value is taken for random: hexadecimal digits reach 4, base64
#: 6, and English words stay below 3.5 at this length (detect-secrets and truffleHog cut at 3 and 4.5).
_LEAST_ENTROPY = 3.3


def find_keys(text: str) -> list[Span]:
    """Return keys, tokens and passwords: formats by their prefix, PEM blocks, and `api_key = …` with a random value."""
    spans: list[Span] = []
    for needed, formats in _FORMATS:
        if needed in text:
            spans += (found.span() for begin, one in formats if begin in text for found in one.finditer(text))
    if "-----BEGIN " in text:
        spans += (found.span() for found in _PRIVATE_KEY.finditer(text))
    for pattern in _ASSIGNED:
        spans += (found.span(1) for found in pattern.finditer(text) if _is_secret(text, found))
    return sorted(spans)


def _is_secret(text: str, found: re.Match[str]) -> bool:
    value = found[1]
    if len(value) > _LONGEST_VALUE or not _looks_random(value):
        return False
    return _NAME_BEFORE.search(text[max(0, found.start() - _NAME_WINDOW) : found.start()]) is not None


def _looks_random(value: str) -> bool:
    """Whether a value has digits and letters and as many different characters as chance would give it."""
    has_digit = any(map(str.isdigit, value))
    has_letter = any(map(str.isalpha, value))
    return has_digit and has_letter and measure_entropy(value) >= _LEAST_ENTROPY


def measure_entropy(value: str) -> float:
    """Return the Shannon entropy of the characters of a value, bits per character; 0 of an empty one."""
    return -sum(count / len(value) * math.log2(count / len(value)) for count in Counter(value).values())
