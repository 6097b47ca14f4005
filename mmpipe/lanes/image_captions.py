"""Makes image_captions: further texts of kept pairs by the recipe's methods, shard by shard, beside the crawl's."""

from __future__ import annotations

import io
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.lanes.image_scoring import open_clip_model
from mmpipe.lanes.instructions import open_run_teacher
from mmpipe.lanes.present_pictures import read_present
from mmpipe.lanes.stage import StageRun, fingerprint_inputs, follow_shards
from mmpipe.lanes.teacher_watch import refuse_outage, warn_of_nothing
from mmpipe.storage.shards import ShardResult, ShardWork
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.image_captions import IMAGE_CAPTIONS
from mmpipe.tables.images import FILTERED_IMAGE_PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from PIL import Image

    from mmpipe.filtering.image_sections import CaptionSettings
    from mmpipe.lanes.stage import Knobs
    from mmpipe.models.clip import ClipModel
    from mmpipe.storage.lake import Dataset, Lake
    from mmpipe.storage.shards import Production
    from mmpipe.synthesis.caption_filtering import TextMatcher
    from mmpipe.synthesis.drafts import Spent
    from mmpipe.synthesis.recaptioning import PictureCaptioner
    from mmpipe.tables.chat import Teacher

#: Pairs whose pictures are decoded and held at once.
PAIRS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class CaptionModels:
    """The models that a recipe's methods need; None for those it does not.

    Attributes:
        captioner: writes captions of pictures.
        matcher: says how probably a text matches.
        teacher: mends captions.
        clip: gives every text its similarity.
    """

    captioner: PictureCaptioner | None = None
    matcher: TextMatcher | None = None
    teacher: Teacher | None = None
    clip: ClipModel | None = None

    @property
    def identity(self) -> list[str | None]:
        """Digests of the weights and the teacher's name: other models make other rows."""
        return [
            self.captioner.digest if self.captioner else None,
            self.matcher.digest if self.matcher else None,
            self.teacher.name if self.teacher else None,
            self.clip.digest if self.clip else None,
        ]


def caption_images(run: StageRun) -> Production:
    """Make the further captions of a dump's kept pairs; none if the recipe names no method.

    Raises:
        ConfigurationError: a method needs a model that the knobs do not name.
    """
    pairs = run.read(FILTERED_IMAGE_PAIRS)
    models = open_models(run.recipe.captions, run.knobs)
    extra = digest_settings(models.identity)
    work = [
        ShardWork(item.shard, item.inputs, (*item.arguments, run.recipe.captions, models, run.lake, run.knobs,
                                            run.recipe.images.max_pixels))
        for item in follow_shards(pairs, extra=extra)
    ]  # fmt: skip
    # one process holds the device; a swap of words needs none
    is_in_process = any(item is not None for item in models.identity)
    return run.write(work, captions_shard, inputs=fingerprint_inputs(pairs), is_in_process=is_in_process)


def open_models(settings: CaptionSettings, knobs: Knobs) -> CaptionModels:
    """Return the models of the recipe's methods, by the knobs.

    Raises:
        ConfigurationError: a method needs one that the knobs do not name.
    """
    methods = settings.methods
    if not methods:
        return CaptionModels()
    captioner = matcher = clip = None
    if "recaption" in methods or "capfilt" in methods:
        from mmpipe.models.captioner import Captioner

        if "recaption" in methods or knobs.captioner_weights:
            _require(knobs.captioner_weights, "recaption", "a captioner", "MMPIPE_CAPTIONER")
            captioner = Captioner(knobs.captioner_weights, device=knobs.device)
    if "capfilt" in methods:
        from mmpipe.models.caption_matcher import CaptionMatcher

        _require(knobs.matcher_weights, "capfilt", "a matcher", "MMPIPE_MATCHER")
        matcher = CaptionMatcher(knobs.matcher_weights, device=knobs.device)
    if knobs.clip_weights:
        clip = open_clip_model(knobs)
    teacher = open_run_teacher(knobs.choose_teacher("captions")) if "polish" in methods else None
    return CaptionModels(captioner, matcher, teacher, clip)


def _require(place: str, method: str, what: str, setting: str) -> None:
    if not place:
        raise ConfigurationError(
            f"captions.methods: {method!r} needs {what}. Name its folder or hub name in {setting}, or leave it out."
        )


def captions_shard(
    pairs: Dataset,
    shard: str,
    settings: CaptionSettings,
    models: CaptionModels,
    lake: Lake,
    knobs: Knobs,
    max_pixels: int,
) -> ShardResult:
    """Make the captions of one shard's pairs."""
    rows = pairs.read_shard(shard)
    started = time.monotonic()
    made: list[dict[str, Any]] = []
    counts: dict[str, float] = {}
    needs_pictures = models.captioner or models.matcher or models.clip
    for batch in rows.iter_slices(PAIRS_AT_ONCE) if settings.methods else ():
        pictures = open_pictures(batch, lake, knobs.cache_folder, max_pixels) if needs_pictures else {}
        if needs_pictures and len(pictures) < batch.height:
            counts["unreadable_image"] = counts.get("unreadable_image", 0) + batch.height - len(pictures)
        made += caption_batch(batch.rows(named=True), pictures, settings, models, counts)
    frame = pl.DataFrame(made, schema=IMAGE_CAPTIONS.schema)
    elapsed = time.monotonic() - started
    refused = frame.filter(~pl.col("is_kept"))
    if models.teacher is not None:
        is_polished = pl.col("method") == "polish"
        why = Counter(refused.filter(is_polished).get_column("reason").to_list())
        warn_of_nothing("captions, polish", frame.filter(is_polished).height - why.total(), why)
    tally = refused.get_column("reason").value_counts()
    counts |= {f"refused_{reason}": count for reason, count in tally.iter_rows()}
    return ShardResult(
        frame,
        rows.height,
        counts=counts,
        device_seconds=elapsed if any(models.identity) else 0.0,
        accounts_for_rows=False,
    )


