"""Renders rows of labelled datasets by templates: zero- and few-shot, with and without options, reasoned and inverse.

FLAN 2022 (Longpre et al. 2023, section 2) renders every dataset in four equal quarters: zero- or few-shot, with or
without options. Every choice is a keyed hash of the row's id; exemplars alone depend on what
else is in the row's split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.drafts import Parent
from mmpipe.synthesis.flan_tasks import ExemplarPool, Task, TaskRow, check_task, read_task_row
from mmpipe.synthesis.flan_templates import Family, Template, TemplateSet, drop_options, fill, load_templates
from mmpipe.synthesis.row_account import Judged, Paid, RowAccount, make_instruction_row
from mmpipe.tables.identity import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmpipe.synthesis.document_pieces import CountTokens

METHOD = "flan_rows"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

DETAILS_SCHEMA = pl.Schema(
    {
        "instruction_id": pl.String(),
        "task": pl.String(),
        "family": pl.String(),
        "split": pl.String(),
        "row_id": pl.String(),
        "template": pl.String(),
        "shape": pl.String(),
        "is_few_shot": pl.Boolean(),
        "has_options": pl.Boolean(),
        "has_rationale": pl.Boolean(),
        "exemplar_ids": pl.List(pl.String),
        "options": pl.List(pl.String),
        "right_letter": pl.String(),
        "rationale": pl.String(),
        "answer": pl.String(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlanSettings:
    """How rows are rendered.

    Attributes:
        few_shot_share: share of few-shot renderings (one half, FLAN 2022).
        options_share: share of renderings with options, where there are some (one half).
        rationale_share: share of reasoned renderings among rows with a rationale (ours).
        inverse_share: share of inverse renderings, always zero-shot (ours).
        exemplars: fewest and most exemplars of a few-shot rendering (ours).
        few_shot_tokens: most tokens of a few-shot instruction (1,920 of FLAN 2022's 2,048): exemplars go until it
            fits; one that fits with none is zero-shot.
        renderings: per row.
        seed: of all choices.
    """

    few_shot_share: float = 0.5
    options_share: float = 0.5
    rationale_share: float = 0.5
    inverse_share: float = 0.1
    exemplars: tuple[int, int] = (2, 5)
    few_shot_tokens: int = 1920
    renderings: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("few_shot_share", "options_share", "rationale_share", "inverse_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"FLAN: {name} lies between 0 and 1, not {getattr(self, name)}.")
        if not 1 <= self.exemplars[0] <= self.exemplars[1] or self.renderings < 1:
            raise ConfigurationError("FLAN: at least one exemplar and one rendering, fewest before most.")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was drawn for one rendering."""

    template: Template
    option_style: Mapping[str, str] | None
    rationale_style: Mapping[str, str] | None
    few_shot_style: Mapping[str, str] | None


def render_task(
    frame: pl.DataFrame,
    task: Task,
    settings: FlanSettings,
    templates: TemplateSet | None = None,
    count_tokens: CountTokens | None = None,
) -> Judged:
    """Return the rows of a dataset as instructions; every row is rendered or has a reason.

    Rows of splits for evaluation are refused unless the task names them, and are never exemplars. Exemplars are rows of
    the same split (beside a row for evaluation, of any other), never the row itself, one of its group, or one with the
    same input. They are shown by the row's own template, each with its own order of options.

    Args:
        frame: the dataset.
        task: what its columns are.
        settings: how.
        templates: left out, the embedded ones.
        count_tokens: tokens of each text; left out, white-space words.

    Raises:
        ConfigurationError: the family is unknown, a column or slot is missing, or an id stands twice.
    """
    known = templates or load_templates()
    family = known.find(task.family)
    check_task(frame, task, family)
    account = RowAccount()
    rows = []
    for cells in frame.rows(named=True):
        row, reason = read_task_row(cells, task, family)
        for number in range(settings.renderings if reason else 0):
            account.refuse(make_id(METHOD, task.name, row.row_id, number), row.answer, reason, was_asked=False)
        if not reason:
            rows.append(row)
    pool = ExemplarPool(rows, settings.seed)
    count = count_tokens or (lambda texts: [len(text.split()) for text in texts])
    for row in rows:
        for number in range(settings.renderings):
            _render(row, number, task, family, settings, known, pool, count, account)
    return account.close(DETAILS_SCHEMA)


def _draw(settings: FlanSettings, task: Task, row: TaskRow, number: int, what: str) -> float:
    return int(make_id("flan", what, settings.seed, task.name, row.row_id, number)[:13], 16) / 16**13


def _plan(row: TaskRow, number: int, task: Task, family: Family, settings: FlanSettings, known: TemplateSet) -> _Plan:
    def draw(what: str) -> float:
        return _draw(settings, task, row, number, what)

    def pick(what: str, items: Sequence[Any]) -> Any:
        return items[int(draw(what) * len(items))]

    if family.inverse and draw("inverse") < settings.inverse_share:
        return _Plan(pick("template", family.inverse), None, None, None)
    has_options = family.has_options and draw("options") < settings.options_share
    has_rationale = bool(row.rationale) and draw("rationale") < settings.rationale_share
    is_few_shot = draw("few-shot") < settings.few_shot_share
    return _Plan(
        pick("template", family.templates),
        pick("option style", known.option_styles) if has_options else None,
        pick("rationale style", known.rationale_styles) if has_rationale else None,
        pick("few-shot style", known.few_shot_styles) if is_few_shot else None,
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """One row filled into a template."""

    input: str
    target: str
    options: tuple[str, ...]
    right_letter: str


def _show(row: TaskRow, plan: _Plan, task: Task, seed: int) -> _Shown:
    values = {**row.values, "answer": row.answer}
    template, letter = plan.template.input, ""
    options: tuple[str, ...] = ()
    if plan.option_style is not None:
        # shuffled by the row itself, so the right letter says nothing
        options = tuple(sorted(row.options, key=lambda text: make_id("flan order", seed, task.name, row.row_id, text)))
        letter = _LETTERS[options.index(row.answer)]
        lines = [
            fill(plan.option_style["line"], {"letter": sign, "text": text})
            for sign, text in zip(_LETTERS, options, strict=False)
        ]
        values["options"] = "\n".join([plan.option_style["header"], *lines])
        values["answer"] = fill(plan.option_style["answer"], {"letter": letter, "text": row.answer})
    else:
        template = drop_options(template)
    if plan.template.shape == "inverse":
        values["answer"] = row.answer
    said, target = fill(template, values), fill(plan.template.target, values)
    if plan.rationale_style is not None:
        said = f"{said}\n{plan.rationale_style['trigger']}"
        ended = values["answer"] if not values["answer"].endswith(".") else values["answer"][:-1]
        target = fill(plan.rationale_style["target"], {"rationale": row.rationale, "answer": ended})
    return _Shown(said, target, options, letter)


def _render(
    row: TaskRow,
    number: int,
    task: Task,
    family: Family,
    settings: FlanSettings,
    known: TemplateSet,
    pool: ExemplarPool,
    count_tokens: CountTokens,
    account: RowAccount,
) -> None:
    plan = _plan(row, number, task, family, settings, known)
    shown = _show(row, plan, task, settings.seed)
    instruction, exemplars = shown.input, []
    if plan.few_shot_style is not None:
        least, most = settings.exemplars
        wanted = least + int(_draw(settings, task, row, number, "exemplars") * (most - least + 1))
        exemplars = pool.choose(row, number, wanted, has_rationale=plan.rationale_style is not None)
        examples = [_show(other, plan, task, settings.seed) for other in exemplars]
        last = fill(plan.few_shot_style["last"], {"input": shown.input})
        parts = [fill(plan.few_shot_style["exemplar"], {"input": one.input, "target": one.target}) for one in examples]
        while parts:
            instruction = plan.few_shot_style["join"].join([*parts, last])
            if count_tokens([instruction])[0] <= settings.few_shot_tokens:
                break
            parts.pop()
        exemplars = exemplars[: len(parts)]
        instruction = instruction if parts else shown.input
    instruction_id = make_id(METHOD, task.name, row.row_id, number)
    account.rows.append(
        make_instruction_row(
            instruction_id=instruction_id,
            dump=task.name,
            method=METHOD,
            stage="instruction_tuning",
            mode="data_reformation.templates",
            instruction=instruction,
            response=shown.target,
            parents=[Parent(task.name, one.row_id) for one in (row, *exemplars)],
            teacher="templates:flan",
            prompt_version=plan.template.version,
            sampling=None,
            paid=Paid(),
        )
    )
    account.details.append(
        {
            "instruction_id": instruction_id,
            "task": task.name,
            "family": family.name,
            "split": row.split,
            "row_id": row.row_id,
            "template": plan.template.name,
            "shape": plan.template.shape,
            "is_few_shot": bool(exemplars),
            "has_options": plan.option_style is not None,
            "has_rationale": plan.rationale_style is not None,
            "exemplar_ids": [other.row_id for other in exemplars],
            "options": list(shown.options),
            "right_letter": shown.right_letter or None,
            "rationale": row.rationale or None,
            "answer": row.answer,
        }
    )
