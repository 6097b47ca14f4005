"""datatrove's FineWeb pipeline for text_lane.py: same file, same lists, same language model; prints what it kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
    URLFilter,
)
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils import lid


def main() -> None:
    folder, out, model, timeout, workers = sys.argv[1:6]
    lid.cached_asset_path_or_download = lambda *_, **__: model  # the model is given, not downloaded
    removed = Path(out) / "removed"

    def drop(name: str) -> JsonlWriter:
        return JsonlWriter(str(removed / name), compression=None)

    steps = [
        WarcReader(folder, glob_pattern="*.warc.gz", default_metadata={}),
        URLFilter(exclusion_writer=drop("1-url")),
        Trafilatura(favour_precision=True, timeout=float(timeout)),
        LanguageFilter(languages=["en"], exclusion_writer=drop("2-language")),
        GopherRepetitionFilter(exclusion_writer=drop("3-repetition")),
        GopherQualityFilter(exclusion_writer=drop("4-quality")),
        C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=drop("5-c4")),
        FineWebQualityFilter(exclusion_writer=drop("6-fineweb")),
        JsonlWriter(str(Path(out) / "kept"), compression=None),
    ]
    files = len(list(Path(folder).glob("*.warc.gz")))
    # forked: a process started anew would not know of the model that is given
    LocalPipelineExecutor(
        steps, tasks=files, workers=int(workers), logging_dir=str(Path(out) / "logs"), start_method="fork"
    ).run()
    fates: dict[str, list[str]] = {}
    for path in sorted(removed.rglob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n"):
            row = json.loads(line or "{}")
            fates[row["metadata"]["url"]] = [
                path.parent.name,
                str(row["metadata"].get("filter_reason", "")),
                row["text"],
            ]
    for path in sorted((Path(out) / "kept").rglob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n"):
            row = json.loads(line or "{}")
            fates[row["metadata"]["url"]] = ["kept", "", row["text"]]
    (Path(out) / "fates.json").write_text(json.dumps(fates), encoding="utf-8")
    print(json.dumps({"pages": len(fates)}))


if __name__ == "__main__":
    main()