def open_pictures(rows: pl.DataFrame, lake: Lake, cache_folder: str, max_pixels: int) -> dict[str, Image.Image]:
    """Return the decoded pictures of kept pairs, RGB, EXIF orientation applied; one that is gone is left out."""
    from PIL import Image, ImageOps

    pictures = {}
    for pair_id, data in read_present(rows, lake, cache_folder).items():
        try:
            with Image.open(io.BytesIO(data)) as opened:
                if opened.width * opened.height <= max_pixels:
                    pictures[pair_id] = ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue
    return pictures


def caption_batch(
    pairs: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, Image.Image],
    settings: CaptionSettings,
    models: CaptionModels,
    counts: dict[str, float],
) -> list[dict[str, Any]]:
    """Return the rows of a few pairs, by method in the order of `tables.image_captions.CAPTION_METHODS`.

    Args:
        pairs: rows of filtered_image_pairs.
        pictures: the decoded pictures by pair.
        settings: methods and how.
        models: of these methods.
        counts: what is spent is added here.
    """
    from mmpipe.synthesis.caption_filtering import filter_captions
    from mmpipe.synthesis.gender_swap import swap_captions
    from mmpipe.synthesis.recaptioning import RecaptionSettings, sample_captions

    seen = [pair for pair in pairs if pair["pair_id"] in pictures]
    shown = [pictures[pair["pair_id"]] for pair in seen]
    sampled: list[dict[str, Any]] = []
    judged: list[dict[str, Any]] = []
    if models.captioner is not None and seen:
        how = RecaptionSettings(
            captions_per_image=settings.captions_per_image,
            top_p=settings.top_p,
            max_tokens=settings.max_tokens,
            seed=settings.seed,
        )
        sampled = sample_captions(seen, shown, models.captioner, how)
    if models.matcher is not None and seen:
        judged = filter_captions(seen, shown, sampled, models.matcher, least_match=settings.least_match)
    rows = (sampled if "recaption" in settings.methods else []) + judged
    if models.teacher is not None:
        rows += _polish(pairs, judged or sampled, models.teacher, settings, counts)
    if "gender_swap" in settings.methods:
        rows += swap_captions(pairs, names=settings.swaps_names)
    return measure_similarity(rows, pictures, models.clip)


def _polish(
    pairs: Sequence[Mapping[str, Any]],
    synthetic: Sequence[Mapping[str, Any]],
    teacher: Teacher,
    settings: CaptionSettings,
    counts: dict[str, float],
) -> list[dict[str, Any]]:
    """Mend the kept synthetic captions of each pair (MiniGPT-4), or the crawl's where there is none."""
    from mmpipe.synthesis.caption_polishing import PolishSettings, polish_captions

    texts: dict[str, list[str]] = {}
    for row in synthetic:
        if row["is_kept"] and not row["is_crawl_caption"]:
            texts.setdefault(row["pair_id"], []).append(row["caption"])
    sources = [(pair, text) for pair in pairs for text in texts.get(pair["pair_id"], [pair["caption"]])]
    rows, spent = polish_captions(sources, teacher, PolishSettings(seed=settings.seed))
    failures = [row["reason"] for row in rows if row["reason"]]
    refuse_outage(len(rows), {reason: failures.count(reason) for reason in set(failures)})
    for name, number in _list_spent(spent):
        counts[name] = counts.get(name, 0) + number
    return rows


def _list_spent(spent: Spent) -> Iterator[tuple[str, float]]:
    yield "requests", spent.requests
    yield "requests_cached", spent.cached
    yield "prompt_tokens", spent.prompt_tokens
    yield "completion_tokens", spent.completion_tokens
    yield "cost", spent.cost


def measure_similarity(
    rows: list[dict[str, Any]], pictures: Mapping[str, Image.Image], clip: ClipModel | None
) -> list[dict[str, Any]]:
    """Return the rows with the CLIP similarity of picture and text; each picture is embedded once."""
    known = [row for row in rows if row["pair_id"] in pictures and row["caption"]]
    if clip is None or not known:
        return rows
    ids = list(dict.fromkeys(row["pair_id"] for row in known))
    of_pictures = dict(zip(ids, clip.embed_images([pictures[pair_id] for pair_id in ids]), strict=True))
    of_texts = clip.embed_texts([row["caption"] for row in known])
    for row, text in zip(known, of_texts, strict=True):
        row["clip_similarity"] = float(of_pictures[row["pair_id"]] @ text)
        row["clip_weights"] = clip.digest
    return rows
