"""Runs killed at random moments: nothing that was committed is asked again, no row is lost, none comes twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.tables.chat import ChatMessage, ChatRequest, Sampling
from mmpipe_tests.models.fault_server import serve_faults

CONCURRENCY = 8

#: One run: asks everything and writes the row of each reply to a table that appears only when it is whole.
_RUN = f"""
import sys
from pathlib import Path
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.models.reply_cache import ReplyCache
from mmpipe.tables.chat import ChatMessage, ChatRequest, Sampling

url, cache, table, count = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
teacher = EndpointTeacher(url, "m", concurrency={CONCURRENCY}, cache=ReplyCache(cache))
requests = [ChatRequest((ChatMessage("user", str(n)),), Sampling(max_tokens=9)) for n in range(count)]
print("ready", flush=True)
rows = [f"{{n}} {{outcome.text}}" for n, outcome in enumerate(teacher.answer(requests))]
table.with_suffix(".new").write_text("\\n".join(rows))
table.with_suffix(".new").rename(table)
"""


def _kill_often(tmp_path: Path, kills: int, count: int, latency_s: float, seed: int) -> None:
    cache, table = tmp_path / "replies.sqlite", tmp_path / "rows.txt"
    draws = random.Random(seed)
    requests = [ChatRequest((ChatMessage("user", str(n)),), Sampling(max_tokens=9)) for n in range(count)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    with serve_faults(latency_s=latency_s) as server:
        command = [sys.executable, "-c", _RUN, server.url, str(cache), str(table), str(count)]
        keys = {request.make_key(EndpointTeacher(server.url, "m").name): str(n) for n, request in enumerate(requests)}
        # an empty cache must not be mistaken for a committed one
        committed: set[str] = set()
        asked_when_committed: Counter[str] = Counter()
        for _ in range(kills):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            # by progress and then by time: the moment is random on a busy machine too
            goal = server.asked.total() + draws.randrange(int(1.4 * count / kills))
            while server.asked.total() < goal and process.poll() is None:
                time.sleep(0.001)
            time.sleep(draws.uniform(0, latency_s))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            time.sleep(2 * latency_s)  # what was in flight is over, and nobody asks
            found = {keys[key] for key in ReplyCache(cache).get_many(list(keys))} if cache.exists() else set()
            # zero repeated successful calls: what had been committed before this run was asked no more since
            assert {text: server.asked[text] for text in committed} == {
                text: asked_when_committed[text] for text in committed
            }
            assert found >= committed
            asked_when_committed.update({text: server.asked[text] for text in found - committed})
            committed = found
        assert len(committed) > 0
        in_flight_at_kills = server.asked.total() - len(committed)
        assert in_flight_at_kills <= kills * CONCURRENCY
        done = subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
        assert done.returncode == 0
        assert {text: server.asked[text] for text in committed} == {
            text: asked_when_committed[text] for text in committed
        }
        assert server.asked.total() <= count + kills * CONCURRENCY
    # zero lost and zero duplicate rows, each with its own reply
    assert table.read_text().splitlines() == [f'{n} {{"q": "reply to {n}"}}' for n in range(count)]
    assert len(ReplyCache(cache)) == count


def test_a_run_killed_four_times_repeats_no_committed_call(tmp_path: Path) -> None:
    _kill_often(tmp_path, kills=4, count=160, latency_s=0.02, seed=1)


@pytest.mark.slow
def test_a_run_killed_twenty_times_repeats_no_committed_call(tmp_path: Path) -> None:
    _kill_often(tmp_path, kills=20, count=1200, latency_s=0.02, seed=2)


def test_editing_one_prompt_keeps_the_rest(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "replies.sqlite")

    def ask(texts: list[str]) -> list[ChatRequest]:
        return [ChatRequest((ChatMessage("user", text),), Sampling(max_tokens=9)) for text in texts]

    texts = [f"question {n}" for n in range(50)]
    with serve_faults() as server:
        teacher = EndpointTeacher(server.url, "m", cache=cache)
        list(teacher.answer(ask(texts)))
        texts[17] += ", in one sentence"
        list(teacher.answer(ask(texts)))
        asked = dict(server.asked)
    assert asked == {**{f"question {n}": 1 for n in range(50)}, "question 17, in one sentence": 1}
