"""Parts a written solution into the reasoning and the final answer, and compares solutions as texts."""

from __future__ import annotations

import re
import unicodedata

from mmpipe.synthesis.answer_checks import extract_boxed, extract_final, find_last_cue


def split_solution(text: str) -> tuple[str, str]:
    """Return (rationale, answer): what stands before the last cue or box, and the final answer.

    Without either, the last sentence's text is no answer apart: the rationale is the whole text.
    """
    boxed = extract_boxed(text)
    if boxed is not None:
        return text[: max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))].strip(), boxed
    start = find_last_cue(text)
    if start is None:
        return text.strip(), extract_final(text)
    return text[:start].strip(), extract_final(text)


def normalize_solution(text: str) -> str:
    """Return `text` as solutions are compared: NFKC, case folded, white space and Markdown marks alike.

    Nothing that carries meaning goes: signs and digits stay.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"\*\*|__|`", "", text).split())
