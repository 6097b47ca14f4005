"""Says how the preference methods of a recipe are set: options, what each reads, checks before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.preference_sections import RATING_METHOD
from mmpipe.filtering.synthesis_sections import SynthesisMethod
from mmpipe.lanes import preference_policy_runs, preference_runs
from mmpipe.lanes.preference_runs import Made, PreferenceRun
from mmpipe.lanes.synthesis_inputs import read_options, refuse
from mmpipe.lanes.verified_answers import check_verifier

if TYPE_CHECKING:
    from mmpipe.filtering.recipes import Recipe

#: What a method's pairs are made from: the responses of each shard of instructions, those of a whole dump, a file, or
#: the posts of a dump of StackExchange, which has shards of its own.
Scope = Literal["shard", "instructions", "dump", "file", "posts"]


@dataclass(frozen=True, slots=True)
class PreferenceMethod:
    """A method that makes preference pairs.

    Attributes:
        run: makes them.
        settings: module and class of its settings in `mmpipe.synthesis`; empty for a method without options.
        scope: what it reads where the recipe names no file of it.
        asks: whom: `teacher`, who answers anew, or `judge`.
        extra: options beside its settings, and the type of each.
        hidden: settings that a recipe does not set.
        required: options that must be there.
        whole_files: its files that are read in place of the lane's rows.
    """

    run: Callable[[PreferenceRun], Made]
    settings: tuple[str, str] = ("", "")
    scope: Scope = "shard"
    asks: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    whole_files: tuple[str, ...] = ()

    def find_scope(self, entry: SynthesisMethod) -> Scope:
        """Return what it reads as this recipe names it."""
        if set(self.whole_files) & set(entry.files):
            return "file"
        # a share is one of all pairs of a dump, whatever its shards
        return "dump" if FAMILY_SHARE in entry.options else self.scope

    def names_asked(self, entry: SynthesisMethod) -> tuple[str, ...]:
        """Return whom it asks: `teacher`, `judge`."""
        # answers of a problem are sampled here; those of the lane are there already
        return (*self.asks, "teacher") if "problems" in entry.files else self.asks


_SCORES = Literal["criterion", "mean_rating", "overall"]

#: Option of what pairs the responses of several models: the largest share of one family in the chosen ones.
FAMILY_SHARE = "most_family_share"
_SHARE = {FAMILY_SHARE: float}


def _import(module: str, name: str) -> Any:
    from importlib import import_module

    return getattr(import_module(f"mmpipe.synthesis.{module}"), name)


def list_extra(name: str) -> dict[str, Any]:
    """Return the options of a method beside its settings; those that are settings of another step are loaded here."""
    extra = {"dump": str, **PREFERENCE_RUNS[name].extra}
    if name == RATING_METHOD:
        extra["limits"] = _import("overall_scores", "OverallSettings")
    if name == "verified_pairs":
        extra["check"] = _import("answer_checks", "AnswerCheck")
        extra["sampling"] = _import("plain_answers", "PlainSettings")
    return extra


def read_preference_method(
    given: str | SynthesisMethod, recipe: Recipe
) -> tuple[tuple[Any, dict[str, Any]], SynthesisMethod]:
    """Return the settings of a method with its options beside them, and the method as an entry.

    Raises:
        RecipeError: an option that it has not, of the wrong type, or missing; with file, line and nearest name.
    """
    entry = SynthesisMethod(method=given, file=recipe.name) if isinstance(given, str) else given
    method = PREFERENCE_RUNS[entry.method]
    module, name = method.settings
    extra = list_extra(entry.method)
    if not name:
        unknown = [option for option in entry.options if option not in extra]
        if unknown:
            refuse(entry, f"the method {entry.method} has no option {unknown[0]!r}.")
        base: Any = _NoSettings()
    else:
        own = recipe.instructions.judges_own_family
        base = allow_own_family(replace(_import(module, name)(), seed=recipe.instructions.seed), is_allowed=own)
    settings, beside = read_options(entry, base, extra=extra, hidden=method.hidden)
    for option in method.required:
        if option not in beside:
            refuse(entry, f"the method {entry.method} needs `{option}:`.")
    _check_values(entry, method, settings, beside)
    return (settings, beside), entry


@dataclass(frozen=True, slots=True)
class _NoSettings:
    """Of a method that has none."""


def _check_values(entry: SynthesisMethod, method: PreferenceMethod, settings: Any, beside: Mapping[str, Any]) -> None:
    """Refuse values that the types let pass."""
    name = entry.method
    check_verifier(entry, beside)
    for option in ("pairs_per_prompt", "pairs_per_question", "answers_per_prompt"):
        value = beside.get(option, getattr(settings, option, None))
        if value is not None and value < 1:
            refuse(entry, f"{name}: {option} must be 1 or more.")
    is_ranked = getattr(settings, "by", "score") == "rank"
    is_overall = name == RATING_METHOD and beside.get("scores") == "overall"
    for is_wrong, said in (
        (min(beside.get("round", 0), beside.get("iteration", 0)) < 0, "rounds and iterations are counted from 0"),
        # the same rows for every dump would be the same pairs twice in one release
        (
            method.find_scope(entry) in ("file", "posts") and "dump" not in beside,
            "it reads a file, so say for which dump its pairs count: `dump: NAME`",
        ),
        (
            "previous" in entry.files and beside.get("iteration", 0) < 1,
            "iteration 0 has no pairs of an iteration before: leave `previous` out",
        ),
        (is_ranked and "answers" not in entry.files, "responses have scores, no ranks; ranks are those of a file"),
        (
            "answers" in entry.files and "scores" in beside,
            "answers of a file have scores of their own: leave out `scores`",
        ),
        (
            "sampling" in beside and "problems" not in entry.files,
            "responses are sampled by `instructions`; `sampling` is how `problems: FILE` are answered",
        ),
        (
            FAMILY_SHARE in beside and bool(set(method.whole_files) & set(entry.files)),
            f"answers of a file have no families: leave out `{FAMILY_SHARE}`",
        ),
        (is_overall and not settings.criticises, "an overall score is of a critique: leave out `criticises: false`"),
    ):
        if is_wrong:
            refuse(entry, f"{name}: {said}.")
    try:
        if FAMILY_SHARE in beside:
            _import("family_shares", "check_share")(beside[FAMILY_SHARE])
        if name == RATING_METHOD:
            _import("ultrafeedback", "check_aspects")(settings)
        if name == "online_preferences":
            _import("online_preferences", "parse_share")(settings.new_share)
    except ConfigurationError as error:
        refuse(entry, str(error))


def allow_own_family(settings: Any, *, is_allowed: bool) -> Any:
    """Return settings whose judge may score its own family where the recipe's `instructions` let theirs."""
    if hasattr(settings, "judges_own_family"):
        return replace(settings, judges_own_family=is_allowed)
    if hasattr(settings, "judging"):
        return replace(settings, judging=allow_own_family(settings.judging, is_allowed=is_allowed))
    return settings


