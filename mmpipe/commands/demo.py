"""`mmpipe demo`: the whole line on a generated crawl or on one's own dump, then what came out and what to open."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.panel import Panel

from mmpipe.commands.backfill import Plan, run_here
from mmpipe.commands.crawl import add_dump, find_dump_files
from mmpipe.commands.loading import is_per_dump, load_definitions, select_assets
from mmpipe.commands.progress import show_progress
from mmpipe.commands.summary import find_released_id, find_sample_id, print_funnels, print_places, print_samples
from mmpipe.errors import MmpipeError
from mmpipe.storage.dumps import Dump
from mmpipe.storage.lake import Lake
from mmpipe.storage.places import Place
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS
from mmpipe.tables.instructions import SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.text import DEDUPED_CORPUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from mmpipe.assets.project import Project

SAMPLE_DUMPS = ("sample-2026-40", "sample-2026-44")
#: What the datasets over all dumps are made from.
_RELEASED_TABLES = (DEDUPED_CORPUS, SYNTHESIZED_INSTRUCTIONS, FILTERED_IMAGE_PAIRS)
#: How the tiny checkpoint is trained: on which pictures (`draw_lessons`) and from which weights, and how many batches.
CLIP_SEED = 7
CLIP_STEPS = 400


def run_demo(console: Console, project: Project, source: str | None, pages_per_dump: int) -> None:
    """Run the whole line and print what came out.

    Args:
        console: where to print.
        project: whose lake and records are used.
        source: a dump of one's own (folder, WARC file, path list, URL); None for the generated sample.
        pages_per_dump: pages of each sample dump.

    Raises:
        MmpipeError: a run failed; the message names the step and what to do.
    """
    import dagster as dg

    started = time.monotonic()
    show_progress(console)
    var = project.folder / "var"
    prepare_clip(console, var / "weights" / "clip")
    project.set_environment(os.environ)
    lake = Lake(os.environ["MMPIPE_LAKE"])
    dumps = (
        [find_dump_files(name_dump(source), [source], base_url=None, limit=None)]
        if source
        else _write_sample(console, var / "sample_crawl", pages_per_dump)
    )
    others = find_other_dumps(lake, [dump.name for dump in dumps])
    if others:
        console.print(tell_left_alone(others, [dump.name for dump in dumps]), soft_wrap=True)
    definitions = load_definitions(project)
    keys = select_assets(definitions, ["*"])
    plan = Plan(
        per_dump=tuple(key for key in keys if is_per_dump(definitions, key)),
        over_all=() if others else tuple(key for key in keys if not is_per_dump(definitions, key)),
        dumps=tuple(dump.name for dump in dumps),
    )
    with dg.DagsterInstance.get() as instance:
        for dump in dumps:
            add_dump(lake, instance, dump)
        outcomes = run_here(
            definitions, instance, plan, on_start=lambda dump, _: console.rule(f"[bold]{dump or 'all dumps'}")
        )
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    console.rule("[bold]what came out")
    print_funnels(console, lake, plan.dumps)
    print_places(console, lake, plan.dumps)
    print_samples(console, lake, plan.dumps)
    if failed:
        raise MmpipeError(
            "\n".join(
                f"{outcome.dump or 'all dumps'}: {step}: {said}"
                for outcome in failed
                for step, said in outcome.failures
            )
            + "\nWhat was committed stays; mend the cause and run the demo again."
        )
    _say_what_next(console, lake, plan.dumps, time.monotonic() - started)
    if others:
        console.print(tell_left_alone(others, plan.dumps), soft_wrap=True)


def find_other_dumps(lake: Lake, own: Sequence[str]) -> list[str]:
    """Return the dumps, but for one's own, whose rows a release over all dumps holds or would hold."""
    return sorted({dump for table in _RELEASED_TABLES for dump in lake.list_dumps(table)} - set(own))


def tell_left_alone(others: Sequence[str], own: Sequence[str]) -> str:
    """Return what to tell where the released datasets are of other dumps too, and so are not the demo's to write."""
    toys = [dump for dump in (*others, *own) if dump in SAMPLE_DUMPS]
    removal = f". To have none of the sample's rows in them, before that: mmpipe crawl remove {' '.join(toys)}"
    return (
        f"The released datasets are left as they are: they are made over all dumps, {', '.join(others)} too. To make "
        f"them with the rows of {', '.join(own)} in them: mmpipe backfill group:release{removal if toys else ''}"
    )


def prepare_clip(console: Console, folder: Path) -> None:
    """Train the demo's CLIP checkpoint on drawn pictures, unless it is there."""
    if (folder / "open_clip_config.json").is_file():
        return
    from mmpipe.demo.picture_scenes import draw_lessons
    from mmpipe.models.clip_training import train_tiny_clip

    console.print("Training the demo's tiny CLIP on drawn pictures (once, under a minute) …")
    train_tiny_clip(draw_lessons(CLIP_SEED), folder, seed=CLIP_SEED, steps=CLIP_STEPS)


def _write_sample(console: Console, folder: Path, pages_per_dump: int) -> list[Dump]:
    from mmpipe.demo.sample_crawl import FILE_LIST, write_sample_crawl

    if not all((folder / name / FILE_LIST).is_file() for name in SAMPLE_DUMPS):
        console.print(f"Writing the sample crawl to {folder} …")
        write_sample_crawl(folder, dumps=SAMPLE_DUMPS, pages_per_dump=pages_per_dump)
    return [
        Dump(name, str(folder / name), tuple(sorted((folder / name / FILE_LIST).read_text().split())))
        for name in SAMPLE_DUMPS
    ]


def name_dump(source: str) -> str:
    """Return a name for a dump made of a folder, file, list or URL: its last part, without what a name cannot hold.

    Every path list is called warc.paths, so a list is named by the folder it lies in.
    """
    place = source.rstrip("/")
    if place.removesuffix(".gz").endswith(".paths"):
        place = str(Path(place).absolute().parent) if "://" not in place else place.rpartition("/")[0]
    name = Place(place).name
    for suffix in (".gz", ".paths", ".warc", ".wet", ".arc"):
        name = name.removesuffix(suffix)
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_") or "dump"


def _say_what_next(console: Console, lake: Lake, dumps: Sequence[str], seconds: float) -> None:
    removed = find_sample_id(lake, dumps)
    trained = find_released_id(lake)
    last = dumps[-1]
    lines = [("make dev", "the web UI on http://127.0.0.1:3000: assets, checks, runs")]
    if removed:
        lines.append((f"mmpipe explain {removed}", "why this page was removed"))
    if trained:
        lines.append((f"mmpipe trace {trained}", "from a training row back to its crawl record"))
    lines += [
        ("mmpipe judge --set gopher_word_count.low=300", "what if the limit were another?"),
        (f"mmpipe report {last}", "what became of a dump's text, as one page"),
        (f"mmpipe report {last} --lane images", "and of its pictures"),
        (f"mmpipe report {last} --lane instructions", "and of its instructions"),
    ]
    width = max(len(command) for command, _ in lines)
    told = "\n".join(f"  {escape(command):{width}}   [dim]{escape(what)}[/]" for command, what in lines)
    console.print(
        Panel(
            f"Done in {seconds:.0f} s. Open next (. .venv/bin/activate puts mmpipe on the path):\n\n{told}\n\n"
            f"The datasets lie in {lake.root}. The released ones load with datasets.load_dataset(folder), rows with\n"
            'pictures with datasets.load_dataset(folder, "with_images").',
            title="mmpipe",
            title_align="left",
        )
    )
