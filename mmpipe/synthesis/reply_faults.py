"""Finds replies in another script than was asked in, and names the script of a text.

Loops and echoes are left to the rules `mmpipe_response_repetition` and `self_instruct_response_instruction_similarity`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from mmpipe.synthesis.refusals import Refusal

#: Why a reply is no answer.
OTHER_SCRIPT = "other_script"

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
#: Letters of texts whose script is told.
LEAST_LETTERS = 20
#: Letters of a script from which on a text has it.
_FEW_LETTERS = 5


def find_other_script(reply: str, asked: str) -> Refusal | None:
    """Return that a reply is in another script than was asked in (`other_script`); None if it is not.

    It is if it has hardly a letter of the script that was asked in, nor what was asked of its own; unless a language, a
    translation or code was asked for.

    Args:
        reply: what the teacher wrote.
        asked: what it should answer, with its input.
    """
    script, wanted = name_script(reply, LEAST_LETTERS), name_script(asked, LEAST_LETTERS)
    is_other = script and wanted and not _has_letters(reply, wanted) and not _has_letters(asked, script)
    if is_other and not _ASKS_FOR_ANOTHER.search(asked):
        return Refusal(reason=OTHER_SCRIPT, found=f"{script}, asked in {wanted}")
    return None


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
