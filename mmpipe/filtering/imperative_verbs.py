"""Lists the verbs that instructions begin with, and turns English verbs and nouns into the form of a dictionary."""

from __future__ import annotations

#: Verbs of instructions, in the base form. A word that is more often a noun at the beginning is not here.
_VERBS = """
accept achieve act adapt add address adjust advise advocate analyse analyze announce answer anticipate apply appraise
appreciate approximate argue arrange articulate ask assemble assert assess assign assist assume attach audit author
automate balance become begin blend brainstorm break brief bring build buy calculate call calm capture caption
capitalize categorise categorize change characterise characterize chart check choose cite claim clarify classify clean
clear code coin collect combine come comment compare compile complete compose compress compute conceive conclude
condense conduct confirm connect consider construct contrast contribute convert convey convince cook copy correct count
craft create criticise criticize critique debate debug decide decipher declare decode decorate deduce define delete
deliver demonstrate derive describe design detail detect determine develop devise diagnose differentiate discover
discuss display distinguish distribute divide document draft dramatise dramatize draw edit elaborate eliminate embed
employ encode encourage enhance enlist enquire enter enumerate envision establish estimate evaluate examine execute
expand explain explore express extend extract fact-check figure fill filter find finish fix flesh flip fold follow
forecast form format formulate frame gather generate get give go grade group guess guide handle harness help highlight
hypothesize identify illustrate imagine implement improve include incorporate increase indicate infer inform insert
inspect integrate interpret introduce invent invert investigate invite join judge justify keep label lay learn let list
listen locate look make manage map mark match measure mention merge minimise minimize model modify motivate move name
narrate negate negotiate nominate normalize note observe obtain offer optimise optimize order organise organize outline
paint pair paraphrase parse perform persuade phrase pick pitch place plan play plot point polish pose postulate predict
prepare present pretend print prioritise prioritize process produce profile program pronounce proofread propose prove
provide publish put qualify quantify query quote randomize rank rate reach read rearrange reason recall recite
recognise recognize recommend reconstruct record recount redesign redo reduce refactor refer refine reflect reformat
reformulate reframe refute rehearse remember remove rename render reorder reorganize repair repeat rephrase replace
reply report represent request research resolve respond restate restructure resume retell retrieve return reverse
review revise reword rewrite rhyme role-play roleplay rotate round run say scan schedule score search see segment
select send separate sequence serve set shape share shorten show simplify simulate sing sketch solve sort speak
specify speculate spell split spot state stop structure study style submit substitute suggest sum summarise summarize
supply support suppose synthesise synthesize tabulate tag take talk teach tell test think title touch trace
transcribe transform translate transpose trim try turn type underline understand unscramble update use utilize
validate verify view visit visualise visualize vote walk weigh work write
"""
IMPERATIVE_VERBS = frozenset(_VERBS.split())

_LEADING = """
please|kindly|now|then|first|next|finally|also|just|always|briefly|carefully|clearly|quickly|simply|hi|hello|ok|okay
can you|could you|would you|will you|can you please|could you please|would you please|can i|could i|you should|you must
you need to|you have to|you are asked to|you are supposed to|your task is to|your job is to|your goal is to
i want you to|i would like you to|i'd like you to|i need you to|i want to|i would like to|i'd like to|i need to
try to|help me|help me to|help us|help us to|let's|let us|in this task|the task is to|task|instruction|question
"""
#: What may stand before an imperative, longest first.
LEADING_PHRASES = tuple(
    sorted(
        (tuple(phrase.split()) for line in _LEADING.split("\n") for phrase in line.split("|") if phrase),
        key=lambda phrase: (-len(phrase), phrase),
    )
)

_IRREGULAR_NOUNS = {
    "analyses": "analysis", "children": "child", "criteria": "criterion", "crises": "crisis", "feet": "foot",
    "geese": "goose", "halves": "half", "hypotheses": "hypothesis", "indices": "index", "knives": "knife",
    "leaves": "leaf", "lives": "life", "matrices": "matrix", "men": "man", "mice": "mouse", "movies": "movie",
    "cookies": "cookie", "people": "person", "phenomena": "phenomenon", "selves": "self", "shelves": "shelf",
    "teeth": "tooth", "theses": "thesis", "thieves": "thief", "wives": "wife", "wolves": "wolf", "women": "woman",
    "news": "news", "series": "series", "species": "species", "means": "means", "physics": "physics",
    "mathematics": "mathematics", "lens": "lens", "bias": "bias", "gas": "gas", "bus": "bus", "atlas": "atlas",
    "canvas": "canvas", "yes": "yes", "pros": "pro", "buses": "bus", "biases": "bias", "gases": "gas", "ties": "tie",
    "pies": "pie", "lies": "lie",
}  # fmt: skip


def make_base_form(word: str) -> str:
    """Return the base form of a verb in -ing that an instruction begins with ("Solving this"); others as they are."""
    if not word.endswith("ing") or len(word) < 6 or word in IMPERATIVE_VERBS:
        return word
    stem = word[:-3]
    doubled = stem[:-1] if stem[-1] == stem[-2] else stem
    return next((form for form in (stem, f"{stem}e", doubled) if form in IMPERATIVE_VERBS), word)


def make_singular(noun: str) -> str:
    """Return the singular of an English noun, by its ending; of words that hyphens join the last is turned."""
    head, hyphen, last = noun.rpartition("-")
    last = last.removesuffix("'s")
    if last in _IRREGULAR_NOUNS:
        return head + hyphen + _IRREGULAR_NOUNS[last]
    if last.endswith("ies") and len(last) > 4:
        last = f"{last[:-3]}y"
    elif last.endswith(("sses", "shes", "ches", "xes", "zzes")):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith(("ss", "us", "is")) and len(last) > 3:
        last = last[:-1]
    return head + hyphen + last
