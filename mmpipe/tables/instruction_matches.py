"""What instructions and preferences are held against: text of evaluation sets, rows like them, verdicts of people."""

from __future__ import annotations

import polars as pl

from mmpipe.tables.columns import Column, Table


def describe_row_contamination(name: str, key: str, judged: str, fields: tuple[str, ...], told: str = "") -> Table:
    """Return the table of the spans that rows share with evaluation items.

    Args:
        name: the asset, for example `instruction_contamination`.
        key: the id column of the rows.
        judged: the asset whose rows are looked at.
        fields: the texts of a row that are looked at.
        told: what else is, for people.
    """
    texts = tuple(f"{judged}.{field}" for field in fields)
    return Table(
        name=name,
        description=f"Every span of a row of {judged} that an evaluation item also holds.",
        key=(key, "field", "evaluation_set", "item", "start"),
        columns=(
            Column(key, pl.String, "The row.", parents=(f"{judged}.{key}",)),
            Column("dump", pl.String, "Its dump.", parents=(f"{judged}.dump",)),
            Column("field", pl.String, f"Which of its texts: {', '.join(fields)}{told}."),
            Column("evaluation_set", pl.String, "Name of the evaluation set."),
            Column("item", pl.String, "Id of the item in its file: its own id, else the line, counted from 0."),
            Column("start", pl.Int64, "First character of the span in the text."),
            Column("end", pl.Int64, "Character after the last of the span."),
            Column("matched_text", pl.String, "The span's text.", parents=texts),
            Column(
                "item_ratio",
                pl.Float64,
                "Share of the item's n-grams that stand anywhere in the text, 0 to 1.",
                parents=texts,
            ),
        ),
    )


INSTRUCTION_CONTAMINATION = describe_row_contamination(
    "instruction_contamination",
    "instruction_id",
    "synthesized_instructions",
    ("instruction", "context", "response"),
    told=", or turn_0, turn_1, … of a talk",
)

PREFERENCE_CONTAMINATION = describe_row_contamination(
    "preference_contamination", "pair_id", "preference_pairs", ("prompt", "chosen", "rejected")
)

INSTRUCTION_DUPLICATES = Table(
    name="instruction_duplicates",
    description="Every instruction of a dump that repeats a kept one, whatever method made the two.",
    key=("instruction_id",),
    columns=(
        Column(
            "instruction_id",
            pl.String,
            "The row that goes.",
            parents=("synthesized_instructions.instruction_id",),
        ),
        Column("dump", pl.String, "Its dump.", parents=("synthesized_instructions.dump",)),
        Column(
            "kept_id", pl.String, "The row that stays for it.", parents=("synthesized_instructions.instruction_id",)
        ),
        Column(
            "twin_id",
            pl.String,
            "The row it is like; another than the kept one if that row goes too, in a later comparison.",
            parents=("synthesized_instructions.instruction_id",),
        ),
        Column("comparison", pl.String, "How the two were compared: exact, rouge_l, minhash or embedding."),
        Column(
            "similarity",
            pl.Float64,
            "1 (exact), F1 of the longest common subsequence (rouge_l), Jaccard of shingles (minhash), or cosine "
            "(embedding), of the row and its twin.",
            parents=("synthesized_instructions.instruction",),
        ),
        Column("limit", pl.Float64, "The recipe's limit of that comparison."),
    ),
)

INSTRUCTION_REVIEWS = Table(
    name="instruction_reviews",
    description="Verdicts on instructions, by people or by a model's votes, with who gave them.",
    key=("instruction_id",),
    columns=(
        Column(
            "instruction_id",
            pl.String,
            "The row that was looked at.",
            parents=("synthesized_instructions.instruction_id",),
        ),
        Column("dump", pl.String, "Its dump.", parents=("synthesized_instructions.dump",)),
        Column("verdict", pl.String, "keep or remove; null where people's votes are tied.", nullable=True),
        Column("labelled_by", pl.String, "people, model, or nobody where votes are tied."),
        Column("annotators", pl.List(pl.String), "Who said so, as the review tool names them; teachers by their name."),
        Column("labels", pl.List(pl.String), "What each of them said, in the same order."),
        Column("people_labels", pl.Int64, "People who gave a label."),
        Column("model_label", pl.String, "What the model's votes say.", nullable=True),
        Column("entropy", pl.Float64, "Entropy of the model's votes in bits.", nullable=True),
        Column(
            "corrections",
            pl.Int64,
            "Different better responses that people wrote; of several equally frequent ones none is taken.",
        ),
        Column("corrected_response", pl.String, "What people wrote in place of the response.", nullable=True),
        Column("corrected_by", pl.String, "Who wrote it.", nullable=True),
    ),
)
