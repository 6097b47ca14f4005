"""Which fold a page of the gold is in, by its registered domain: training and its report must agree on it."""

from __future__ import annotations

import hashlib

FOLDS = 5


def find_fold(domain: str) -> int:
    """Return the fold of a registered domain."""
    return int(hashlib.sha256(f"chooser {domain}".encode()).hexdigest(), 16) % FOLDS
