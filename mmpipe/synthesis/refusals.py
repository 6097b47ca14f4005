"""Says why a candidate became no row: the check it failed, what that measured or found, and what it lets pass."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

#: What is kept of a candidate that became no row: its id, what the teacher wrote (or why it wrote nothing), the reason,
#: and what `Refusal.describe` tells, JSON; null where the reason says all.
CANDIDATE_SCHEMA = {"id": pl.String, "text": pl.String, "reason": pl.String, "details": pl.String}

#: Characters of what was found that are told.
FOUND_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One check that a candidate failed.

    Attributes:
        reason: name of the check; a removal has it as its rule.
        measure: what the check measures, where that has a name of its own (`rouge_l`).
        value: what was measured; None where the check only says yes or no.
        low: least value the check lets pass.
        high: most.
        found: what was found, such as a number that nobody told.
        near: id of the row that the candidate is too like.
    """

    reason: str
    measure: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    found: str = ""
    near: str = ""

    def describe(self) -> str | None:
        """Return all but the reason as JSON; None where there is nothing to tell."""
        told = {name: value for name, value in asdict(self).items() if name != "reason" and value not in (None, "")}
        if "found" in told:
            told["found"] = self.found[:FOUND_CHARS]
        return json.dumps(told, ensure_ascii=False, sort_keys=True) if told else None


def name_reason(verdict: Refusal | str) -> str:
    """Return the reason of a verdict that may be a reason alone."""
    return verdict if isinstance(verdict, str) else verdict.reason


def describe_verdict(verdict: Refusal | str) -> str | None:
    """Return what a verdict tells beside its reason, JSON; None for a reason alone."""
    return None if isinstance(verdict, str) else verdict.describe()


def list_candidates(refused: Iterable[tuple[str, str, Refusal | str]]) -> pl.DataFrame:
    """Return refused candidates (id, text, why) as rows of CANDIDATE_SCHEMA, in their order."""
    rows = [(number, text, name_reason(why), describe_verdict(why)) for number, text, why in refused]
    return pl.DataFrame(rows, schema=CANDIDATE_SCHEMA, orient="row")


def read_refusal(details: str | None) -> Mapping[str, Any]:
    """Return what `Refusal.describe` wrote; empty where it wrote nothing."""
    told: Mapping[str, Any] = json.loads(details) if details else {}
    return told
