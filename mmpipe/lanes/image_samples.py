"""Picks the pairs that a dump's image report shows, with thumbnails, and says what each rule that took one keeps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.filtering.image_rules import IMAGE_RULES
from mmpipe.lanes.present_pictures import read_present
from mmpipe.lanes.report_figures import write_limit
from mmpipe.tables.images import IMAGE_CANDIDATES, IMAGE_SIGNALS
from mmpipe.tables.removals import IMAGE_REMOVALS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.storage.lake import Lake

#: Signals of what people should not have to see: a row that fails a rule on one is shown as patches of colour.
SAFETY_SIGNALS = frozenset(
    {
        "nsfw_score",
        "q16_score",
        "toxic_text_excess",
        "caption_flagged_words",
        "image_url_words",
        "image_url_adult_substrings",
    }
)
#: Such a score, measured, hides a picture also where no rule of the recipe limits it.
_UNSAFE_SCORES = {"nsfw_score": 0.5, "q16_score": 0.5, "toxic_text_excess": 0.0}
#: Of `images.scores`, those behind them: where one is asked for, a picture without it is hidden.
_SAFETY_SCORES = frozenset({"nsfw", "q16", "toxic_texts"})
#: What was small enough to be measured, or was left alone for its header alone.
SHOWN_STATUSES = ("ok", "header_only")
SAMPLES_PER_RULE = 8
KEPT_SAMPLES = 24
CAPTION_CHARS = 160


@dataclass(frozen=True, slots=True)
class PairSample:
    """A pair that the page shows.

    Attributes:
        pair_id: its id.
        caption: its text, cut to `CAPTION_CHARS`.
        image_url: where the picture was.
        size: width and height, pixels; None if unknown.
        value: measured value of the rule's signal.
        value_text: the same of a signal of words.
        limit: what the rule keeps.
        detail: what else is known, such as the decoder's complaint.
        others: other rules that took the pair.
        thumbnail: address of the small picture; None if it cannot be had.
        is_unsafe: whether it was removed for safety, so that only patches of colour are shown.
    """

    pair_id: str
    caption: str
    image_url: str
    size: tuple[int, int] | None
    value: float | None = None
    value_text: str | None = None
    limit: str = ""
    detail: str = ""
    others: tuple[str, ...] = ()
    thumbnail: str | None = None
    is_unsafe: bool = False


def say_limit(name: str, removal: Mapping[str, Any]) -> str:
    """Return in words what a rule keeps, `above` and `below` where it does not keep the limit itself.

    Of a removal that no rule made, by a duplicate or balance, its own `signal` says of what the limit is.
    """
    match removal.get("signal") if IMAGE_RULES.get(name) is None else None:
        case "phash_distance":
            return f"{removal['low']:g} {'bit' if removal['low'] == 1 else 'bits'} apart or more"
        case "embedding_similarity":
            return f"of a cosine below {removal['high']:,g}"
        case "balance_draw":
            return f"drawn below its chance of {removal['high']:,.3g}"
    rule = IMAGE_RULES.get(name)
    text = write_limit(removal)
    if rule is not None and not rule.low_is_kept:
        text = text.replace("at least", "above")
    if rule is not None and not rule.high_is_kept:
        text = text.replace("at most", "below")
    return text


class PairSamples:
    """Picks pairs to show by the hash that their ids are, and draws their thumbnails."""

    def __init__(self, lake: Lake, dump: str, cache_folder: str, settings: Mapping[str, Any]) -> None:
        self._lake, self._dump, self._cache_folder = lake, dump, cache_folder
        self._max_pixels = int(settings["max_pixels"])
        self._removals = lake.dataset(IMAGE_REMOVALS, dump).scan()
        self._signals = lake.dataset(IMAGE_SIGNALS, dump).scan()
        self._candidates = lake.dataset(IMAGE_CANDIDATES, dump).scan()
        # limits of the recipe, and of removals that no rule of the recipe made (duplicates, balance)
        found = self._removals.group_by("rule").agg(pl.col("signal", "low", "high", "allowed").first()).collect()
        rules = [
            *found.rename({"rule": "name"}).to_dicts(),
            *({**rule, "name": rule["rule"]} for rule in settings["rules"]),
        ]
        self.limits = {rule["name"]: text for rule in rules if (text := say_limit(rule["name"], rule))}
        # each pair has a chance of its own
        self.limits |= dict.fromkeys(
            found.filter(pl.col("signal") == "balance_draw").get_column("rule"), "drawn below its chance"
        )
        self._hides_unscored = bool(_SAFETY_SCORES & set(settings.get("scores", ())))

    def pick_kept(self) -> tuple[PairSample, ...]:
        """Return kept pairs: those with the smallest ids, which are digests and so say nothing."""
        kept = self._candidates.join(self._removals, on="pair_id", how="anti")
        ids = kept.select(pl.col("pair_id").bottom_k(KEPT_SAMPLES).sort()).collect().get_column("pair_id").to_list()
        shown = self._show(ids)
        return tuple(shown[pair_id] for pair_id in ids)

    def pick_removed(self) -> dict[str, tuple[PairSample, ...]]:
        """Return pairs that each rule took, with what it measured."""
        picked = self._removals.group_by("rule").agg(pl.col("pair_id").bottom_k(SAMPLES_PER_RULE)).explode("pair_id")
        rows = self._removals.join(picked, on=["rule", "pair_id"], how="semi").sort("rule", "pair_id").collect()
        shown = self._show(rows.get_column("pair_id").unique().to_list())
        samples: dict[str, list[PairSample]] = {}
        for row in rows.iter_rows(named=True):
            pair = shown[row["pair_id"]]
            told = replace(
                pair,
                value=row["value"],
                value_text=row["value_text"],
                limit=say_limit(row["rule"], row),
                others=tuple(name for name in pair.others if name != row["rule"]),
            )
            samples.setdefault(row["rule"], []).append(told)
        return {rule: tuple(pairs) for rule, pairs in samples.items()}

    def _show(self, pair_ids: Sequence[str]) -> dict[str, PairSample]:
        """Return the pairs with their thumbnails; a pair that any rule on safety took is unsafe under every rule."""
        wanted = pl.LazyFrame({"pair_id": pair_ids}, schema={"pair_id": pl.String})
        rows = self._candidates.join(wanted, on="pair_id", how="semi").collect()
        signals = self._signals.join(wanted, on="pair_id", how="semi").collect()
        measured = {row["pair_id"]: row for row in signals.iter_rows(named=True)}
        taken: dict[str, list[tuple[str, str]]] = {}
        removals = (
            self._removals.join(wanted, on="pair_id", how="semi").select("pair_id", "rule", "signal").sort("rule")
        )
        for pair_id, rule, signal in removals.collect().iter_rows():
            taken.setdefault(pair_id, []).append((rule, signal))
        # what was too large to be measured is too large to be shown
        decoded = signals.filter(pl.col("decode_status").is_in(SHOWN_STATUSES)).select("pair_id")
        found = read_present(rows.join(decoded, on="pair_id", how="semi"), self._lake, self._cache_folder)
        return {
            row["pair_id"]: self._describe(
                row, measured.get(row["pair_id"], {}), taken.get(row["pair_id"], []), found.get(row["pair_id"])
            )
            for row in rows.iter_rows(named=True)
        }

    def _describe(
        self, row: Mapping[str, Any], measured: Mapping[str, Any], taken: Sequence[tuple[str, str]], data: bytes | None
    ) -> PairSample:
        from mmpipe.release.thumbnails import draw_thumbnail

        is_unsafe = any(signal in SAFETY_SIGNALS for _, signal in taken) or any(
            (measured.get(name) or 0.0) > limit for name, limit in _UNSAFE_SCORES.items()
        )
        is_unsafe = is_unsafe or (self._hides_unscored and measured.get("decode_status") == "header_only")
        thumbnail = draw_thumbnail(data, is_unsafe=is_unsafe, max_pixels=self._max_pixels) if data else None
        width, height = measured.get("image_width"), measured.get("image_height")
        return PairSample(
            pair_id=row["pair_id"],
            caption=row["caption"] if len(row["caption"]) <= CAPTION_CHARS else row["caption"][:CAPTION_CHARS] + "…",
            image_url=row["image_url"],
            size=(int(width), int(height)) if width and height else None,
            detail=measured.get("decode_detail") or row.get("image_detail") or "",
            others=tuple(rule for rule, _ in taken),
            thumbnail=thumbnail,
            is_unsafe=is_unsafe,
        )
