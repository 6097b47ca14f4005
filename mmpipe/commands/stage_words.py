"""Says in a line what a stage did with a row: its own words for corrections, scores, duplicates, reviews and draws."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from mmpipe.commands.fates import count_of
from mmpipe.tables.row_draws import REPEATS


def describe_corrections(row: dict[str, Any]) -> str:
    """Return what a document's corrections did, counted."""
    if not row["corrections"]:
        return "nothing to correct"
    counts = Counter(entry["correction"] for entry in row["corrections"])
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))


def describe_scores(row: dict[str, Any]) -> str:
    """Return the scores that models gave a document."""
    scores = {name: row[name] for name in ("quality_score", "perplexity", "encoder_score") if row[name] is not None}
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items()) or "no model was asked"


def describe_candidate(row: dict[str, Any]) -> str:
    """Return what became of a candidate with its own method."""
    status = row["candidate_status"]
    return f"accepted by {row['method']}" if status == "ok" else f"{row['method']} refused it: {status}"


def describe_draw(row: dict[str, Any]) -> str:
    """Return who wrote an instruction; of one that a mixture draws again, which row it repeats."""
    told = f"by {row['method']}, teacher {row['teacher']}"
    details = row.get("details") or ""
    again = json.loads(details).get(REPEATS) if f'"{REPEATS}"' in details else None
    return f"{told}; {again} drawn again" if again else told


def describe_response(row: dict[str, Any]) -> str:
    """Return which sample a response is, whose, and why it ended."""
    told = f"sample {row['sample_index']} of {row['instruction_id']}, by {row['teacher']}"
    return f"{told}, ended by {row['finish_reason']}"


def describe_judgement(row: dict[str, Any]) -> str:
    """Return what a judge said by which criterion, or why nothing."""
    said = row["judgement_status"] if row["score"] is None else f"{row['score']:g}"
    return f"{row['criterion']}: {said}"


def describe_revision(row: dict[str, Any]) -> str:
    """Return of what response a try at revising is, in which round, and whether it counts."""
    return f"round {row['round']} of {row['response_id']}: {row['revision_status']}"


def describe_duplicate(row: dict[str, Any]) -> str:
    """Return which document this one repeats, or that it stays for its cluster."""
    if row["kept_doc_id"] == row["doc_id"]:
        return f"kept for its cluster {row['cluster_id']}"
    found = f"{row['method']}, similarity {row['similarity']:.3f}; cluster of {row['cluster_documents']}"
    return f"repeats {row['kept_doc_id']} of {row['kept_dump']} ({found})"


def describe_image_duplicate(row: dict[str, Any]) -> str:
    """Return which picture this one repeats, or that it stays for its cluster."""
    if row["is_kept"]:
        return f"kept for its cluster {row['cluster_id']}"
    if row["kept_pair_id"] is None:
        return f"is evaluation image {row['evaluation_hash']}"
    bits = count_of(row["distance"] or 0, "bits")
    near = f"{bits} apart" if row["distance"] is not None else f"cosine {row['similarity']:.3f}"
    found = f"{row['method']}, {near}; cluster of {row['cluster_pairs']}"
    return f"repeats {row['kept_pair_id']} of {row['kept_dump']} ({found})"


def describe_review(row: dict[str, Any]) -> str:
    """Return the verdict on an instruction, and whose it is."""
    better = ", with a better answer" if row["corrected_response"] is not None else ""
    return f"{row['verdict'] or 'tied'}, by {', '.join(row['annotators'])}{better}"


def describe_twin(row: dict[str, Any]) -> str:
    """Return the instruction that stays for this one."""
    return f"goes for {row['kept_id']} ({row['comparison']}, {row['similarity']:.3f} to {row['twin_id']})"


def describe_balance(row: dict[str, Any]) -> str:
    """Return how the draw of a pair fell out."""
    fate = "stays" if row["is_kept"] else "left out"
    if row["rarest_entry"] is None:
        return f"{fate}: no subject that counts, chance {row['keep_probability']:.3g}"
    return f"{fate}: drew {row['draw']:.3g} of {row['keep_probability']:.3g}, rarest {row['rarest_entry']!r}"
