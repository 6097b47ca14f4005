"""Lists the rules of the instruction lane, one readable table per paper, with the paper's own limits."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule, index_rules

_SELF_INSTRUCT = "Self-Instruct (Wang et al. 2022, arXiv 2212.10560), post-filter: too short or too long instructions"

_SAME = "Self-Instruct, post-filter: an instance whose output is empty or repeats its input is dropped"
_OURS = "mmpipe: no paper states this limit; set on hand-read rows of the embedded teacher"

SELF_INSTRUCT = (
    Rule(
        name="self_instruct_instruction_words",
        signal="instruction_words",
        low=3,
        low_is_kept=False,
        high=150,
        source=_SELF_INSTRUCT,
    ),
    Rule(name="self_instruct_response_words", signal="response_words", low=1, source=_SAME),
    Rule(
        name="self_instruct_response_instruction_similarity",
        signal="response_instruction_similarity",
        high=1,
        high_is_kept=False,
        source=_SAME,
    ),
    Rule(name="self_instruct_earlier_equal_instructions", signal="earlier_equal_instructions", high=0, source=_SAME),
)

MMPIPE = (
    Rule(name="mmpipe_response_grounding", signal="response_grounding", low=0.7, source=_OURS),
    Rule(name="mmpipe_response_repetition", signal="response_repetition", high=0.2, source=_OURS),
)

INSTRUCTION_RULES = index_rules(SELF_INSTRUCT, MMPIPE)
