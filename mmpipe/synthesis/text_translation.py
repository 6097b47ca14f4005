"""Toolformer's fifth tool: phrases of any language, put into English by a chat model.

Schick et al. 2023, "Toolformer" (arXiv 2302.04761, section 3): machine translation of a phrase into English, whose
language the tool finds out itself. The prompt is in our own words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmpipe.synthesis.drafts import Spent, make_seed
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.row_account import read_text
from mmpipe.synthesis.text_tools import TextTool
from mmpipe.tables.chat import ChatRequest, Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmpipe.tables.chat import Teacher

PROMPT = Prompt(
    "text_translation/into_english",
    "You translate a phrase into English, whatever language it is in. You write the translation alone, on one line.",
    "{phrase}",
    (({"phrase": "guten Morgen"}, "good morning"), ({"phrase": "la sécurité d'abord"}, "safety first")),
)

#: Tokens of a translation; calls hold phrases.
_MOST_TOKENS = 64


class Translator:
    """Translates phrases, each once.

    Attributes:
        spent: requests and tokens of what was asked.
    """

    def __init__(self, teacher: Teacher, seed: int = 0) -> None:
        self.spent = Spent()
        self._teacher = teacher
        self._seed = seed
        self._known: dict[str, str | None] = {}

    def translate(self, phrases: Sequence[str]) -> list[str | None]:
        """Return the English of each phrase; None where there is none, or it says the same as before.

        Raises:
            TeacherError: the teacher cannot answer any more.
        """
        fresh = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._known]
        requests = [
            ChatRequest(
                PROMPT.render(phrase=phrase),
                Sampling(max_tokens=_MOST_TOKENS, seed=make_seed(self._seed, "translation", phrase), stop=("\n",)),
            )
            for phrase in fresh
            if phrase.strip()
        ]
        asked = [phrase for phrase in fresh if phrase.strip()]
        for phrase, outcome in zip(asked, self._teacher.answer(requests), strict=True):
            self.spent.add(outcome)
            text, reason = read_text(outcome)
            # an English phrase is its own translation, and tells nothing
            is_new = " ".join(text.casefold().split()) != " ".join(phrase.casefold().split())
            self._known[phrase] = text if not reason and is_new and "\n" not in text else None
        return [self._known.get(phrase) for phrase in phrases]


def make_translation(translator: Translator) -> TextTool:
    """Return the tool."""
    return TextTool(
        "MT",
        "translates a phrase of another language into English",
        "MT(guten Morgen)",
        lambda text, _: translator.translate([text])[0],
        translator.translate,
    )
