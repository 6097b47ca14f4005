"""Says which preference methods a recipe may name, what each reads, and how its `preferences` section is made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.synthesis_sections import SynthesisMethod, name_method

#: Each method a recipe may name, and the files it reads: True for those that must be named.
PREFERENCE_METHODS: Mapping[str, Mapping[str, bool]] = {
    "best_worst": {},
    "comparisons": {"answers": False},
    "best_of_n": {"answers": False},
    "ultrafeedback": {},
    "pairwise_judge": {},
    "stack_exchange": {"posts": True},
    "spin": {"rows": False, "previous": False},
    "verified_pairs": {"problems": False, "cards": False},
    "self_refinement": {},
    "online_preferences": {"old": False},
}

#: The method whose ratings are rows of `judgements`.
RATING_METHOD = "ultrafeedback"

#: The method that compares the last revision of a response with the first.
REVISING_METHOD = "self_refinement"

#: Methods that read the sampled responses, unless they read a file.
READING_RESPONSES = (
    "best_worst", "comparisons", "best_of_n", "ultrafeedback", "pairwise_judge", "verified_pairs", "self_refinement",
)  # fmt: skip
#: Of these, the ones that read a score of each; `scores:` says which.
READING_SCORES = ("best_worst", "comparisons", "best_of_n", "online_preferences")

#: What responses may be told to be (`synthesis.ultrafeedback_prompts.PRINCIPLES` has their sentences).
PRINCIPLES = ("helpfulness", "truthfulness", "honesty", "verbalized_calibration")


def check_authors(pool: tuple[str, ...], principles: Mapping[str, float]) -> None:
    """Refuse a pool of teachers and weights of principles that cannot work.

    Raises:
        RecipeError: a teacher stands twice, a principle is unknown, or the weights are negative or all 0.
    """
    for name in pool:
        if pool.count(name) > 1:
            raise RecipeError(f"response_teachers: {name!r} stands {pool.count(name)} times; name each teacher once.")
    for name, weight in principles.items():
        if name not in PRINCIPLES:
            raise RecipeError(f"unknown principle {name!r}.{name_nearest(name, PRINCIPLES)}")
        if weight < 0:
            raise RecipeError(f"principles: the weight of {name!r} must not be negative.")
    if principles and not any(principles.values()):
        raise RecipeError("principles: one weight must be above 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceSettings:
    """How answers become preference pairs.

    Attributes:
        methods: preference methods, in order: names, or names with options and files; none stands twice.
    """

    methods: tuple[str | SynthesisMethod, ...] = ("best_worst",)

    def __post_init__(self) -> None:
        names = [name_method(entry) for entry in self.methods]
        for place, name in enumerate(names):
            if name not in PREFERENCE_METHODS:
                raise RecipeError(f"unknown preference method {name!r}.{name_nearest(name, PREFERENCE_METHODS)}")
            if name in names[:place]:
                raise RecipeError(f"a preference method stands twice among {names}.")

    def list_entries(self, recipe: str) -> list[SynthesisMethod]:
        """Return the methods, in order; a plain name has neither options nor files."""
        return [
            SynthesisMethod(method=entry, file=recipe) if isinstance(entry, str) else entry for entry in self.methods
        ]

    def find(self, name: str) -> str | SynthesisMethod | None:
        """Return the entry of a method; None if the recipe does not name it."""
        return next((entry for entry in self.methods if name_method(entry) == name), None)

    @property
    def reads_responses(self) -> bool:
        """Whether a method reads sampled responses."""
        names = (*READING_RESPONSES, "online_preferences")
        return any(name_method(entry) in names and not _has_answers(entry) for entry in self.methods)

    @property
    def reads_criterion(self) -> bool:
        """Whether a method reads what `instructions.criterion` gave each response."""
        return any(
            name_method(entry) in READING_SCORES and not _has_answers(entry) and _is_by_criterion(entry)
            for entry in self.methods
        )


def _has_answers(entry: str | SynthesisMethod) -> bool:
    return not isinstance(entry, str) and bool({"answers", "problems"} & set(entry.files))


def _is_by_criterion(entry: str | SynthesisMethod) -> bool:
    return isinstance(entry, str) or entry.options.get("scores", "criterion") == "criterion"
