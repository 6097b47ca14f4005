"""Says how the synthesis methods of a recipe are set and run: options, what each reads, checks before anything runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from mmpipe.errors import ConfigurationError
from mmpipe.filtering.synthesis_sections import SYNTHESIS_METHODS, SynthesisMethod, name_method
from mmpipe.lanes import code_methods, flan_methods, method_runs, picture_methods, text_methods
from mmpipe.lanes.exact_methods import read_exact
from mmpipe.lanes.method_inputs import MethodRun
from mmpipe.lanes.picture_sources import PICTURE_OPTIONS, check_picture_options
from mmpipe.lanes.synthesis_inputs import read_options, refuse, seed_settings
from mmpipe.lanes.teacher_watch import WatchedTeacher, refuse_outage, warn_of_nothing

if TYPE_CHECKING:
    import yaml

    from mmpipe.filtering.recipes import Recipe
    from mmpipe.synthesis.drafts import Synthesis

_log = logging.getLogger(__name__)

#: Methods whose rows Evol-Instruct evolves, where the recipe names no file.
EVOLVED = ("grounded_questions", "self_instruct")


@dataclass(frozen=True, slots=True)
class FileMethod:
    """A method that runs as one shard.

    Attributes:
        open_settings: its settings where the recipe is silent, by the preset, if there are some.
        make: runs it.
        source: what it reads besides its files: documents, documents with Python, instructions of this run, or kept
            pictures. It is read only where the recipe names no file.
        extra: options beside its settings, and the type of each; all methods have `dump`.
        hidden: settings that a recipe does not set.
        required: options that must be there.
        readers: how settings are read whose type says not how.
        check: refuses options that the types let pass; raises ConfigurationError.
        check_entry: refuses settings that do not fit the files; raises ConfigurationError.
        keeps_source: whether it reads its source beside its files too.
        needs_one_file: whether exactly one of its files must be named.
        has_scorer: whether a language model's weights decide its rows (`MethodRun.open_scorer`).
        counts_tokens: whether a tokenizer decides them (`MethodRun.open_counter`).
        embeds: whether the sentence encoder of the knobs does.
    """

    open_settings: Callable[[str], Any]
    make: Callable[[MethodRun], Synthesis]
    source: Literal["", "documents", "python", "instructions", "pictures"] = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    hidden: tuple[str, ...] = ("dump",)
    required: tuple[str, ...] = ()
    readers: Mapping[str, Callable[[yaml.Node, str], Any]] = field(default_factory=dict)
    check: Callable[[Mapping[str, Any]], object] | None = None
    check_entry: Callable[[SynthesisMethod, Any], object] | None = None
    keeps_source: bool = False
    needs_one_file: bool = False
    has_scorer: bool = False
    counts_tokens: bool = False
    embeds: bool = False

    def reads(self, entry: SynthesisMethod) -> Literal["", "documents", "python", "instructions", "pictures"]:
        """Return what it reads besides its files."""
        return "" if entry.files and not self.keeps_source else self.source


def check_methods(recipe: Recipe) -> None:
    """Refuse a recipe whose methods have options that they cannot take: said before anything runs.

    Raises:
        RecipeError: an option that a method has not, of the wrong type, or missing; with file, line and nearest name.
    """
    names = [name_method(entry) for entry in recipe.instructions.methods]
    for entry in list_entries(recipe):
        if entry.method not in FILE_METHODS:
            read_exact(entry)
            continue
        read_method(entry, recipe)
        if entry.method == "evol_instruct" and not entry.files and not set(names) & set(EVOLVED):
            refuse(entry, f"evol_instruct needs `instructions: FILE`, or one of {', '.join(EVOLVED)} beside it.")


def list_entries(recipe: Recipe) -> list[SynthesisMethod]:
    """Return the methods of a recipe, in order; a plain name has neither options nor files."""
    return [
        SynthesisMethod(method=entry, file=recipe.name) if isinstance(entry, str) else entry
        for entry in recipe.instructions.methods
    ]


def read_method(entry: SynthesisMethod, recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """Return the settings of a method and its options beside them.

    Raises:
        RecipeError: as `check_methods`.
    """
    method = FILE_METHODS[entry.method]
    preset = entry.options.get("preset")
    base = method.open_settings(preset if isinstance(preset, str) else "")
    base = seed_settings(base, recipe.instructions.seed)
    extra = {"dump": str, **method.extra}
    settings, beside = read_options(entry, base, extra=extra, hidden=method.hidden, readers=method.readers)
    for name in method.required:
        if name not in beside:
            refuse(entry, f"the method {entry.method} needs `{name}:`.")
    if method.needs_one_file and len(entry.files) != 1:
        refuse(entry, f"the method {entry.method} reads one of {', '.join(SYNTHESIS_METHODS[entry.method])}: name one.")
    if beside.get("most", 1) < 1 or beside.get("wanted", 1) < 1:
        refuse(entry, f"{entry.method}: wanted and most must be 1 or more.")
    try:
        if method.check is not None:
            method.check(beside)
        if method.check_entry is not None:
            method.check_entry(entry, settings)
    except ConfigurationError as error:
        refuse(entry, str(error))
    return settings, beside


def list_weights(method: FileMethod, run: MethodRun) -> list[str]:
    """Return what of the knobs decides a method's rows beside its teachers: digests and names of what it loads."""
    weights = [run.open_scorer().digest] if method.has_scorer else []
    if method.counts_tokens:
        from mmpipe.models.tokenizer import load_tokenizer

        weights.append(load_tokenizer(run.tokenizer or None).digest)
    if method.embeds:
        weights.append(run.knobs.embedder_weights)
    if run.pictures is not None:
        from mmpipe.sampling.noun_phrases import open_chunker

        weights.append(open_chunker(run.knobs.noun_chunker).name)
    return weights


