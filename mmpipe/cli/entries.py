"""`mmpipe entries`: builds the list of entries that pairs are balanced by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mmpipe.cli.terminal import ERR, open_project

entries_commands = typer.Typer(no_args_is_help=True, help="Build the list of entries that pairs are balanced by.")


@entries_commands.command("build")
def entries_build(
    out: Annotated[Path, typer.Option(help="List to write.")],
    corpus: Annotated[list[Path] | None, typer.Option(help="Texts (.txt, .jsonl, .parquet). May repeat.")] = None,
    corpus_licence: Annotated[str, typer.Option(help="Licence of the texts.")] = "",
    column: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    lake: Annotated[bool, typer.Option("--lake", help="Count the project's own deduped_corpus too.")] = False,
    titles: Annotated[list[Path] | None, typer.Option(help="Lists of title, tab, views. May repeat.")] = None,
    titles_licence: Annotated[str, typer.Option(help="Licence of the titles.")] = "",
    wordnet: Annotated[Path | None, typer.Option(help="WordNet's folder (index.noun and its sisters).")] = None,
    wordnet_licence: Annotated[str, typer.Option(help="Licence of WordNet.")] = "WordNet licence, Princeton University",
    word_count: Annotated[int, typer.Option(help="Occurrences from which a word is an entry.", min=1)] = 100,
) -> None:
    """Make a list of entries from a corpus, titles and WordNet, for `images: {balance: {method: queries}}`."""
    from mmpipe.commands.entries import EntrySource, build_entries
    from mmpipe.sampling.entry_building import EntryLimits
    from mmpipe.storage.lake import Lake

    open_project()
    made = build_entries(
        out,
        corpora=[EntrySource(path, corpus_licence) for path in corpus or []],
        text_column=column,
        lake=Lake(os.environ["MMPIPE_LAKE"]) if lake else None,
        titles=[EntrySource(path, titles_licence) for path in titles or []],
        wordnet=[EntrySource(wordnet, wordnet_licence)] if wordnet else [],
        limits=EntryLimits(word_count=word_count),
    )
    gave = ", ".join(f"{count} {name}" for name, count in made.by_source.items() if count)
    ERR.print(f"{made.entries} entries ({gave}); sources and licences in {made.record}.")
    typer.echo(f"images: {{balance: {{method: queries, entries: [{{list: {made.file.absolute()}}}]}}}}")
