"""Loads a recipe: which rules, which limits, which lists, for every lane; and names its parts by digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from mmpipe.errors import RecipeError, name_nearest
from mmpipe.filtering.duplicate_sections import DeduplicationSettings
from mmpipe.filtering.image_rules import IMAGE_SCORE_COLUMNS
from mmpipe.filtering.image_sections import (
    CaptionSettings,
    GroundingSettings,
    ImageReleaseSettings,
    ImageSettings,
    InterleavedSettings,
)
from mmpipe.filtering.preference_sections import RATING_METHOD, REVISING_METHOD, PreferenceSettings
from mmpipe.filtering.pretraining_sections import PretrainingSettings
from mmpipe.filtering.recipe_nodes import compose, read_mapping, read_settings, read_value
from mmpipe.filtering.recipe_readers import make_readers
from mmpipe.filtering.recipe_sections import (
    ContaminationSettings,
    CorrectionSettings,
    ExtractionSettings,
    FirstPassSettings,
    InstructionSettings,
    LanguageSettings,
    ScoreSettings,
    TextSettings,
    UrlSettings,
    WordSettings,
)
from mmpipe.filtering.recipe_values import STEPS, identify, pick_settings, resolve_settings
from mmpipe.filtering.release_sections import ReleaseSettings
from mmpipe.filtering.rephrasing_sections import RephrasingSettings
from mmpipe.filtering.rules import Rule
from mmpipe.tables.correction_steps import MASK_STEP
from mmpipe.tables.identity import digest_settings
from mmpipe.tables.text_signals import FAMILIES

#: Names that `Recipe.digest_section` knows: what a table's rows may depend on. A changed limit moves `text`, `images`
#: or `instruction_rules` and nothing else; how a signal is measured has a digest of its own.
DIGESTED = (
    "extraction",
    "corrections",
    "signals",
    "scores",
    "text",
    "contamination",
    "signatures",
    "duplicates",
    "repeats",
    "deduplication",
    "image_candidates",
    "image_signals",
    "images",
    "image_duplicates",
    "image_balance",
    "captions",
    "grounding",
    "interleaved",
    "interleaved_rules",
    "image_release",
    "instructions",
    "responses",
    "judgements",
    "preferences",
    "ratings",
    "revisions",
    "instruction_rules",
    "instruction_duplicates",
    "rephrasing",
    "pretraining",
    "release",
    "memory_maps",
)

#: Column of text_scores to the key of `scores` that asks for it.
SCORES = {"quality_score": "quality", "perplexity": "perplexity", "encoder_score": "encoder"}

_PII = {column.name for column in FAMILIES["pii"]}

#: In `text.measured_before`: the text as extracted, before any correction.
EXTRACTED = "extracted"

#: Families that search texts for the words of the recipe's `words` section.
_SEARCHING = frozenset(("bloom", "redpajama2", "toxicity"))

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # writes the same in a third of the time, but is optional


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides what the datasets hold; each section goes to its lane as it is."""

    name: str
    source: str
    extraction: ExtractionSettings = field(default_factory=ExtractionSettings)
    first_pass: FirstPassSettings = field(default_factory=FirstPassSettings)
    language: LanguageSettings = field(default_factory=LanguageSettings)
    corrections: CorrectionSettings = field(default_factory=CorrectionSettings)
    url: UrlSettings = field(default_factory=UrlSettings)
    words: WordSettings = field(default_factory=WordSettings)
    text: TextSettings = field(default_factory=TextSettings)
    scores: ScoreSettings = field(default_factory=ScoreSettings)
    contamination: ContaminationSettings = field(default_factory=ContaminationSettings)
    deduplication: DeduplicationSettings = field(default_factory=DeduplicationSettings)
    images: ImageSettings = field(default_factory=ImageSettings)
    captions: CaptionSettings = field(default_factory=CaptionSettings)
    grounding: GroundingSettings = field(default_factory=GroundingSettings)
    interleaved: InterleavedSettings = field(default_factory=InterleavedSettings)
    image_release: ImageReleaseSettings = field(default_factory=ImageReleaseSettings)
    instructions: InstructionSettings = field(default_factory=InstructionSettings)
    preferences: PreferenceSettings = field(default_factory=PreferenceSettings)
    rephrasing: RephrasingSettings = field(default_factory=RephrasingSettings)
    pretraining: PretrainingSettings = field(default_factory=PretrainingSettings)
    release: ReleaseSettings = field(default_factory=ReleaseSettings)

    def resolve(self) -> dict[str, Any]:
        """Return the whole recipe as plain values: what is written as recipe.yaml beside a dataset, and loads again."""
        sections = {name: resolve_settings(getattr(self, name)) for name in _SECTIONS}
        sections["images"].pop("preset")  # its rules are in the list by now
        return {"name": self.name, "source": self.source, **sections}

    def dump(self) -> str:
        """Return the resolved recipe as YAML."""
        return str(yaml.dump(self.resolve(), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120))

    def __post_init__(self) -> None:
        steps = [item.step for item in self.corrections.steps]
        for family, step in self.text.measured_before.items():
            if step != EXTRACTED and step not in steps:
                raise RecipeError(
                    f"text.measured_before.{family}: the recipe has no step {step!r}."
                    f"{name_nearest(step, [EXTRACTED, *steps])}"
                )

        unmasked = [rule.name for rule in self.text.rules if rule.signal in _PII and MASK_STEP not in steps]
        if unmasked:
            raise RecipeError(f"Rule {unmasked[0]!r} counts what the step {MASK_STEP} finds: name it in corrections.")
        for rule in self.text.rules:
            asked = SCORES.get(rule.signal)
            if asked is not None and not getattr(self.scores, asked):
                raise RecipeError(f"Rule {rule.name!r} limits {rule.signal}: write `scores: {{{asked}: true}}` too.")
        self._require_measured_pictures()

    def _require_measured_pictures(self) -> None:
        """Refuse an image rule on what the recipe does not have measured: null passes no rule."""
        images = self.images
        wanted = {column: (f"scores: [{name}]", name in images.scores) for column, name in IMAGE_SCORE_COLUMNS.items()}
        wanted["caption_political_words"] = ("political_words: [political-words]", bool(images.political_words))
        wanted["image_qr_area_ratio"] = ("codes: true", images.codes)
        for rule in images.rules:
            key, is_measured = wanted.get(rule.signal, ("", True))
            if not is_measured:
                raise RecipeError(f"Rule {rule.name!r} limits {rule.signal}: write `images: {{{key}}}` too.")

    def find_measured_step(self, family: str) -> int | None:
        """Return the position of the correction step before which a family measures the text; None for after all."""
        steps = [item.step for item in self.corrections.steps]
        step = self.text.measured_before.get(family)
        if step == EXTRACTED:
            return 0
        if step is None:
            # what is masked depends on the person, not on the text's quality
            return steps.index(MASK_STEP) if MASK_STEP in steps else None
        return steps.index(step)

    def _identify_measured(self) -> dict[str, Any]:
        """Return what other parts of the images section decide of what is measured of a picture."""
        looked_for = self.images.duplicates
        return {
            "orientations": looked_for is not None and looked_for.orientations,
            "trims_borders": looked_for is not None and looked_for.trims_borders,
            "header_rules": identify(self.images.rules) if self.images.header_first else [],
        }

    def _identify_first_pass(self) -> Any:
        if not self.first_pass.url_rules:
            return identify(self.first_pass)
        return [identify(self.first_pass), identify(self.url), identify(self.list_url_rules())]

    def list_url_rules(self) -> tuple[Rule, ...]:
        """Return the text rules that limit a signal of the URL."""
        return tuple(rule for rule in self.text.rules if rule.signal.startswith("url_"))

    def digest_section(self, section: str) -> str:
        """Return the digest of one section (see `DIGESTED`): part of the code version of the assets made by it.

        Limits, settings and the content of lists count; names of files, sources and licences do not.

        Raises:
            RecipeError: no such section.
        """
        if section not in DIGESTED:
            raise RecipeError(f"Unknown section {section!r} of a recipe.{name_nearest(section, DIGESTED)}")
        settings: Any
        match section:
            case "extraction":
                settings = [identify(self.extraction), identify(self.language), self._identify_first_pass()]
            case "signals":
                text = self.text
                families = text.list_families()
                words = identify(self.words) if _SEARCHING.intersection(families) else []
                words = [words, identify(text.sentence_model)]
                settings = [text.dialect, families, dict(text.measured_before), identify(self.url), words]
            case "text":
                settings = identify(self.text.rules)
            case "images":
                settings = identify(self.images.rules)
            case "ratings" | "revisions":
                settings = self._identify_asked(section)
            case "instruction_rules":
                settings = identify(self.instructions.rules)
            case _ if section in STEPS:
                whole, names = STEPS[section]
                settings = pick_settings(getattr(self, whole), names)
                if section == "image_signals":
                    settings |= self._identify_measured()
            case _:
                settings = identify(getattr(self, section))
        return digest_settings(settings)

    def _identify_asked(self, section: str) -> list[Any]:
        """Return what of the preferences decides what is judged, or what is revised."""
        preferences = self.preferences
        if section == "revisions":
            return [identify(preferences.find(REVISING_METHOD)), self.instructions.seed]
        return [preferences.reads_criterion, identify(preferences.find(RATING_METHOD))]