def run_method(run: MethodRun) -> Synthesis:
    """Return what a method made.

    Raises:
        ConfigurationError: a file that does not hold what the method needs.
        TeacherError: the teacher cannot answer any more, or too many requests failed for reasons that pass.
    """
    watched = WatchedTeacher(run.teacher)
    critic = None if run.critic is None else WatchedTeacher(run.critic)
    synthesis = FILE_METHODS[run.entry.method].make(replace(run, teacher=watched, critic=critic))
    for who in (watched, critic):
        if who is not None:
            refuse_outage(who.asked, who.failures)
    if watched.asked:
        warn_of_nothing(run.entry.method, synthesis.frame.height, synthesis.rejected)
    _log.info(
        "%s: %d rows of %d candidates, %d missing; %d requests, %.1f tokens and %.6f of money per row.",
        run.entry.method, synthesis.frame.height, synthesis.planned, synthesis.missing, synthesis.spent.requests,
        synthesis.tokens_per_row, synthesis.cost_per_row,
    )  # fmt: skip
    return synthesis


_MOST = {"most": int}
#: What a recipe does not set of a method with a judge within: families are those of the file of teachers.
_JUDGED = ("dump", "families")


def picture_method(open_settings: Callable[[str], Any], make: Callable[[MethodRun], Synthesis]) -> FileMethod:
    """Return a method about kept pictures, which it reads beside its files."""
    return FileMethod(
        open_settings,
        make,
        "pictures",
        PICTURE_OPTIONS,
        check=check_picture_options,
        keeps_source=True,
    )


#: Every method of `filtering.synthesis_sections.SYNTHESIS_METHODS` that runs as one shard.
FILE_METHODS: Mapping[str, FileMethod] = {
    "self_instruct": FileMethod(
        method_runs.open_self_instruct,
        method_runs.run_self_instruct,
        extra={"wanted": int, "preset": Literal["self_instruct", "alpaca", "belle"]},
        hidden=("dump", "prompt", "blocks"),
        required=("wanted",),
    ),
    "evol_instruct": FileMethod(method_runs.open_evol, method_runs.run_evol, "instructions", _MOST, _JUDGED),
    "raft": FileMethod(method_runs.open_raft, method_runs.run_raft, "documents", counts_tokens=True),
    "reasoning_rows": FileMethod(method_runs.open_chains, method_runs.run_chains, extra=_MOST),
    "tiny_gsm": FileMethod(method_runs.open_tiny_gsm, method_runs.run_tiny_gsm, extra=_MOST),
    "case2code": FileMethod(code_methods.open_case2code, code_methods.run_case2code, "python", _MOST),
    "api_rows": FileMethod(method_runs.open_api_rows, method_runs.run_api_rows),
    "tool_plans": FileMethod(
        method_runs.open_tool_plans,
        method_runs.run_tool_plans,
        extra={"critic": bool},
        hidden=_JUDGED,
        readers={"shapes": method_runs.read_shapes},
    ),
    "flan": FileMethod(
        method_runs.open_flan,
        method_runs.run_flan,
        extra=method_runs.make_flan_extra(),
        required=("task",),
        check=method_runs.check_flan,
        counts_tokens=True,
    ),
    "flan_mixture": FileMethod(
        flan_methods.open_mixture,
        flan_methods.run_mixture,
        readers={"tasks": flan_methods.read_tasks, "collections": flan_methods.read_collections},
        check_entry=flan_methods.check_mixture,
        counts_tokens=True,
    ),
    "code_translation": FileMethod(
        code_methods.open_code_translation, code_methods.run_code_translation, extra=_MOST, embeds=True
    ),
    "thought_trees": FileMethod(text_methods.open_trees, text_methods.run_trees, extra=_MOST),
    "star": FileMethod(
        text_methods.open_star, text_methods.run_star, extra={**_MOST, "round": int}, check=text_methods.check_counts
    ),
    "rest": FileMethod(
        text_methods.open_rest,
        text_methods.run_rest,
        extra={**_MOST, "grow_step": int, "improve_step": int},
        check=text_methods.check_counts,
        needs_one_file=True,
    ),
    "llm2llm": FileMethod(
        text_methods.open_llm2llm,
        text_methods.run_llm2llm,
        extra=_MOST,
        # training the student is the user's
        hidden=("dump", "rounds", "epochs", "student_tokens"),
    ),
    "toolformer": FileMethod(
        text_methods.open_toolformer,
        text_methods.run_toolformer,
        "documents",
        {"tools": tuple[str, ...]},
        required=("tools",),
        check=text_methods.check_tools,
        keeps_source=True,
        has_scorer=True,
    ),
    "llava_types": picture_method(picture_methods.open_llava, picture_methods.run_llava),
    "lrv_balance": picture_method(picture_methods.open_lrv, picture_methods.run_lrv),
    "scene_choices": picture_method(picture_methods.open_choices, picture_methods.run_choices),
    "merged_annotation": picture_method(picture_methods.open_merged, picture_methods.run_merged),
    "picture_descriptions": replace(
        picture_method(picture_methods.open_descriptions, picture_methods.run_descriptions), counts_tokens=True
    ),
}
