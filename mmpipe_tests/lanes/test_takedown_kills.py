from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from mmpipe.lanes.takedown import finish_open, plan_takedown, take_down
from mmpipe.storage.lake import Lake
from mmpipe.storage.places import FileReplacement, Place
from mmpipe.storage.takedowns import find_taken, list_open
from mmpipe.tables.instructions import INSTRUCTION_CANDIDATES, SYNTHESIZED_INSTRUCTIONS
from mmpipe.tables.takedowns import make_entry
from mmpipe_tests.lanes.takedown_lake import make_lake, publish_shards, read_content


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def list_writes(monkeypatch: pytest.MonkeyPatch, stop: int | None) -> list[str]:
    """Return the list that names every file as it is changed; after so many changes there is none any more."""
    done: list[str] = []
    swap, remove = FileReplacement._swap_in, Place.remove

    def note(place: Place) -> None:
        if stop is not None and len(done) == stop:
            raise Killed
        done.append(place.name)

    def swap_in(self: FileReplacement) -> None:
        note(self._place)
        swap(self)

    def remove_file(self: Place) -> None:
        note(self)
        remove(self)

    monkeypatch.setattr(FileReplacement, "_swap_in", swap_in)
    monkeypatch.setattr(Place, "remove", remove_file)
    return done


def test_killed_at_any_write_and_run_again_it_ends_in_the_same_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lake(tmp_path / "made", 5)
    entry = make_entry("domain", "a.example", "2026-11-23", "r")

    def run(name: str, stop: int | None) -> tuple[Lake, list[str]]:
        shutil.copytree(tmp_path / "made", tmp_path / name)
        lake = Lake(str(tmp_path / name))
        with monkeypatch.context() as patched:
            done = list_writes(patched, stop)
            with suppress(Killed):
                take_down(lake, plan_takedown(lake, [entry]), str(tmp_path / "cache"))
        return lake, done

    whole, writes = run("whole", None)
    wanted = read_content(whole)
    parts = [place for place, name in enumerate(writes, start=1) if name.startswith("part-")]
    assert len(parts) > 9
    # before anything changed, behind a file that lost rows and whose record is still the old one, before the last write
    for stop in (2, 5, parts[-1], len(writes) - 1):
        lake, _ = run("cut", stop)
        reports = finish_open(lake, str(tmp_path / "cache"))
        if not reports:
            # killed before the plan stood: nothing was begun, and the same command begins it
            assert stop == 2
            take_down(lake, plan_takedown(lake, [entry]), str(tmp_path / "cache"))
        assert read_content(lake) == wanted, stop
        assert list_open(lake) == []
        assert all(report["proof"]["holds"] for report in reports)
        shutil.rmtree(tmp_path / "cut")


def test_what_a_run_made_while_it_was_cut_off_goes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_lake(tmp_path / "lake", 5)
    page = made.rows[("deduped_corpus", "d1", "00000-0000")][0]
    entry = make_entry("url", page["url"], "2026-11-23", "r")
    with monkeypatch.context() as patched:
        list_writes(patched, 6)
        with pytest.raises(Killed):
            take_down(made.lake, plan_takedown(made.lake, [entry]), str(tmp_path / "cache"))
    # a step that had read the page before made an instruction of it
    row = dict(made.rows[("instruction_candidates", "d2", "m-0")][0])
    late = "f" * 32
    row |= {"instruction_id": late, "parents": [{"table": "deduped_corpus", "id": page["doc_id"]}]}
    publish_shards(made.lake, INSTRUCTION_CANDIDATES, "d2", {"late-0": [row]})
    kept = {name: value for name, value in row.items() if name in SYNTHESIZED_INSTRUCTIONS.column_names}
    publish_shards(made.lake, SYNTHESIZED_INSTRUCTIONS, "d2", {"late-0": [kept]})

    (report,) = finish_open(made.lake, str(tmp_path / "cache"))

    assert report["proof"]["holds"]
    assert made.lake.dataset(SYNTHESIZED_INSTRUCTIONS, "d2").scan().collect().height == 0
    assert find_taken(made.lake, late) is not None
