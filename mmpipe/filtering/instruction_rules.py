"""Lists the rules of the instruction lane, one readable table per paper, with the paper's own limits."""

from __future__ import annotations

from mmpipe.filtering.rules import Rule, index_rules

_SELF_INSTRUCT = "Self-Instruct (Wang et al. 2022, arXiv 2212.10560), post-filter: too short or too long instructions"

SELF_INSTRUCT = (
    Rule(
        name="self_instruct_instruction_words",
        signal="instruction_words",
        low=3,
        low_is_kept=False,
        high=150,
        source=_SELF_INSTRUCT,
    ),
)

INSTRUCTION_RULES = index_rules(SELF_INSTRUCT)
