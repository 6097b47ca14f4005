"""What a row of the instruction lane is: an instruction, sampled responses, judgements, and rows for a trainer."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from mmpipe.tables.columns import Column, Table

#: A row this one was made from: the table it stands in and its id.
PARENT = pl.Struct({"table": pl.String, "id": pl.String})

#: One chat turn. Content is plain text; images stand as `<image>` in the first user turn.
MESSAGE = pl.Struct({"role": pl.String, "content": pl.String})

#: One image as `datasets.Image` reads it.
IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})

_TEACHER_COLUMNS = (
    Column("teacher", pl.String, "Model that wrote it, as `engine:model@digest`."),
    Column("prompt_version", pl.String, "Name and digest of the prompt template."),
    Column("sampling", pl.String, "Sampling parameters, canonical JSON."),
    Column("seed", pl.Int64, "Seed of the request."),
    Column("attempts", pl.Int64, "Requests made until this row was accepted."),
    Column("prompt_tokens", pl.Int64, "Tokens of the prompts, failed attempts included."),
    Column("completion_tokens", pl.Int64, "Tokens of the completions, failed attempts included."),
)

#: What methods are told: documents, captions and boxes.
_WRITTEN_FROM = (
    "deduped_corpus.text",
    "filtered_image_pairs.caption",
    "image_captions.caption",
    "grounded_pairs.noun_chunks",
)

_TOOL_COLUMNS = (
    Column(
        "tools",
        pl.String,
        "Tools that the answer may call, a JSON list of functions with JSON schemas; null where there are none.",
        nullable=True,
    ),
    Column(
        "tool_calls",
        pl.String,
        "Calls that the answer makes, a JSON list of name and arguments; its text says the same. Null where none.",
        nullable=True,
    ),
)

#: What an accepted candidate holds beside its id, dump and method.
_ROW_COLUMNS = (
    Column("stage", pl.String, "Life-cycle stage of the survey's taxonomy."),
    Column("mode", pl.String, "Mode of the survey's taxonomy."),
    Column(
        "instruction",
        pl.String,
        "What the user asks.",
        parents=_WRITTEN_FROM,
    ),
    Column(
        "context",
        pl.String,
        "Passage the answer must rest on; null for image instructions.",
        nullable=True,
        parents=("deduped_corpus.text",),
    ),
    Column(
        "response",
        pl.String,
        "The teacher's answer.",
        parents=_WRITTEN_FROM,
    ),
    Column(
        "evidence",
        pl.String,
        "Verbatim passage or caption the answer was grounded in; empty where the method rests on none.",
    ),
    Column("images", pl.List(pl.String), "pair_id of each image, in order.", parents=("filtered_image_pairs.pair_id",)),
    Column(
        "turns",
        pl.List(MESSAGE),
        "All turns of a talk of several questions, without images and context; null where instruction and response "
        "are all of it. The instruction is its first turn, the response its last.",
        nullable=True,
        parents=_WRITTEN_FROM,
    ),
    Column(
        "details",
        pl.String,
        "What its method alone knows of the row, JSON: the task, options, the evidence of each phrase.",
        nullable=True,
    ),
    *_TOOL_COLUMNS,
    Column("parents", pl.List(PARENT), "Rows it was made from."),
    *_TEACHER_COLUMNS,
)

#: Columns that say something of a refused candidate too.
_CANDIDATE_WORDS = {
    "details": "What its method alone knows of the row, JSON: the task, options, the evidence of each phrase; of a "
    "refused candidate what the check measured and found (value, found, near) and what it lets pass (low, high).",
}

INSTRUCTION_CANDIDATES = Table(
    name="instruction_candidates",
    description="Every candidate of a synthesis: the accepted with their row, the refused with text and reason.",
    key=("instruction_id",),
    columns=(
        Column("instruction_id", pl.String, "Id of the row; of a refused candidate, a hash of dump, method and name."),
        Column("dump", pl.String, "Dump it was made for.", parents=("deduped_corpus.dump",)),
        Column("method", pl.String, "Synthesis method."),
        Column("candidate_status", pl.String, "ok, or why its method refused it."),
        Column("candidate", pl.String, "What its method calls it."),
        Column("text", pl.String, "What the teacher wrote of a refused one, its first 20,000 characters."),
        *(
            replace(column, nullable=True, description=_CANDIDATE_WORDS.get(column.name, column.description))
            for column in _ROW_COLUMNS
        ),
    ),
)

SYNTHESIZED_INSTRUCTIONS = Table(
    name="synthesized_instructions",
    description="Instructions a teacher wrote from documents and image pairs, with evidence and how each was made.",
    key=("instruction_id",),
    columns=tuple(
        replace(column, parents=(f"instruction_candidates.{column.name}",))
        for column in (
            Column("instruction_id", pl.String, "Stable id: hash of method, parents and index."),
            Column("dump", pl.String, "Dump of the parents."),
            Column("method", pl.String, "Synthesis method, the file's name in mmpipe/synthesis."),
            *_ROW_COLUMNS,
        )
    ),
)

RESPONSES = Table(
    name="responses",
    description="Several sampled responses to each kept instruction.",
    key=("response_id",),
    columns=(
        Column("response_id", pl.String, "Stable id: hash of instruction and sample index."),
        Column(
            "instruction_id", pl.String, "Instruction answered.", parents=("synthesized_instructions.instruction_id",)
        ),
        Column("dump", pl.String, "Dump of the instruction.", parents=("synthesized_instructions.dump",)),
        Column("sample_index", pl.Int64, "0, 1, … in the order sampled."),
        Column("response", pl.String, "Text of the response.", parents=("synthesized_instructions.instruction",)),
        Column("finish_reason", pl.String, "stop or length, as the engine said."),
        Column(
            "principle", pl.String, "Principle the model was told to answer by; null where none was.", nullable=True
        ),
        Column("family", pl.String, "Family of the model: a judge scores no answer of its own."),
        *_TEACHER_COLUMNS,
    ),
)

JUDGEMENTS = Table(
    name="judgements",
    description="Judgements of every response by stated criteria. One that is not ok has no score.",
    key=("judgement_id",),
    columns=(
        Column("judgement_id", pl.String, "Stable id: hash of response and criterion."),
        Column("response_id", pl.String, "Response judged.", parents=("responses.response_id",)),
        Column("instruction_id", pl.String, "Its instruction.", parents=("responses.instruction_id",)),
        Column("dump", pl.String, "Dump of the instruction.", parents=("responses.dump",)),
        Column("criterion", pl.String, "Name of the criterion; of UltraFeedback's ratings `ultrafeedback/ASPECT`."),
        Column(
            "score",
            pl.Float64,
            "Score, higher is better; null unless the status is ok.",
            nullable=True,
            parents=("responses.response",),
        ),
        Column(
            "judgement_status",
            pl.String,
            "ok, unparsed, not_applicable; own_family or cut_answer: the judge was not asked.",
        ),
        Column("judgement", pl.String, "What the judge said, verbatim."),
        *_TEACHER_COLUMNS,
    ),
)

SFT_DATASET = Table(
    name="sft_dataset",
    description="Conversations for supervised fine-tuning, with images where there are some.",
    key=("id",),
    columns=(
        Column("id", pl.String, "Id of the instruction.", parents=("synthesized_instructions.instruction_id",)),
        Column(
            "messages",
            pl.List(MESSAGE),
            "Conversation: roles alternate, the last turn is the assistant's.",
            parents=(
                "synthesized_instructions.instruction",
                "synthesized_instructions.response",
                "synthesized_instructions.turns",
            ),
        ),
        Column(
            "images",
            pl.List(IMAGE),
            "Image files, in the order of their placeholders.",
            parents=("synthesized_instructions.images",),
        ),
        Column("dump", pl.String, "Dump it comes from.", parents=("synthesized_instructions.dump",)),
        Column("method", pl.String, "Synthesis method.", parents=("synthesized_instructions.method",)),
        *(replace(column, parents=(f"synthesized_instructions.{column.name}",)) for column in _TOOL_COLUMNS),
        Column("parents", pl.List(PARENT), "Rows it was made from.", parents=("synthesized_instructions.parents",)),
    ),
)

PREFERENCE_DATASET = Table(
    name="preference_dataset",
    description="Prompts with a chosen and a rejected answer, for preference training.",
    key=("id",),
    columns=(
        Column("id", pl.String, "Hash of method, prompt, chosen and rejected answer."),
        Column(
            "prompt", pl.List(MESSAGE), "Turns before the answer.", parents=("synthesized_instructions.instruction",)
        ),
        Column(
            "chosen",
            pl.List(MESSAGE),
            "The better answer, one assistant turn.",
            parents=("preference_pairs.chosen",),
        ),
        Column(
            "rejected",
            pl.List(MESSAGE),
            "The worse answer, one assistant turn.",
            parents=("preference_pairs.rejected",),
        ),
        Column(
            "images",
            pl.List(IMAGE),
            "Image files of the prompt, in the order of their placeholders.",
            parents=("synthesized_instructions.images",),
        ),
        *(
            Column(name, dtype, description, nullable=name == "license", parents=(f"preference_pairs.{name}",))
            for name, dtype, description in (
                ("score_chosen", pl.Float64, "Score of the chosen answer."),
                ("score_rejected", pl.Float64, "Score of the rejected answer."),
                ("criterion", pl.String, "What was scored: the judge's criterion, votes, a verifier, …"),
                ("group_id", pl.String, "Comparison set: pairs of one prompt never straddle a split."),
                ("method", pl.String, "Preference method."),
                ("iteration", pl.Int64, "Round of a method that goes in rounds; else 0."),
                ("policy", pl.String, "Model whose answers are compared, where the method names it; else empty."),
                ("license", pl.String, "Licence its texts stand under, as its source says."),
                ("source_urls", pl.List(pl.String), "Where its texts stand, and their authors."),
                ("dump", pl.String, "Dump it comes from."),
            )
        ),
        Column("parents", pl.List(PARENT), "Rows it was made from."),
    ),
)

PRETRAINING_DATASET = Table(
    name="pretraining_dataset",
    description="Documents mixed by source weights, tokenized and packed into sequences of one length.",
    key=("sequence_id",),
    columns=(
        Column("sequence_id", pl.String, "Hash of the documents and spans packed into the sequence."),
        Column(
            "input_ids",
            pl.List(pl.Int32),
            "Token ids, end-of-text after each document.",
            parents=("deduped_corpus.text",),
        ),
        Column(
            "doc_ids",
            pl.List(pl.String),
            "Documents in the sequence, in order; of a source DUMP/rephrased, rephrased ones.",
            parents=("deduped_corpus.doc_id", "rephrased_documents.rephrased_id"),
        ),
        Column(
            "doc_lengths",
            pl.List(pl.Int32),
            "Tokens of each document in the sequence; sums to its length.",
            parents=("deduped_corpus.text",),
        ),
        Column("epoch", pl.Int64, "Pass over the source, from 0."),
        Column(
            "source",
            pl.String,
            "Source of the documents: the dump, or DUMP/rephrased.",
            parents=("deduped_corpus.dump",),
        ),
        Column("tokenizer", pl.String, "Tokenizer, name and digest."),
    ),
)
