"""Says what each section of a recipe holds: frozen, typed settings that change the data. Knobs live elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.rules import Rule

#: Methods that a recipe may name; each is a file of mmpipe/synthesis.
SYNTHESIS_METHODS = ("grounded_questions", "image_instructions")

#: What responses may be judged by: the first two ask the teacher, the last compares with the accepted answer.
CRITERIA = ("helpfulness", "truthfulness", "answer_f1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReference:
    """One list of words, domains, hosts or URLs, one entry per line.

    Attributes:
        list: name of a packaged list, a path (relative ones stand beside the recipe) or a URL; `.xz` and `.gz` are
            unpacked.
        sha256: digest of the file as stored; filled in for packaged lists and paths, required for a URL.
        licence: licence and author of the list, shown in the dataset card.
        path: where the file lies, or the URL; never part of a digest.
    """

    list: str
    sha256: str = ""
    licence: str = ""
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionSettings:
    """How a page becomes text (RefinedWeb §3.1)."""

    extractor: Literal["trafilatura", "resiliparse"] = "trafilatura"
    include_comments: bool = False
    timeout_seconds: float = 30.0
    max_page_bytes: int = 20_000_000

    def __post_init__(self) -> None:
        _require(self.timeout_seconds > 0, "timeout_seconds must be above 0")
        _require(self.max_page_bytes > 0, "max_page_bytes must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageSettings:
    """Which model names the language; which languages stay is a rule."""

    identifier: Literal["lid.176"] = "lid.176"


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSettings:
    """The lists that URLs are held against (RefinedWeb G.1).

    Attributes:
        case_sensitive_words: look for hard and soft words in the URL as written, as datatrove does; by default the URL
            is lower-cased first.
        domains: blocked registered domains and hosts.
        urls: blocked URLs.
        strict_subwords: words that may stand nowhere in the URL's letters and digits.
        hard_words: words of which one blocks.
        soft_words: words of which several block.
    """

    case_sensitive_words: bool = False
    domains: tuple[ListReference, ...] = ()
    urls: tuple[ListReference, ...] = ()
    strict_subwords: tuple[ListReference, ...] = ()
    hard_words: tuple[ListReference, ...] = ()
    soft_words: tuple[ListReference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """How text is counted, and the rules that limit the counts, in order."""

    dialect: Literal["datatrove_0_10"] = "datatrove_0_10"
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        for rule in self.rules:
            _require(
                rule.dialect in (None, self.dialect),
                f"rule {rule.name!r} is set for the dialect {rule.dialect!r}, not {self.dialect!r}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeduplicationSettings:
    """When two documents are near-duplicates (RefinedWeb G.3).

    Attributes:
        shingle_words: words per shingle.
        bands: bands of the MinHash signature; two documents that agree on one band are compared.
        rows: hashes per band.
        seed: seed of the permutations.
        verify_jaccard: lowest measured Jaccard similarity of two near-duplicates; null trusts the bands.
    """

    shingle_words: int = 5
    bands: int = 450
    rows: int = 20
    seed: int = 1
    verify_jaccard: float | None = 0.8

    def __post_init__(self) -> None:
        _require(min(self.shingle_words, self.bands, self.rows) >= 1, "shingle_words, bands and rows must be 1 or more")
        _require(self.verify_jaccard is None or 0 < self.verify_jaccard <= 1, "verify_jaccard must be in (0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """The rules of the image lane, in order.

    Attributes:
        preset: packaged recipe whose image rules come first; a rule named again in `rules` replaces its namesake.
        max_image_bytes: files above this are `oversized_image`, unread.
        max_pixels: pictures above this are `oversized_image`, undecoded.
    """

    preset: str | None = None
    max_image_bytes: int = 50_000_000
    max_pixels: int = 100_000_000
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionSettings:
    """How instructions, responses and judgements are made, and the rules for instructions.

    Attributes:
        methods: synthesis methods, in order; each is a file of mmpipe/synthesis.
        documents_per_dump: most documents asked about, chosen by a hash of their ids; null for all.
        pairs_per_dump: most image-text pairs asked about; null for all.
        answered_per_dump: most instructions that get sampled responses; null for all.
        questions_per_document: question-answer pairs asked of one document.
        samples_per_prompt: responses sampled for one instruction.
        criterion: what responses are judged by.
        temperature: sampling temperature of responses.
        max_tokens: most tokens of one completion.
        seed: seed of the first request.
        rules: rules for instructions, in order.
    """

    methods: tuple[str, ...] = ()
    documents_per_dump: int | None = None
    pairs_per_dump: int | None = None
    answered_per_dump: int | None = None
    questions_per_document: int = 2
    samples_per_prompt: int = 4
    criterion: str = "helpfulness"
    temperature: float = 0.8
    max_tokens: int = 512
    seed: int = 0
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        for method in self.methods:
            _require(
                method in SYNTHESIS_METHODS,
                f"unknown synthesis method {method!r}.{name_nearest(method, SYNTHESIS_METHODS)}",
            )
        _require(
            self.criterion in CRITERIA, f"unknown criterion {self.criterion!r}.{name_nearest(self.criterion, CRITERIA)}"
        )
        _require(self.questions_per_document >= 1, "questions_per_document must be 1 or more")
        _require(self.samples_per_prompt >= 2, "samples_per_prompt must be 2 or more: a preference needs a pair")
        _require(self.temperature >= 0, "temperature must not be negative")
        _require(self.max_tokens >= 1, "max_tokens must be 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingSettings:
    """How documents become training sequences.

    Attributes:
        sequence_length: tokens per sequence.
        epochs: passes over each dump, for example 1.10; dumps not named pass once.
        seed: seed of the shuffle.
    """

    sequence_length: int = 2048
    epochs: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.sequence_length >= 2, "sequence_length must be 2 or more")
        _require(all(epochs >= 0 for epochs in self.epochs.values()), "epochs must not be negative")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(f"{message}.")
