"""Calls of a teacher follow each other in threads of their own, as the stages of a lane make them, in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mmpipe_tests.models.chat_server import Answer, serve

#: Asks again and again; a process of its own, as what went wrong here ended it.
_CALLS = """
import sys
from mmpipe.models.endpoint_teacher import EndpointTeacher
from mmpipe.tables.chat import ChatMessage, ChatReply, ChatRequest, Sampling

teacher = EndpointTeacher(sys.argv[1], "m", concurrency=8)
for number in range(60):
    requests = [ChatRequest((ChatMessage("user", f"{number} {place}"),), Sampling()) for place in range(12)]
    replies = list(teacher.answer(requests))
    assert all(isinstance(reply, ChatReply) for reply in replies), replies
print("all answered")
"""


def test_sixty_calls_in_a_row_are_answered_in_one_process() -> None:
    root = Path(__file__).resolve().parents[2]
    with serve(lambda said, times: Answer(said, delay_s=0.002)) as server:
        done = subprocess.run(
            [sys.executable, "-c", _CALLS, server.url], env={**os.environ, "PYTHONPATH": str(root)}, text=True,
            capture_output=True, timeout=100, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "all answered\n"), done.stderr[-2000:]
    assert server.asked.total() == 720
