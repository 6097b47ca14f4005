"""Says what each section of a recipe holds: frozen, typed settings that change the data. Knobs live elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.instruction_duplicate_sections import InstructionDuplicates
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.preference_sections import check_authors
from mmpipe.filtering.rules import Rule
from mmpipe.filtering.synthesis_sections import SYNTHESIS_METHODS, SynthesisMethod, name_method
from mmpipe.tables.correction_steps import CORRECTION_STEPS, MASK_STEP, OPTION_WORDS, Option
from mmpipe.tables.text_signals import FAMILIES, UT1_CATEGORIES

#: What responses may be judged by: the first two ask the teacher, the last compares with the accepted answer.
CRITERIA = ("helpfulness", "truthfulness", "answer_f1")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """One evaluation set.

    Attributes:
        name: what hits call it.
        file: its file: where, with which digest, under which licence.
        fields: fields whose text must not be in the corpus; empty for those known for the set's name, else all.
    """

    name: str
    file: ListReference
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionSettings:
    """How a page becomes text (RefinedWeb §3.1).

    Attributes:
        extractor: `trafilatura`, `resiliparse`, `justext`, or `chooser`, which picks per page.
        favor: trafilatura's precision or recall mode.
        is_fast: trafilatura without its fall-back extractors.
        output: `plain` text or `markdown`.
        include_comments: whether readers' comments count as main text.
        include_tables: whether tables are kept.
        include_links: whether link targets are kept (markdown).
        deduplicate: trafilatura's own removal of repeated segments, as datatrove sets it.
        metadata: title and date only where the page states them (`stated`), also by searching the page for a date
            (`searched`), or not at all.
        timeout_seconds: CPU time that one page may take.
        max_page_bytes: a longer page is `oversized_page`.
    """

    extractor: Literal["trafilatura", "resiliparse", "justext", "chooser"] = "trafilatura"
    favor: Literal["none", "precision", "recall"] = "none"
    is_fast: bool = False
    output: Literal["plain", "markdown"] = "plain"
    include_comments: bool = False
    include_tables: bool = True
    include_links: bool = False
    deduplicate: bool = False
    metadata: Literal["stated", "searched", "none"] = "searched"
    timeout_seconds: float = 30.0
    max_page_bytes: int = 20_000_000

    def __post_init__(self) -> None:
        _require(self.timeout_seconds > 0, "timeout_seconds must be above 0")
        _require(self.max_page_bytes > 0, "max_page_bytes must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPassSettings:
    """What is decided before the dear extractor runs; everything off by default.

    Attributes:
        url_rules: whether pages that fail a URL rule of `text.rules` are not extracted (`blocked_url`).
        languages: languages of the quick look at the page that are extracted; empty for all. A page whose quick look
            says another language with at least `least_score` is `other_language`.
        least_score: how sure the quick look must be.
        repeated_pages: whether a page whose payload digest another record of the dump has is `repeated_page`.
        repeated_urls: whether a page whose normalised URL another record of the dump has is `repeated_url`.
    """

    url_rules: bool = False
    languages: tuple[str, ...] = ()
    least_score: float = 0.65
    repeated_pages: bool = False
    repeated_urls: bool = False

    def __post_init__(self) -> None:
        _require(0 <= self.least_score <= 1, "least_score must be in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageSettings:
    """How the language is named; which languages stay is a rule.

    Attributes:
        identifier: `lid.176`, or any name for another fastText model whose weights are given by path.
        prefix_chars: characters that are looked at; null for the whole text.
        top_k: most likely languages whose scores are kept.
        identify_lines: whether lines are identified too (`other_language_char_ratio`).
    """

    identifier: str = "lid.176"
    prefix_chars: int | None = 1000
    top_k: int = 3
    identify_lines: bool = False

    def __post_init__(self) -> None:
        _require(self.prefix_chars is None or self.prefix_chars >= 1, "prefix_chars must be 1 or more, or null")
        _require(self.top_k >= 1, "top_k must be 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionStep:
    """One rewriting step and its options; options not named have the defaults of `tables.correction_steps`."""

    step: str
    options: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(
            self.step in CORRECTION_STEPS, f"unknown step {self.step!r}.{name_nearest(self.step, CORRECTION_STEPS)}"
        )
        for (step, name), known in OPTION_WORDS.items():
            value = self.options.get(name, ()) if step == self.step else ()
            for word in value if isinstance(value, tuple) else (value,):
                _require(word in known, f"{step}, {name}: unknown word {word!r}.{name_nearest(str(word), known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionSettings:
    """How text is rewritten before it is judged, step by step; masks of personal data come last."""

    steps: tuple[CorrectionStep, ...] = ()

    def __post_init__(self) -> None:
        names = [item.step for item in self.steps]
        _require(len(set(names)) == len(names), f"a step stands twice among {names}")
        _require(MASK_STEP not in names[:-1], f"{MASK_STEP} must be the last step: nothing may follow the masks")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings:
    """Which models score the text; weights are given by path or hub name, and only their digest counts.

    Attributes:
        quality: whether the fastText quality classifier scores texts.
        quality_label: its wanted class; null for `positive`, or `hq` of DCLM's.
        perplexity: whether a language model does.
        perplexity_tokens: tokens of a text that the language model reads.
        encoder: whether an encoder with a classification head does.
        encoder_label: the class whose probability is the score; null for a head of one number.
        encoder_tokens: tokens of a text that the encoder reads.
    """

    quality: bool = False
    quality_label: str | None = None
    perplexity: bool = False
    perplexity_tokens: int = 1024
    encoder: bool = False
    encoder_label: str | None = None
    encoder_tokens: int = 512

    def __post_init__(self) -> None:
        _require(min(self.perplexity_tokens, self.encoder_tokens) >= 2, "a model must read 2 tokens or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminationSettings:
    """Which evaluation sets a document may not hold parts of.

    Attributes:
        sets: evaluation sets as files of JSON lines, JSON, CSV or Parquet.
        ngram_words: words of an n-gram that document and item share (13: GPT-3, arXiv 2005.14165, appendix C).
        remove: whether a document with a hit is removed; else hits are only listed.
    """

    sets: tuple[EvaluationSet, ...] = ()
    ngram_words: int = 13
    remove: bool = True

    def __post_init__(self) -> None:
        _require(self.ngram_words >= 1, "ngram_words must be 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlSettings:
    """The lists that URLs are held against (RefinedWeb G.1).

    Attributes:
        case_sensitive_words: look for hard and soft words in the URL as written, as datatrove does; by default the URL
            is lower-cased first.
        as_written: hold hosts and URLs against the lists as datatrove 0.10 does: as they are written (upper case, the
            scheme and `www.` of a URL count), and a listed host blocks no host below it.
        domains: blocked registered domains and hosts.
        urls: blocked URLs.
        strict_subwords: words that may stand nowhere in the URL's letters and digits.
        hard_words: words of which one blocks.
        soft_words: words of which several block.
        held_out: domains and hosts of sources that are mixed separately.
        categories: lists of domains, hosts and URLs by category of UT1 (`tables.text_signals.UT1_CATEGORIES`).
    """

    case_sensitive_words: bool = False
    as_written: bool = False
    domains: tuple[ListReference, ...] = ()
    urls: tuple[ListReference, ...] = ()
    strict_subwords: tuple[ListReference, ...] = ()
    hard_words: tuple[ListReference, ...] = ()
    soft_words: tuple[ListReference, ...] = ()
    held_out: tuple[ListReference, ...] = ()
    # a mapping has no hash; settings that differ in it alone are unequal all the same
    categories: Mapping[str, tuple[ListReference, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for category in self.categories:
            _require(
                category in UT1_CATEGORIES, f"unknown category {category!r}.{name_nearest(category, UT1_CATEGORIES)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSettings:
    """Words that texts are searched for, by language (as the language model names it).

    Attributes:
        flagged: lists of flagged words, such as LDNOOBW's; a language without one has no flagged-word signal.
        stop: lists of stop words; a language not named has spaCy's list, or no stop-word signal if spaCy has none.
    """

    flagged: Mapping[str, tuple[ListReference, ...]] = field(default_factory=dict)
    stop: Mapping[str, tuple[ListReference, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """How text is counted, and the rules that limit the counts, in order.

    Attributes:
        dialect: how words, lines and repeats are counted (`filtering.text_rules.TEXT_DIALECTS`).
        signals: families of signals measured beyond those that the rules need.
        measured_before: family to the name of the correction step before which its text is measured, or `extracted`
            for the text as extracted; families not named measure the corrected text.
        sentence_model: the four files of a trained Punkt model, as NLTK's `punkt_tab/english` has them, for the dialect
            fineweb_release; without them Punkt knows no abbreviation.
        rules: rules in order.
    """

    dialect: Literal["datatrove_0_10", "fineweb_release", "dclm", "unicode"] = "datatrove_0_10"
    signals: tuple[str, ...] = ()
    measured_before: Mapping[str, str] = field(default_factory=dict)
    sentence_model: tuple[ListReference, ...] = ()
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        for rule in self.rules:
            _require(
                rule.dialect in (None, self.dialect),
                f"rule {rule.name!r} is set for the dialect {rule.dialect!r}, not {self.dialect!r}",
            )
        for family in (*self.signals, *self.measured_before):
            _require(family in FAMILIES, f"unknown family of signals {family!r}.{name_nearest(family, FAMILIES)}")

    def list_families(self) -> list[str]:
        """Return the families of signals that are measured, in the order of the table."""
        limited = {rule.signal for rule in self.rules}
        return [
            name
            for name, columns in FAMILIES.items()
            if name in self.signals or limited & {column.name for column in columns}
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionSettings:
    """How instructions, responses and judgements are made, and the rules for instructions.

    Attributes:
        methods: synthesis methods, in order: names, or names with options and files; none stands twice.
        documents_per_dump: most documents asked about, chosen by a hash of their ids; null for all.
        pairs_per_dump: most image-text pairs asked about; null for all.
        answered_per_dump: most instructions that get sampled responses; null for all.
        questions_per_document: question-answer pairs asked of one document.
        samples_per_prompt: responses sampled for one instruction.
        response_teachers: names of several teachers that answer, each sample of an instruction by another one while
            there are some (UltraFeedback); none for the one that `uses: {responses: …}` names.
        principles: weight of each principle that responses are written under; none for responses under none.
        criterion: what responses are judged by.
        judges_own_family: whether the judge of the criterion may score what a model of its own family wrote.
        temperature: sampling temperature of responses.
        max_tokens: most tokens of one completion.
        seed: seed of the first request.
        duplicates: which instructions of a dump repeat each other; null to compare none.
        rules: rules for instructions, in order.
    """

    methods: tuple[str | SynthesisMethod, ...] = ()
    documents_per_dump: int | None = None
    pairs_per_dump: int | None = None
    answered_per_dump: int | None = None
    questions_per_document: int = 2
    samples_per_prompt: int = 4
    response_teachers: tuple[str, ...] = ()
    principles: Mapping[str, float] = field(default_factory=dict)
    criterion: str = "helpfulness"
    judges_own_family: bool = False
    temperature: float = 0.8
    max_tokens: int = 512
    seed: int = 0
    duplicates: InstructionDuplicates | None = field(default_factory=InstructionDuplicates)
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        names = [name_method(entry) for entry in self.methods]
        _require(len(set(names)) == len(names), f"a method stands twice among {names}")
        for method in names:
            _require(
                method in SYNTHESIS_METHODS,
                f"unknown synthesis method {method!r}.{name_nearest(method, SYNTHESIS_METHODS)}",
            )
        _require(
            self.criterion in CRITERIA, f"unknown criterion {self.criterion!r}.{name_nearest(self.criterion, CRITERIA)}"
        )
        _require(self.questions_per_document >= 1, "questions_per_document must be 1 or more")
        _require(self.samples_per_prompt >= 2, "samples_per_prompt must be 2 or more: a preference needs a pair")
        check_authors(self.response_teachers, self.principles)
        _require(self.temperature >= 0, "temperature must not be negative")
        _require(self.max_tokens >= 1, "max_tokens must be 1 or more")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(message if message.endswith((".", "?")) else f"{message}.")