_SECTIONS: dict[str, type] = {
    "extraction": ExtractionSettings,
    "first_pass": FirstPassSettings,
    "language": LanguageSettings,
    "corrections": CorrectionSettings,
    "url": UrlSettings,
    "words": WordSettings,
    "text": TextSettings,
    "scores": ScoreSettings,
    "contamination": ContaminationSettings,
    "deduplication": DeduplicationSettings,
    "images": ImageSettings,
    "captions": CaptionSettings,
    "grounding": GroundingSettings,
    "interleaved": InterleavedSettings,
    "image_release": ImageReleaseSettings,
    "instructions": InstructionSettings,
    "preferences": PreferenceSettings,
    "rephrasing": RephrasingSettings,
    "pretraining": PretrainingSettings,
    "release": ReleaseSettings,
}


def list_recipes() -> list[str]:
    """Return the names of the packaged recipes."""
    folder = resources.files("mmpipe") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Return a recipe with every rule, limit and list resolved.

    Args:
        name_or_path: name of a packaged recipe (`refinedweb`) or path of a YAML file. `extends:` in it names a recipe
            whose sections hold where this one is silent, key by key.

    Raises:
        RecipeError: no such recipe; or an unknown section, key, rule, limit or word, with file, line and nearest name.
    """
    return _load(name_or_path, seen=())


def _load(name_or_path: str, seen: tuple[str, ...]) -> Recipe:
    text, file, folder = _read(name_or_path)
    if file in seen:
        raise RecipeError(f"{file}: extends itself by way of {' -> '.join(seen)}.")
    keys = read_mapping(compose(text, file), file, ("name", "source", "extends", *_SECTIONS))
    base = None
    if "extends" in keys:
        base = _load(_beside(read_value(keys["extends"], file, str, "extends"), folder), (*seen, file))
    values: dict[str, Any] = {"name": Path(file).stem, "source": base.source if base else ""}
    for key in ("name", "source"):
        if key in keys:
            values[key] = read_value(keys[key], file, str, key)
    for section, cls in _SECTIONS.items():
        if section in keys:
            readers = make_readers(section, folder)
            values[section] = read_settings(cls, keys[section], file, readers, getattr(base, section, None))
    images: ImageSettings = values.get("images", ImageSettings())
    if images.preset:
        preset = _load(_beside(images.preset, folder), (*seen, file)).images.rules
        values["images"] = replace(images, rules=_merge(preset, images.rules))
    return replace(base, **values) if base else Recipe(**values)


def _read(name_or_path: str) -> tuple[str, str, Path | None]:
    """Return the YAML text, its name in messages, and the folder of a file that is not packaged."""
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
        if not path.is_file():
            raise RecipeError(f"No recipe at {path}. Packaged recipes: {', '.join(list_recipes())}.")
        return path.read_text(encoding="utf-8"), str(path), path.parent
    if name_or_path not in list_recipes():
        raise RecipeError(f"Unknown recipe {name_or_path!r}.{name_nearest(name_or_path, list_recipes())}")
    entry = resources.files("mmpipe") / "recipes" / f"{name_or_path}.yaml"
    return entry.read_text(encoding="utf-8"), f"{name_or_path}.yaml", None


def _beside(name_or_path: str, folder: Path | None) -> str:
    is_path = name_or_path.endswith((".yaml", ".yml"))
    return str(folder / name_or_path) if folder and is_path else name_or_path


def _merge(first: Sequence[Rule], second: Sequence[Rule]) -> tuple[Rule, ...]:
    return tuple(({rule.name: rule for rule in first} | {rule.name: rule for rule in second}).values())
