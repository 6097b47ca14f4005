"""The settings of RAFT rows, every number with its source."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.grounded_questions import GroundedQuestionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftSettings:
    """How rows are made; the first four numbers are the defaults of the released code.

    Attributes:
        chunk_tokens: most tokens of a chunk (512).
        questions_per_chunk: 5.
        distractors: 3.
        oracle_probability: 1.0; section 4.4 finds 0.8 good in the paper's own runs.
        least_chunk_tokens: a shorter chunk is asked about by nobody, but may distract (ours).
        near_duplicate: word 5-gram overlap with the oracle, as a share of the smaller, from which a chunk cannot
            distract: it would answer too (ours).
        quote_words: fewest words of a quote (ours).
        attempts: most requests per chunk and per answer.
        questions: the checks of question and answer.
        temperature: of first attempts.
        retry_temperature: of later ones.
        top_p: nucleus.
        max_tokens: of one reply.
        seed: of choices and requests.
    """

    chunk_tokens: int = 512
    questions_per_chunk: int = 5
    distractors: int = 3
    oracle_probability: float = 1.0
    least_chunk_tokens: int = 48
    near_duplicate: float = 0.5
    quote_words: int = 3
    attempts: int = 3
    questions: GroundedQuestionSettings = field(default_factory=GroundedQuestionSettings)
    temperature: float = 0.0
    retry_temperature: float = 0.7
    top_p: float = 0.9
    max_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.oracle_probability <= 1:
            raise ConfigurationError(f"RAFT: a probability lies between 0 and 1, not {self.oracle_probability}.")
        if self.questions_per_chunk < 1 or self.distractors < 0 or self.attempts < 1:
            raise ConfigurationError("RAFT: at least one question and one attempt, and no negative distractors.")
