"""Finds replies that are well-formed and still no answer: the prompt again, or another script than asked in.

Loops are left to the rule `mmpipe_response_repetition`, whose limit a recipe sets.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.grounding import list_words, measure_longest_copy
from mmpipe.synthesis.refusals import Refusal

#: Why a reply is none.
FAULTS = ("repeats_prompt", "other_script")

#: Scripts that one language writes side by side.
_TOGETHER = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "KATAKANA-HIRAGANA": "CJK", "FULLWIDTH": "LATIN"}
#: What asks for another language or for code: a reply to it may be in any script.
_ASKS_FOR_ANOTHER = re.compile(
    r"translat|transliterat|language|alphabet|\b(?:chinese|mandarin|japanese|korean|russian|ukrainian|bulgarian|serbian|"
    r"arabic|persian|urdu|hebrew|greek|hindi|thai|cyrillic|kanji|hiragana|katakana|pinyin|emojis?)\b|"
    r"翻译|翻譯|译成|译为|英文|英语|英語|日语|日文|韩语|俄语|法语|德语|西班牙语|外语|拼音|代码|程序|编程|函数|公式|网址|翻訳|"
    r"\b(?:python|java|javascript|sql|html|xml|json|css|bash|regex|latex)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFaultSettings:
    """When a reply is no answer. The limits are our own, set so that an answer which takes up its question passes.

    Attributes:
        repeated_share: a run of words that is this share of the prompt and of the reply makes it a repetition of the
            prompt; None for never. All but the last word: who corrects a text says most of it again.
        least_repeated: fewest words of such a run: a short answer may say a short question again.
        least_letters: of texts whose script is told.
    """

    repeated_share: float | None = 0.98
    least_repeated: int = 5
    least_letters: int = 20

    def __post_init__(self) -> None:
        if self.repeated_share is not None and not 0 < self.repeated_share <= 1:
            raise ConfigurationError(f"faults: repeated_share lies above 0, at most at 1, not {self.repeated_share}.")


def find_reply_fault(reply: str, asked: str, settings: ReplyFaultSettings) -> Refusal | None:
    """Return why a reply is no answer, one of FAULTS with what was measured; None if nothing is wrong.

    A reply is in another script if it has hardly a letter of the one that was asked in, nor what was asked of its own;
    unless a language, a translation or code was asked for.

    Args:
        reply: what the teacher wrote.
        asked: what it should answer, with its input.
        settings: limits.
    """
    if settings.repeated_share is not None:
        copied = measure_longest_copy(reply, asked)
        share = copied / max(len(list_words(reply)), len(list_words(asked)), 1)
        if copied >= settings.least_repeated and share >= settings.repeated_share:
            return Refusal(reason="repeats_prompt", measure="repeated_share", value=share, high=settings.repeated_share)
    script, wanted = name_script(reply, settings.least_letters), name_script(asked, settings.least_letters)
    is_other = script and wanted and not _has_letters(reply, wanted) and not _has_letters(asked, script)
    if is_other and not _ASKS_FOR_ANOTHER.search(asked):
        return Refusal(reason="other_script", found=f"{script}, asked in {wanted}")
    return None


#: Letters of a script from which on a text has it.
_FEW_LETTERS = 5


def _has_letters(text: str, script: str) -> bool:
    return count_scripts(text)[script] >= _FEW_LETTERS


def count_scripts(text: str) -> Counter[str]:
    """Return the letters of a text by script, as Unicode names it (`LATIN`); kana and ideographs are `CJK`."""
    counts = Counter(unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha())
    merged: Counter[str] = Counter()
    for script, count in counts.items():
        merged[_TOGETHER.get(script, script)] += count
    return merged


def name_script(text: str, least_letters: int = 1) -> str:
    """Return the script most letters of `text` are of, see `count_scripts`; "" for fewer letters than asked."""
    counts = count_scripts(text)
    if counts.total() < max(1, least_letters):
        return ""
    return min(counts.items(), key=lambda item: (-item[1], item[0]))[0]