def add_families(settings: Any, families: Mapping[str, str]) -> Any:
    """Return settings that know the families which the knobs give; those that the recipe gives come first."""
    if hasattr(settings, "families"):
        return replace(settings, families={**families, **settings.families})
    if hasattr(settings, "judging"):
        return replace(settings, judging=add_families(settings.judging, families))
    return settings


def check_preferences(recipe: Recipe) -> None:
    """Refuse a recipe whose preference methods cannot work together: said before anything runs.

    Raises:
        RecipeError: as `read_preference_method`, or a method scores by ratings that nobody gives.
    """
    is_rated = recipe.preferences.find(RATING_METHOD) is not None
    for given in recipe.preferences.methods:
        (_, beside), entry = read_preference_method(given, recipe)
        scores = beside.get("scores", "criterion")
        if entry.method == "online_preferences" and recipe.instructions.response_teachers:
            refuse(entry, "a round is of one policy's answers: leave `response_teachers` out of `instructions`.")
        if FAMILY_SHARE in beside and len(set(recipe.instructions.response_teachers)) < 2:
            refuse(entry, f"{FAMILY_SHARE} is of several models: name them in `instructions.response_teachers`.")
        if entry.method != RATING_METHOD and scores != "criterion" and not is_rated:
            refuse(entry, f"{entry.method} scores by {scores}: name the method {RATING_METHOD} too, which rates.")


def _make_none(run: PreferenceRun) -> Made:
    """Refuse: the shards of a StackExchange dump are made by `lanes.preference_pairs.posts_shard`."""
    raise ConfigurationError(f"{run.entry.method} is made in shards of its dump.")


#: Every method of `filtering.preference_sections.PREFERENCE_METHODS`.
PREFERENCE_RUNS: Mapping[str, PreferenceMethod] = {
    "best_worst": PreferenceMethod(preference_runs.run_best_worst, extra=_SHARE),
    "comparisons": PreferenceMethod(
        preference_runs.run_comparisons,
        ("comparisons", "ComparisonSettings"),
        extra={"scores": _SCORES, **_SHARE},
        whole_files=("answers",),
    ),
    "best_of_n": PreferenceMethod(
        preference_runs.run_best_of_n,
        ("best_of_n", "BestOfNSettings"),
        extra={"scores": _SCORES, **_SHARE},
        whole_files=("answers",),
    ),
    "ultrafeedback": PreferenceMethod(
        preference_runs.run_ultrafeedback,
        ("ultrafeedback", "UltraFeedbackSettings"),
        extra={
            "scores": Literal["mean_rating", "overall"],
            "rejected": Literal["worst", "drawn"],
            "least_margin": float,
            **_SHARE,
        },
    ),
    "pairwise_judge": PreferenceMethod(
        preference_runs.run_pairwise_judge,
        ("pairwise_judge", "PairwiseSettings"),
        asks=("judge",),
        extra={"pairs_per_prompt": int, **_SHARE},
        hidden=("mode",),
    ),
    "stack_exchange": PreferenceMethod(
        _make_none,
        ("stack_exchange", "StackExchangeSettings"),
        scope="posts",
        hidden=("partitions", "buffer_bytes"),
    ),
    "spin": PreferenceMethod(
        preference_policy_runs.run_spin,
        ("spin", "SpinSettings"),
        scope="instructions",
        asks=("teacher",),
        extra={"iteration": int},
        whole_files=("rows",),
    ),
    "verified_pairs": PreferenceMethod(
        preference_policy_runs.run_verified_pairs,
        ("verified_pairs", "VerifiedSettings"),
        extra=_SHARE,
        whole_files=("problems",),
    ),
    "self_refinement": PreferenceMethod(
        preference_runs.run_self_refinement,
        ("self_refinement", "RefinementSettings"),
        asks=("judge",),
    ),
    "online_preferences": PreferenceMethod(
        preference_policy_runs.run_online,
        ("online_preferences", "OnlineSettings"),
        scope="dump",
        asks=("teacher",),
        extra={"scores": _SCORES, "round": int},
        hidden=("sampling",),
        required=("round",),
    ),
}
