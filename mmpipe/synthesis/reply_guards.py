"""Catches what a model says beside its task: preambles, remarks, refusals, copies of the source."""

from __future__ import annotations

import re

from mmpipe.synthesis.grounding import list_words

_REWRITING = r"(?:paraphras\w*|rephras\w*|rewrit\w*|reword\w*|simplifi\w*)"
_TASK = (
    r"(?:paraphras\w*|rephras\w*|rewrit\w*|reword\w*|simplifi\w*|simpler|(?:version|summary) of (?:the|your)|"
    r"questions? and answers?)"
)
_OPENING = r"(?:here(?:'s| is| are|’s)|below is|below are|the following is|i(?:'ve| have) (?:rewritten|rephrased))"
_TITLE = r"(?:paraphrased?|rephrased?|rewritten|simplified)(?: (?:text|passage|version|paragraph))?"
#: An opening line that speaks about the text that follows it, and ends in a colon.
_PREAMBLE = re.compile(
    r"\A\s*(?:(?:sure|certainly|of course|okay|ok|absolutely|gladly)\b[^\n]{0,40}?[,.!:]\s*)?"
    rf"(?:\*\*|#+\s*)?(?:{_OPENING}\b[^\n:]{{0,160}}?\b{_TASK}\b[^\n:]{{0,120}}|{_TITLE}(?:\*\*)?):(?:\*\*)?\s*",
    re.IGNORECASE,
)
#: A first sentence that speaks about the rewriting instead of being one, colon or not.
_ANNOUNCEMENT = re.compile(
    rf"\A\W*(?:{_OPENING}\b[^\n]{{0,160}}?\b{_TASK}\b|(?:this|the following) (?:is|was) (?:a|the|my) {_REWRITING}\b|"
    rf"(?:the|this|my) (?:rewritten|rephrased|simplified|reworded|paraphrased) (?:text|version|passage|paragraph)\b)"
    rf"[^\n]*",
    re.IGNORECASE,
)
#: How a last line begins that says what was done to the text.
_REMARK = re.compile(
    rf"[ \t*_(\[]*note\b[^\n]{{0,40}}:[^\n]{{0,400}}?\b(?:{_TASK}|original (?:text|passage))\b", re.IGNORECASE
)
#: The same in Chinese and Japanese, where the text may go on in the same line.
_WIDE_PREAMBLE = re.compile(
    r"\A\s*(?:(?:好的|当然|當然|没问题|はい)[^\n]{0,20}?[，,。！!、]\s*)?"
    r"(?:以下(?:是|为|為)|这是|這是|下面是|以下は|こちらは)[^\n：:。]{0,40}"
    r"(?:改写|改寫|转述|轉述|重写|重寫|释义|簡化|简化|版本|言い換え|書き換え)[^\n：:。]{0,20}[：:]\s*"
)
#: A first line that ends in a colon, on which the text follows; what a list follows on is the text's own, and so is the
#: label of a question.
_HEADLINE = re.compile(r"\A(?!\W*Question\b)[^\n]{1,160}[:：](?:\*\*)?[ \t]*\n+(?=[^\s\d(*•–—-])")
#: Characters at the beginning of a source, within which a colon may be what a reply's first line has its own from.
_HEAD_CHARS = 240
_NOTE = re.compile(r"[ \t*_(\[（]*(?:note\b[^\n]{0,20}|(?:注意?|注释|备注|備註)\s*)[:：]", re.IGNORECASE)
_AGREEMENT = re.compile(
    r"\A\s*(?:(?:sure|certainly|of course|absolutely)\s*[!.,:]|"
    r"(?:好的|当然|當然|没问题)[^\n。！!]{0,6}[。！!，,])[ \t]*\n",
    re.IGNORECASE,
)
#: How a last line begins that takes leave.
_FAREWELL = re.compile(
    r"\s*(?:i hope (?:this|that)\b|let me know\b|please let me know\b|feel free to\b|is there anything else\b"
    r"|\(?note: (?:this|the|i)\b[^\n]*(?:paraphras|rephras|rewrit|version))",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\A\W*(?:i(?:'m| am|’m) (?:sorry|unable|afraid|not able)|sorry,|i (?:cannot|can't|can’t|could not|won't)\b|"
    r"i (?:must|have to) (?:decline|refuse)|i apologi[sz]e\b|my apologies|as an? (?:ai|language model|artificial)|"
    r"unfortunately,? i\b|(?:je suis )?désolée?,|es tut mir leid|lo siento|mi dispiace|desculpe|"
    r"(?:我|作为(?:一个|一名)?(?:AI|人工智能|语言模型)[^，。\n]{0,20}，我?)(?:无法|不能)|(?:很|非常)?抱歉|对不起|申し訳)",
    re.IGNORECASE,
)
_BESIDE = re.compile(
    r"\bas an ai(?: language)?(?: model)?\b|\bas a language model\b|"
    r"作为(?:一个|一名)?(?:AI|人工智能)(?:语言)?(?:模型|助手)|"
    # a model that did not see its task asks for it
    r"\bplease (?:provide|share|paste|send) (?:me )?(?:with )?(?:the|your) (?:text|passage|document|picture|image)\b|"
    r"\bi(?:'m|’m| am) ready to (?:help|assist)\b|\bhow (?:can|may) i (?:help|assist) you\b|"
    r"请(?:您)?(?:提供|发送|粘贴)[^。，\n]{0,10}(?:文本|文字|内容|图片)",
    re.IGNORECASE,
)


def strip_preamble(text: str, source: str | None = None) -> str:
    """Return `text` without a first line that announces it ("Here is a paraphrase:") and a last that takes leave.

    Args:
        text: a reply.
        source: what it says again. Where no colon stands at its beginning, a first line that ends in one is the
            model's own, whatever its words and language; where it has no note, a last line that is one is, too.
    """
    text = text.strip()
    patterns = [_PREAMBLE, _WIDE_PREAMBLE, _AGREEMENT, _PREAMBLE]
    if source is not None and not re.search("[:：]", source[:_HEAD_CHARS]):
        patterns.append(_HEADLINE)
    for pattern in patterns:
        text = pattern.sub("", text, count=1).strip()
    before, _, last = text.rpartition("\n")
    is_note = source is not None and _NOTE.match(last) and not _NOTE.search(source)
    text = before.strip() if before and (is_note or _FAREWELL.match(last)) else text
    quoted = re.fullmatch(r"[\"“](.*)[\"”]", text, re.DOTALL)
    return quoted[1].strip() if quoted and not re.search(r"[\"“”]", quoted[1]) else text


def find_announcement(text: str) -> str:
    """Return the first or last line of `text` if it speaks about the rewriting itself; empty if neither does.

    What `strip_preamble` takes away is no part of the text any more; this is what it could not tell from the text.
    """
    if announced := _ANNOUNCEMENT.match(text):
        return announced[0].strip()
    last = text.rstrip().rpartition("\n")[2]
    return last.strip() if _REMARK.match(last) else ""


def is_refusal(text: str) -> bool:
    """Return whether `text` refuses the task, asks for it, or speaks of itself as a model."""
    return bool(_REFUSAL.match(text) or _BESIDE.search(text))


def measure_copy(text: str, source: str, words: int = 5) -> float:
    """Return the share of word n-grams of `text` that stand in `source`, 0 to 1; short texts count as one n-gram."""
    grams = _list_grams(list_words(text), words)
    known = set(_list_grams(list_words(source), words))
    return sum(gram in known for gram in grams) / len(grams) if grams else 0.0


def _list_grams(words: list[str], size: int) -> list[tuple[str, ...]]:
    if not words:
        return []
    return [tuple(words[place : place + size]) for place in range(max(1, len(words) - size + 1))]
