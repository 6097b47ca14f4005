"""A local OpenAI-compatible server that answers the instruction lane's prompts and writes down every request it gets.

What it says follows from the request alone, so two runs that ask the same get the same. A reply's token counts are no
counts: together they are 52 bits of its request's digest, so that a row of the reply cache tells which request it
answers. Some replies are not in the form that was asked for: those are refused, and never cached.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: One reply in so many that had to be JSON is none.
FORMLESS = 60
_SENTENCE = re.compile(r"The (\w+ of \w+) was (\w+) in (\d+)[^.]*\.")


@dataclass
class Ask:
    """One request as it came.

    Attributes:
        digest: of its body as canonical JSON.
        round: how many kills there had been.
        is_formless: whether its reply is not in the form that was asked for.
        is_written: whether the reply went out whole; whether anybody read it the server cannot know.
    """

    digest: str
    round: int
    is_formless: bool
    is_written: bool = False


@dataclass
class CountingTeacher:
    """What the server saw; `round` is for the caller to raise."""

    url: str
    round: int = 0
    asks: list[Ask] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    written: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forget(self) -> None:
        """Begin anew: a run before this did not count."""
        self.asks, self.kinds, self.round, self.written = [], Counter(), 0, 0


def digest_body(body: dict[str, Any]) -> str:
    """Return 13 hexadecimal digits that stand for a request's whole content."""
    canonical = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:13]


def split_digest(digest: str) -> tuple[int, int]:
    """Return a digest as two numbers of 26 bits: the tokens of prompt and reply that the server claims."""
    whole = int(digest, 16)
    return whole >> 26, whole & (2**26 - 1)


def join_digest(prompt_tokens: int, completion_tokens: int) -> str:
    """Return the digest that a cached reply's token counts stand for."""
    return f"{(prompt_tokens << 26) + completion_tokens:013x}"


