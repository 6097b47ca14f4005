"""The peers' side of teacher_engine.py; runs in their environment: distilabel's OpenAILLM, openai's client, twice."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import warnings
from typing import Any

warnings.filterwarnings("ignore")
# distilabel leaves connections of the first call to a loop that is closed by then
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def ask_distilabel(url: str, prompts: list[str], concurrency: int) -> int:
    """Ask as distilabel's pipeline does, a batch at a time, without its processes and files around it."""
    from distilabel.models.llms import OpenAILLM

    llm = OpenAILLM(model="m", base_url=url, api_key="none", timeout=60, max_retries=0)
    llm.load()
    answered = 0
    for start in range(0, len(prompts), concurrency):
        batch = [[{"role": "user", "content": prompt}] for prompt in prompts[start : start + concurrency]]
        answered += len(llm.generate(inputs=batch))
    return answered


def ask_openai(url: str, prompts: list[str], concurrency: int, *, is_on_aiohttp: bool) -> int:
    """Ask by openai's asynchronous client, as many workers as there may be requests at once."""
    import openai

    async def ask() -> int:
        more: dict[str, Any] = {"http_client": openai.DefaultAioHttpClient()} if is_on_aiohttp else {}
        waiting, answered = iter(prompts), []
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=60, **more) as client:

            async def work() -> None:
                for prompt in waiting:
                    message = {"role": "user", "content": prompt}
                    reply = await client.chat.completions.create(model="m", messages=[message])
                    answered.append(reply.choices[0].message.content)

            await asyncio.gather(*(work() for _ in range(concurrency)))
        return len(answered)

    return asyncio.run(ask())


def main() -> None:
    side, url, count, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    prompts = [f"Write sentence {number} about otters." for number in range(count)]

    def ask(some: list[str]) -> int:
        if side == "distilabel":
            return ask_distilabel(url, some, concurrency)
        return ask_openai(url, some, concurrency, is_on_aiohttp=side == "openai on aiohttp")

    ask(prompts[:1])  # imports
    started, used = time.monotonic(), time.process_time()
    answered = ask(prompts)
    took, used = time.monotonic() - started, time.process_time() - used
    if answered != count:
        sys.exit(f"{side}: {answered} of {count} requests have a reply")
    print(json.dumps({"rate": count / took, "cpu_ms": used / count * 1000}))


if __name__ == "__main__":
    main()
