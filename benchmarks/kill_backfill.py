"""Kills `mmpipe backfill` of the instruction lane with SIGKILL again and again, and counts what is asked or made twice.

    python benchmarks/kill_backfill.py [--kills 20] [--server] [--seed 0] [--quick]

A local server answers the teacher's and the judge's requests and writes each of them down (`counting_teacher`). An
undisturbed run makes two dumps by eight synthesis and six preference methods. Then the same backfill runs in a fresh
project with a fresh cache; after a random number of replies its whole process group is killed, and it is begun again;
so `--kills` times, `--late` times more at random seconds, and once to the end. After each kill the reply cache is read:
what it holds must never be asked again. In the end every table must have the bytes of the undisturbed run, and no
process and no started run may be left.

With `--server` the backfill goes through `mmpipe dev`, in run and step processes of Dagster's multiprocess executor;
all is killed: UI, daemon, code server, runs, steps. Without, it runs in the command's own process and its workers.
There is no peer: the figures are counts, and those that must be zero are.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))
from counting_teacher import CountingTeacher, join_digest, serve_counting
from kill_project import DUMPS, KillProject, compare_lakes
from orphans import adopt_orphans, list_alive, wait_for_end
from side_by_side import print_table

#: Requests that each of the two teachers has under way at once.
CONCURRENCY = 8


@dataclass
class Kill:
    """What one kill met.

    Attributes:
        replies: that the server had sent by then.
        cached: of them, those in the reply cache.
        lost: digests asked since the kill before and not in the cache, though their reply has the right form.
        orphans: processes that lived on for three seconds.
    """

    replies: int
    cached: set[str]
    lost: set[str]
    orphans: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--late", type=int, default=5, help="kills at random seconds, also where nobody is asked")
    parser.add_argument("--server", action="store_true")
    parser.add_argument("--dumps", type=int, default=2, choices=[1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="four kills")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    options = parser.parse_args()
    if options.quick:
        options.kills, options.late = 3, 1
    adopt_orphans()
    dumps = DUMPS[: options.dumps]
    folder = Path(tempfile.mkdtemp(prefix="mmpipe-kills-"))
    print(f"in {folder}", flush=True)
    with serve_counting() as server:
        whole = KillProject(folder / "undisturbed", server.url, CONCURRENCY, dumps)
        started = time.monotonic()
        run_to_end(whole, is_served=False)
        undisturbed_s = time.monotonic() - started
        expected = Counter(ask.digest for ask in server.asks)
        formless = {ask.digest for ask in server.asks if ask.is_formless}
        kinds, requests = dict(server.kinds), len(server.asks)
        print(f"undisturbed: {requests} requests, {len(expected)} distinct, {undisturbed_s:.0f} s\n{kinds}", flush=True)
        server.forget()
        killed = KillProject(folder / "killed", server.url, CONCURRENCY, dumps)
        chooser = random.Random(options.seed)
        kills: list[Kill] = []
        if options.server:
            kill_served(killed, server, kills, options.kills, len(expected), chooser)
        else:
            kill_here(killed, server, kills, options.kills, len(expected), chooser)
            kill_late(killed, server, kills, options.late, undisturbed_s, chooser)
        server.round = len(kills)
        run_to_end(killed, is_served=options.server)
        figures = judge(server, kills, expected, formless)
        orphans = wait_for_end(3.0)
        # whether the endpoint answers is asked too
        figures |= killed.examine()
    tables = compare_lakes(whole.lake, killed.lake, dumps)
    print_table(["table", "dump", "rows", "files alike", "rows alike", "account alike", "ids twice"], tables)
    figures |= {
        "tables": len(tables),
        "tables_unlike": sum(row[3:] != ["yes", "yes", "yes", 0] for row in tables),
        "orphans_at_end": orphans,
    }
    print(
        json.dumps(
            {"name": "kill_backfill", "is_served": options.server, "undisturbed_s": round(undisturbed_s), **figures}
        )
    )
    if options.keep:
        print(f"left: {folder}")
    else:
        shutil.rmtree(folder)
    zero = (
        "asked_again_though_cached",
        "asked_again_unexplained",
        "never_asked",
        "unexpected",
        "tables_unlike",
        "runs_open",
    )
    sys.exit(any(figures[name] for name in zero) or bool(orphans) or not figures["is_doctor_content"])


# runs and kills -------------------------------------------------------------------------------------------------------


def run_to_end(project: KillProject, *, is_served: bool) -> None:
    """Run the backfill until it has ended well."""
    server = project.start_server() if is_served else None
    while server is not None and project.is_at_work():
        time.sleep(2)  # the daemon goes on with what was killed
    done = project.start_backfill(is_served=is_served).wait()
    if server is not None:
        server.send_signal(signal.SIGINT)
        server.wait()
    if done:
        sys.exit(f"The backfill failed ({done}):\n{project.log.read_text()[-3000:]}")


def wait_for_replies(project: KillProject, server: CountingTeacher, goal: int) -> None:
    """Wait until `mmpipe dev` has had so many replies; where nothing goes on any more, begin the backfill again."""
    while server.written < goal:
        before = server.written
        if not project.is_at_work():
            project.start_backfill(is_served=True)
            time.sleep(10)
        deadline = time.monotonic() + 5
        while server.written < goal and (server.written > before or time.monotonic() < deadline):
            before = server.written
            time.sleep(0.01)


def choose_goal(server: CountingTeacher, kills: list[Kill], count: int, replies: int, chooser: random.Random) -> int:
    """Return the number of replies to kill at, so that `count` kills fall among the `replies` of a whole run."""
    left = max(replies - (len(kills[-1].cached) if kills else 0), 2)
    return server.written + chooser.randrange(1, max(2, round(1.8 * left / (count - len(kills) + 1))))


def kill_here(
    project: KillProject, server: CountingTeacher, kills: list[Kill], count: int, replies: int, chooser: random.Random
) -> None:
    """Begin the backfill in its own process and kill its process group after a random number of replies; so often."""
    while len(kills) < count:
        server.round = len(kills)
        goal = choose_goal(server, kills, count, replies, chooser)
        backfill = project.start_backfill(is_served=False)
        while backfill.poll() is None and server.written < goal:
            time.sleep(0.002)
        if backfill.returncode is not None:
            sys.exit(f"The backfill ended before it was killed:\n{project.log.read_text()[-3000:]}")
        os.killpg(backfill.pid, signal.SIGKILL)
        note_kill(project, server, kills, wait_for_end(3.0))


def kill_late(
    project: KillProject, server: CountingTeacher, kills: list[Kill], count: int, whole_s: float, chooser: random.Random
) -> None:
    """The same at random seconds, also while tables are published and checked; a run that has ended is begun again."""
    for _ in range(count):
        server.round = len(kills)
        backfill = project.start_backfill(is_served=False)
        with suppress(subprocess.TimeoutExpired):
            backfill.wait(whole_s * chooser.uniform(0.1, 0.8))
            continue
        os.killpg(backfill.pid, signal.SIGKILL)
        note_kill(project, server, kills, wait_for_end(3.0))


def kill_served(
    project: KillProject, server: CountingTeacher, kills: list[Kill], count: int, replies: int, chooser: random.Random
) -> None:
    """Kill `mmpipe dev` and everything below it after a random number of replies; so often."""
    while len(kills) < count:
        server.round = len(kills)
        goal = choose_goal(server, kills, count, replies, chooser)
        project.start_server()
        wait_for_replies(project, server, goal)
        while alive := list_alive():
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        note_kill(project, server, kills, [])


def note_kill(project: KillProject, server: CountingTeacher, kills: list[Kill], orphans: list[str]) -> None:
    """Write down what a kill met, when the server has done with the requests that nobody waits for any more."""
    while server.in_flight:
        time.sleep(0.01)
    time.sleep(0.2)
    now = read_cached(project.cache)
    fresh = {ask.digest for ask in server.asks if ask.round == len(kills) and not ask.is_formless}
    gone = kills[-1].cached - now if kills else set()
    if gone:
        sys.exit(f"{len(gone)} replies are gone from the cache.")
    kills.append(Kill(server.written, now, fresh - now, orphans))
    told = f"kill {len(kills)}: {server.written} replies sent, {len(now)} cached, {len(fresh - now)} lost"
    print(f"{told}{f', left: {orphans}' if orphans else ''}", flush=True)


def read_cached(cache: Path) -> set[str]:
    """Return the digests of all replies in the cache, from a copy: a reader of the file itself would mend its log."""
    if not cache.is_file():
        return set()
    with tempfile.TemporaryDirectory() as scratch:
        for path in cache.parent.glob(f"{cache.name}*"):
            shutil.copy(path, scratch)
        connection = sqlite3.connect(Path(scratch) / cache.name)
        try:
            rows = connection.execute("SELECT prompt_tokens, completion_tokens FROM replies").fetchall()
        except sqlite3.OperationalError:
            rows = []  # killed before the table was made
        finally:
            connection.close()
    return {join_digest(*row) for row in rows}


# the account ----------------------------------------------------------------------------------------------------------


def judge(server: CountingTeacher, kills: list[Kill], expected: Counter[str], formless: set[str]) -> dict[str, Any]:
    """Return what was asked again, key by key, and why.

    A digest that was asked for n times in a run that nobody killed may be asked as often in each round.
    """
    again_cached, again_lost, again_formless, unexplained = [], 0, 0, []
    by_round: list[Counter[str]] = [Counter() for _ in range(len(kills) + 1)]
    for ask in server.asks:
        by_round[ask.round][ask.digest] += 1
    seen: set[str] = set()
    for number, asked in enumerate(by_round):
        before = kills[number - 1].cached if number else set()
        ever_lost = {digest for kill in kills[:number] for digest in kill.lost}
        for digest, times in asked.items():
            if digest in before:
                again_cached.append(digest)
            elif digest in seen and digest in formless:
                again_formless += 1
            elif digest in seen and digest in ever_lost:
                again_lost += 1
            elif digest in seen or times > expected[digest]:
                unexplained.append(digest)
            seen.add(digest)
    return {
        "kills": len(kills),
        "requests": len(server.asks),
        "distinct": len(seen),
        "cached_at_last_kill": len(kills[-1].cached) if kills else 0,
        "asked_again_though_cached": len(again_cached),
        "asked_again_unexplained": len(unexplained),
        "asked_again_as_lost_in_flight": again_lost,
        "asked_again_as_formless": again_formless,
        "lost_in_flight": sum(len(kill.lost) for kill in kills),
        "most_lost_by_one_kill": max((len(kill.lost) for kill in kills), default=0),
        "never_asked": len(expected.keys() - seen),
        "unexpected": len(seen - expected.keys()),
        "orphans_after_kills": sum(len(kill.orphans) for kill in kills),
    }


if __name__ == "__main__":
    main()