@contextmanager
def serve_counting() -> Iterator[CountingTeacher]:
    """Serve until the block ends; each reply takes 20 to 50 ms."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._send(b'{"object": "list", "data": []}')

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            digest = digest_body(body)
            number = int(digest, 16)
            schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
            ask = Ask(digest, server.round, schema is not None and number % FORMLESS == 0)
            kind, text = write_reply(body, schema, number)
            with server.lock:
                server.in_flight += 1
                server.asks.append(ask)
                server.kinds[kind] += 1
            try:
                time.sleep(0.02 + number % 31 / 1000)
                prompt_tokens, completion_tokens = split_digest(digest)
                message = {"role": "assistant", "content": "As you wish!" if ask.is_formless else text}
                completion = {
                    "object": "chat.completion",
                    "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                    "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens},
                }
                self._send(json.dumps(completion).encode())
                ask.is_written = True
            finally:
                with server.lock:
                    server.in_flight -= 1
                    server.written += ask.is_written

        def _send(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    class Quiet(ThreadingHTTPServer):
        request_queue_size = 256

        def handle_error(self, *args: object) -> None:
            pass  # callers that are killed are part of the plan

    http = Quiet(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = CountingTeacher(f"http://127.0.0.1:{http.server_address[1]}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


# what it says ---------------------------------------------------------------------------------------------------------


def write_reply(body: dict[str, Any], schema: dict[str, Any] | None, number: int) -> tuple[str, str]:
    """Return (kind of the request, reply): by the names that the schema wants, or by the words of the prompt."""
    said = body["messages"][-1]["content"]
    if schema is not None:
        names = ",".join(sorted(schema["properties"]))
        reply = _WRITERS[names](said, number)
        return names, json.dumps(reply)
    told = body["messages"][0]["content"]
    for mark, write in _SPEAKERS.items():
        if mark in told:
            return mark, write(said, number)
    return "free", _answer(said, number)


def _find_sum(said: str) -> tuple[int, int]:
    found = re.findall(r"(\d+) lamps and (\d+) more", said)
    return (int(found[-1][0]), int(found[-1][1])) if found else (1, 1)


def _is_wrong(number: int) -> bool:
    return number % 4 == 0


def _ask_about(match: re.Match[str]) -> str:
    return f"When was the {match[1]} {match[2]}?"


def _find_asked(said: str) -> str:
    """Return the sentence that answers the question in the request, of the text in it; else the last one."""
    sentences = list(_SENTENCE.finditer(said))
    fitting = [match[0] for match in sentences if _ask_about(match) in said]
    return fitting[0] if fitting else (sentences[-1][0] if sentences else "It is not told.")


def _write_questions(said: str, number: int) -> dict[str, Any]:
    questions = [_ask_about(match) for match in _SENTENCE.finditer(said)]
    # another first one with another seed
    start = number % max(len(questions), 1)
    return {"questions": (questions[start:] + questions[:start])[: 3 + number % 3]}


def _write_quoted(said: str, number: int) -> dict[str, Any]:
    sentence = _find_asked(said)
    reasoning = f"Place {number % 997} tells it: ##begin_quote##{sentence}##end_quote## So it is that year."
    return {"reasoning": reasoning, "answer": sentence}


def _write_question(said: str, number: int) -> dict[str, Any]:
    match = _SENTENCE.search(said)
    if match is None or number % 7 == 0:
        return {"question": f"Who had the number {number % 997} then?", "answer": "Nobody had it."}
    return {"question": _ask_about(match), "answer": match[0]}


def _solve(said: str, number: int) -> tuple[str, str]:
    one, other = _find_sum(said)
    right = one + other + _is_wrong(number)
    return f"By way {number % 9973}: {one} lamps and {other} more make {right} lamps.", str(right)


def _write_chain(said: str, number: int) -> dict[str, Any]:
    rationale, answer = _solve(said, number)
    return {"rationale": rationale, "answer": answer}


def _write_thoughts(said: str, number: int) -> dict[str, Any]:
    count = int(re.findall(r"Number of proposals: (\d+)", said)[-1])
    return {
        "thoughts": [
            dict(zip(("thought", "answer"), _solve(said, number + place), strict=True)) for place in range(count)
        ]
    }


def _write_problem(_: str, number: int) -> dict[str, Any]:
    one, other = number % 90 + 2, number % 37 + 3
    # some programs fail
    parts = 0 if number % 6 == 0 else 2
    problem = f"A shelf has {one} jars. {other} more are put on it, and half of them sold. How many jars were sold?"
    solution = f"def solve():\n    jars = {one} + {other}\n    sold = jars / {parts}\n    return sold"
    return {"problem": problem, "solution": solution}


def _write_ratings(said: str, number: int) -> dict[str, Any]:
    count = len(re.findall(r"^Answer \d+:$", said, re.MULTILINE))
    ratings: list[dict[str, Any]] = [
        {"answer": place, "rationale": f"It says so in {number % 83} words.", "rating": 1 + (number >> place) % 5}
        for place in range(1, count + 1)
    ]
    if number % 19 == 0:
        ratings[0]["rating"] = 11
    return {"ratings": ratings}


def _mark(answer: str) -> int:
    return 1 + int(hashlib.sha256(answer.strip().encode()).hexdigest()[:6], 16) % 10


def _compare(said: str, number: int) -> str:
    first, _, second = said.rpartition("First answer:\n")[2].partition("\n\nSecond answer:\n")
    marks = (10, 1) if number % 9 == 0 else (_mark(first), _mark(second))
    return f"{marks[0]} {marks[1]}\nOne says more than the other, by {number % 89} words."


def _evolve(said: str, number: int) -> str:
    given = said.partition("instruction:\n")[2].partition("\n\nDo not")[0]
    return f"{given} Say also how sure you are, in {number % 89 + 2} words, and name two reasons for it."


def _find_another(_: str, number: int) -> str:
    return f"Explain how a town of {number} people keeps the records of its old houses, in three steps."


def _reason(said: str, number: int) -> str:
    rationale, answer = _solve(said, number)
    return f"{rationale} The answer is {answer}."


def _answer(said: str, number: int) -> str:
    if "lamps" in said:
        return _reason(said, number)
    return f"{_find_asked(said)} That is known from {number % 97} letters."


_WRITERS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "questions": _write_questions,
    "answer,reasoning": _write_quoted,
    "answer,question": _write_question,
    "answer,rationale": _write_chain,
    "thoughts": _write_thoughts,
    "value": lambda _, number: {"value": ("sure", "likely", "impossible")[number % 3]},
    "problem,solution": _write_problem,
    "verdict": lambda _, number: {"verdict": "equal" if number % 8 == 0 else "not_equal"},
    "ratings": _write_ratings,
    "critique,overall": lambda _, number: {"critique": f"Clear in {number % 71} words.", "overall": number % 10 + 1},
    "rationale,score": lambda _, number: {"rationale": f"Reason {number % 997}.", "score": number % 10 + 1},
    "critique,is_done": lambda _, number: {"critique": f"Say it in {number % 71} words.", "is_done": number % 5 == 0},
}
_SPEAKERS: dict[str, Callable[[str, int], str]] = {
    "You compare two answers": _compare,
    "You make instructions harder": _evolve,
    "You think up instructions": _find_another,
}
