"""Says what a recipe holds for pictures: candidates, scores, duplicates, balance, captions, grounding, interleaving."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.list_references import ListReference
from mmpipe.filtering.rules import Rule

#: Texts of a page that may describe a picture, as `image_candidates.caption_source` names them.
CAPTION_SOURCES = ("alt", "figcaption", "title", "surrounding", "og_title", "given")

#: Model scores that a recipe may ask for beside the CLIP similarity, all from the same embedding of the picture.
IMAGE_SCORES = ("aesthetic", "watermark", "nsfw", "q16", "toxic_texts")

#: By what a pair may be preferred to one like it.
IMAGE_PREFERENCES = ("area", "similarity", "caption")

#: Ways to another caption of a picture.
CAPTION_METHODS = ("recaption", "capfilt", "polish", "gender_swap")

#: Layouts that a release of pairs may have.
IMAGE_FORMATS = ("webdataset", "parquet", "imagefolder", "llava", "blip")

#: Layouts that a release of interleaved documents may have.
INTERLEAVED_FORMATS = ("obelics", "mmc4")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDuplicates:
    """When two pairs show the same picture, and which of them stays.

    Attributes:
        phash_distance: bits in which the hashes of one picture differ at most; null for no search by hash.
        orientations: whether a mirrored or turned picture is the same (least distance over the dihedral group).
        trims_borders: whether a picture with a border of one colour is the same as without.
        same_caption: whether only pairs with an equal caption repeat each other (COYO-700M), or any.
        embedding_similarity: cosine of the picture's embeddings from which two are near; null for no such search.
        embedding_clusters: k-means clusters within which embeddings are compared; null: one per 1,000 pairs.
        across_dumps: whether pairs published from earlier dumps count too.
        evaluation_hashes: lists of hexadecimal hashes of evaluation images, one per line: 16 digits are perceptual
            hashes, 64 SHA-256 of the file, 32 MD5.
        evaluation_distance: bits in which a picture's hash may differ from an evaluation image's.
        keep: by what a pair is preferred, in order: `area` (pixels), `similarity` (CLIP), `caption` (characters).
        seed: of k-means.
    """

    phash_distance: int | None = 0
    orientations: bool = False
    trims_borders: bool = False
    same_caption: bool = True
    embedding_similarity: float | None = None
    embedding_clusters: int | None = None
    across_dumps: bool = False
    evaluation_hashes: tuple[ListReference, ...] = ()
    evaluation_distance: int = 0
    keep: tuple[str, ...] = ("area", "similarity", "caption")
    seed: int = 1

    def __post_init__(self) -> None:
        for name, bits in (("phash_distance", self.phash_distance), ("evaluation_distance", self.evaluation_distance)):
            _require(
                bits is None or 0 <= bits <= 31, f"duplicates.{name} must be in [0, 31]: half of 64 bits is chance"
            )
        _require(
            self.embedding_similarity is None or 0 < self.embedding_similarity <= 1,
            "duplicates.embedding_similarity must be in (0, 1]",
        )
        _require(
            self.embedding_clusters is None or self.embedding_clusters >= 1, "embedding_clusters must be 1 or more"
        )
        _check_words("duplicates.keep", self.keep, IMAGE_PREFERENCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBalance:
    """How many pairs of one subject stay.

    Attributes:
        method: `queries` (CLIP, MetaCLIP: entries found in the caption), `noun_phrases` (LLaVA: floor and cap) or
            `concepts` (clusters of the picture's embeddings).
        limit: pairs of one entry (MetaCLIP's t, 20,000), phrase (LLaVA's cap, 100) or concept (1,000); null for these.
        floor: phrases of fewer pairs are left alone (LLaVA, 3).
        entries: lists of entries for `queries`, one per line; empty for the packaged one.
        clusters: concepts; null: one per 1,000 pairs.
        lower_case: whether case makes no difference to `queries`; MetaCLIP's tells it.
        keeps_unmatched: whether `queries` keep pairs whose caption holds no entry; CLIP and MetaCLIP drop them.
        phrase_pipeline: folder of a spaCy pipeline that names the noun phrases; empty for the rules for English.
        seed: key of the hash that draws; the draw depends on it and the pair's id alone.
    """

    method: Literal["queries", "noun_phrases", "concepts"]
    limit: int | None = None
    floor: int = 3
    entries: tuple[ListReference, ...] = ()
    clusters: int | None = None
    lower_case: bool = False
    keeps_unmatched: bool = False
    phrase_pipeline: str = ""
    seed: int = 1

    def __post_init__(self) -> None:
        _require(self.limit is None or self.limit >= 1, "balance.limit must be 1 or more")
        _require(self.floor >= 1, "balance.floor must be 1 or more")
        _require(self.clusters is None or self.clusters >= 1, "balance.clusters must be 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """What a pair of picture and caption is, what is measured of it, and the rules of the image lane, in order.

    Attributes:
        preset: packaged recipe whose image rules come first; a rule named again in `rules` replaces its namesake.
        caption_sources: texts of the page that may be the caption; the first that is there is taken.
        max_image_bytes: files above this are `oversized_image`, unread.
        max_pixels: pictures above this are `oversized_image`, undecoded.
        scores: scores of models that are measured beside the CLIP similarity (`IMAGE_SCORES`).
        header_first: whether a picture whose header fails a rule is left undecoded and unscored. Cheaper; but a limit
            on the header that is loosened later asks for its pixels, and until then such a pair is `header_only`.
        codes: whether QR codes are looked for (`image_qr_area_ratio`).
        toxic_texts: lists of texts that a picture may resemble, `text<TAB>least cosine` per line, for `toxic_texts`.
        flagged_words: lists of words by language that captions are searched for; empty for the packaged ones.
        political_words: lists of words of political opinion that captions are searched for.
        duplicates: when two pairs repeat each other; null for no search.
        balance: how many pairs of one subject stay; null for all.
        rules: rules for pairs, in order.
    """

    preset: str | None = None
    caption_sources: tuple[str, ...] = ("alt", "figcaption")
    max_image_bytes: int = 50_000_000
    max_pixels: int = 100_000_000
    scores: tuple[str, ...] = ()
    header_first: bool = False
    codes: bool = False
    toxic_texts: tuple[ListReference, ...] = ()
    flagged_words: Mapping[str, tuple[ListReference, ...]] = field(default_factory=dict)
    political_words: tuple[ListReference, ...] = ()
    duplicates: ImageDuplicates | None = field(default_factory=ImageDuplicates)
    balance: ImageBalance | None = None
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        _check_words("images.caption_sources", self.caption_sources, CAPTION_SOURCES)
        _check_words("images.scores", self.scores, IMAGE_SCORES)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionSettings:
    """Which further captions kept pictures get; each is kept beside the crawl's own, with its scores.

    Attributes:
        methods: of `CAPTION_METHODS`, in order. `capfilt` judges the crawl's caption and the synthetic ones.
        captions_per_image: synthetic captions sampled per picture.
        top_p: nucleus that a captioner samples from (BLIP: 0.9).
        max_tokens: of one caption.
        least_match: probability of a match from which the matcher keeps a caption.
        swaps_names: whether the gender swap swaps given names too.
        seed: of the sampling.
    """

    methods: tuple[str, ...] = ()
    captions_per_image: int = 1
    top_p: float = 0.9
    max_tokens: int = 40
    least_match: float = 0.5
    swaps_names: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        _check_words("captions.methods", self.methods, CAPTION_METHODS)
        _require(self.captions_per_image >= 1, "captions.captions_per_image must be 1 or more")
        _require(0 < self.top_p <= 1, "captions.top_p must be in (0, 1]")
        _require(0 <= self.least_match <= 1, "captions.least_match must be in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingSettings:
    """Whether phrases of captions get boxes (GRIT; Peng et al. 2023, arXiv 2306.14824).

    Attributes:
        detector: whether a detector looks for the phrases; off, only boxes that the data give are used.
        least_confidence: boxes below are dropped (GRIT: 0.65).
        most_overlap: of two boxes of a phrase with more intersection over union, the surer one stays.
    """

    detector: bool = False
    least_confidence: float = 0.65
    most_overlap: float = 0.5

    def __post_init__(self) -> None:
        _require(0 <= self.least_confidence <= 1, "grounding.least_confidence must be in [0, 1]")
        _require(0 <= self.most_overlap <= 1, "grounding.most_overlap must be in [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class InterleavedSettings:
    """How pages become documents of text and pictures.

    Attributes:
        order: `page` leaves pictures where they stand (OBELICS), `similarity` gives each a sentence (MMC4), `none`
            makes no such documents.
        surplus: where pictures outnumber sentences, each of the rest goes with its `best_sentence` (MMC4), which then
            has several, or is `left_out`.
        rules: rules for such documents, in order.
        node_rules: rules for their paragraphs, in order; a paragraph that fails is left out.
    """

    order: Literal["none", "page", "similarity"] = "none"
    surplus: Literal["best_sentence", "left_out"] = "best_sentence"
    rules: tuple[Rule, ...] = ()
    node_rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReleaseSettings:
    """Which files trainers get.

    Attributes:
        formats: layouts of image-text pairs (`IMAGE_FORMATS`).
        interleaved_formats: layouts of interleaved documents (`INTERLEAVED_FORMATS`).
        pairs_per_file: of one tar or Parquet file (img2dataset: 10,000).
        captions: `crawl` releases the crawl's caption; `matched` releases the best matching kept one of
            image_captions where the matcher refused the crawl's.
    """

    formats: tuple[str, ...] = ("webdataset",)
    interleaved_formats: tuple[str, ...] = ("obelics",)
    pairs_per_file: int = 10_000
    captions: Literal["crawl", "matched"] = "crawl"

    def __post_init__(self) -> None:
        _check_words("image_release.formats", self.formats, IMAGE_FORMATS)
        _check_words("image_release.interleaved_formats", self.interleaved_formats, INTERLEAVED_FORMATS)
        _require(self.pairs_per_file >= 1, "image_release.pairs_per_file must be 1 or more")


def _check_words(whose: str, words: tuple[str, ...], known: tuple[str, ...]) -> None:
    for word in words:
        _require(word in known, f"{whose}: unknown word {word!r}.{name_nearest(word, known)}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RecipeError(message if message.endswith((".", "?")) else f"{message}.")
