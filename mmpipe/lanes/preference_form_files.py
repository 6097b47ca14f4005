"""Writes released preferences in the forms a recipe asks for, a folder per form; counts what one cannot hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmpipe.errors import InvariantBroken
from mmpipe.tables.left_out import NO_PLACE, LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl

    from mmpipe.release.records import Preference
    from mmpipe.storage.places import Place

#: Folder of all forms in `release/`.
FOLDER = "preference_forms"

_TOLD = {
    "kto": "answers with a label, as TRL's KTO trainer reads them",
    "reward": "whole conversations with a margin, as TRL's reward trainer reads them",
    "transcripts": "whole texts for a preference model",
    "ranked": "all answers of a prompt that one method scored, best first",
}


@dataclass(slots=True)
class FormFolder:
    """What was written in one form.

    Attributes:
        form: its name.
        end_of_context: marker behind the texts of transcripts.
        files: paths relative to `release/`.
        rows: rows written.
        left_out: what the form has no place for, by reason.
        told: the pairs of it, named; of an answer that another pair repeats or denies, the pair.
        labels: answers of each label, of the form `kto`.
    """

    form: str
    end_of_context: str = ""
    files: list[str] = field(default_factory=list)
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    told: list[LeftOut] = field(default_factory=list)
    labels: Counter[bool] = field(default_factory=Counter)

    def write_part(self, part: pl.DataFrame, configuration: str, stem: str, folder: Place) -> None:
        """Write rows of one configuration as a file of the form.

        Args:
            part: rows of preference_dataset.
            configuration: text_only or with_images.
            stem: of the file: `DUMP` or `SPLIT-DUMP`.
            folder: `release/`.
        """
        from mmpipe.release.json_lines import write_json_line

        rows = list(self._render(part, configuration))
        if not rows:
            return
        path = f"{FOLDER}/{self.form}/{configuration}/{stem}.jsonl"
        folder.join(path).write_text("".join(map(write_json_line, rows)))
        self.files.append(path)
        self.rows += len(rows)

    def describe(self) -> tuple[str, str]:
        """Return the row of the card's table of layouts."""
        told = f"`release/{FOLDER}/{self.form}/`: {self.rows:,} rows, {_TOLD[self.form]}"
        if self.form == "transcripts" and self.end_of_context:
            told += f"; each ends in `{self.end_of_context}`"
        if self.form == "kto" and self.rows:
            told += f": {self.labels[True]:,} desirable, {self.labels[False]:,} undesirable"
            # KTO compares with the other label: from one alone it learns nothing
            told += "" if all(self.labels[label] for label in (True, False)) else "; not to be trained on as it is"
        if self.left_out:
            told += "; left out: " + ", ".join(f"{count:,} ({why})" for why, count in sorted(self.left_out.items()))
        return self.form, told

    def _render(self, part: pl.DataFrame, configuration: str) -> Iterator[dict[str, Any]]:
        preferences, dumps = _read(part, configuration), dict(part.select("id", "dump").iter_rows())
        if self.form == "kto":
            yield from self._render_labelled(preferences, dumps)
        elif self.form == "ranked":
            yield from self._render_ranked(part, preferences)
        else:
            for preference in preferences:
                row = self._render_pair(preference, dumps)
                if row is not None:
                    yield row

    def _leave_out(self, pair_id: str, dump: str, reason: str, details: str | None) -> None:
        self.told.append((pair_id, dump, f"{FOLDER}/{self.form}", reason, details))

    def _render_labelled(self, preferences: Sequence[Preference], dumps: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        from mmpipe.release.exporters_trl import export_labelled
        from mmpipe.release.preference_forms import drop_repeated, unpair

        kept, left_out = drop_repeated(answer for preference in preferences for answer in unpair(preference))
        for name, reason, other in left_out:
            self.left_out[reason] += 1
            pair_id, _, side = name.rpartition("-")
            self._leave_out(pair_id, dumps[pair_id], reason, f"its {side} answer; see {other}")
        for answer in kept:
            self.labels[answer.label] += 1
            yield export_labelled(answer)

    def _render_pair(self, preference: Preference, dumps: Mapping[str, str]) -> dict[str, Any] | None:
        from mmpipe.release.exporters_trl import export_preference
        from mmpipe.release.preference_forms import write_transcripts

        try:
            if self.form == "reward":
                return export_preference(preference, is_prompt_explicit=False)
            texts: dict[str, Any] = write_transcripts(preference, end_of_context=self.end_of_context)
        except InvariantBroken as fault:  # one row that this form has no room for; the others have it
            _, _, reason = str(fault).partition(f"row {preference.id} ")
            why = reason.removesuffix(".") or str(fault)
            self.left_out[why] += 1
            self._leave_out(preference.id, dumps[preference.id], NO_PLACE, why)
            return None
        return texts | {"margin": preference.margin, "group_id": preference.group_id}

    def _render_ranked(self, part: pl.DataFrame, preferences: Sequence[Preference]) -> Iterator[dict[str, Any]]:
        """Yield one list per prompt, method and criterion; scores of different methods are not of one scale."""
        groups: dict[tuple[Any, ...], list[tuple[dict[str, Any], Preference]]] = {}
        names = ("id", "group_id", "method", "criterion", "iteration", "score_chosen", "score_rejected", "dump")
        for row, preference in zip(part.select(names).iter_rows(named=True), preferences, strict=True):
            key = tuple(row[name] for name in names[1:5])
            groups.setdefault(key, []).append((row, preference))
        for key in sorted(groups):
            list_row = self._rank(key, groups[key])
            if list_row is not None:
                yield list_row

    def _rank(
        self, key: tuple[Any, ...], members: Sequence[tuple[dict[str, Any], Preference]]
    ) -> dict[str, Any] | None:
        from mmpipe.release.preference_forms import RankedAnswers, order_answers
        from mmpipe.release.records import list_messages
        from mmpipe.tables.identity import make_id

        scores: dict[str, set[float]] = {}
        for row, preference in members:
            scores.setdefault(preference.chosen[-1].content, set()).add(row["score_chosen"])
            scores.setdefault(preference.rejected[-1].content, set()).add(row["score_rejected"])
        if any(len(given) > 1 for given in scores.values()):
            # methods that score a pair, and no answer alone, rank nothing
            why = "an answer has another score in each pair"
            self.left_out[why] += 1
            for row, preference in members:
                self._leave_out(preference.id, row["dump"], NO_PLACE, why)
            return None
        first = members[0][1]
        ranked = order_answers(
            RankedAnswers(
                make_id("ranked", *key),
                first.prompt,
                tuple(scores),
                tuple(score for (score,) in scores.values()),
                first.images,
            )
        )
        return {
            "id": ranked.id,
            "prompt": list_messages(ranked.prompt),
            "answers": list(ranked.answers),
            "scores": list(ranked.scores),
            "group_id": key[0],
            "method": key[1],
            "criterion": key[2],
            **({"images": list(ranked.images)} if ranked.images else {}),
        }


def open_forms(forms: Sequence[str], end_of_context: str) -> list[FormFolder]:
    """Return a folder per form."""
    return [FormFolder(form, end_of_context) for form in forms]


def _read(part: pl.DataFrame, configuration: str) -> list[Preference]:
    """Return the rows; pictures are the files beside the configuration's JSON lines, from the form's folder on."""
    from dataclasses import replace

    from mmpipe.release.dialect_files import read_preferences

    back = f"../../../{configuration}/"
    return [
        replace(preference, images=tuple(back + image for image in preference.images))
        for preference in read_preferences(part)
    ]
