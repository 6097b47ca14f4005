"""The settings of Self-Instruct and of its two best-known variants, Alpaca and BELLE, every number with its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mmpipe.errors import ConfigurationError
from mmpipe.synthesis.prompts import Prompt
from mmpipe.synthesis.self_instruct_filters import ALPACA_WORDS, BELLE_WORDS, InstructionFilters
from mmpipe.synthesis.self_instruct_prompts import ALPACA, BELLE, CHINESE_BLOCKS, ENGLISH_BLOCKS, TASKS, BlockWords


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfInstructSettings:
    """How instructions are grown. The defaults are Self-Instruct's (arXiv 2212.10560, section 2.2, appendix A).

    Attributes:
        prompt: what the teacher is asked for new tasks with.
        blocks: what the parts of a task are called where each is written in one go with its instance (Alpaca, BELLE);
            None where instructions come alone, and instances in requests of their own.
        demonstrations: tasks shown in a request.
        machine_demonstrations: of them grown ones, as many as there are up to this number.
        stop_item: the list ends before the item of this number.
        temperature: of new tasks; instances and the question for classification are greedy.
        top_p: nucleus, of new tasks.
        max_tokens: of a reply with new tasks.
        presence_penalty: of new tasks: 2 (the paper, table 4).
        instance_presence_penalty: of instances: 1.5 (the published program, `generate_instances.py`).
        requests_per_round: requests between two looks at the pool's tasks.
        most_requests: for new tasks, in all; growth ends there though fewer tasks were accepted than wanted.
        fruitless_rounds: rounds in a row without an accepted task, after which growth ends: the teacher does not keep
            the form, or the pool holds all it can think of, and more would be paid for nothing. None for never.
        filters: which instructions stay.
        most_instances: of one task.
        instance_tokens: of a reply with instances, input first.
        label_tokens: of a reply with instances, label first.
        pool_threshold: highest ROUGE-L of a new instruction with any of the pool.
        pool_tokenizer: what the pool compares by; see `deduplication.rouge_pool.tokenize`.
        refuses_other_script: whether an output in another script than its task and input is refused (ours).
        seed: of the choice of demonstrations and of the requests.
        dump: what the rows' column `dump` says: grown tasks come from no crawl.
    """

    prompt: Prompt = TASKS
    blocks: BlockWords | None = None
    demonstrations: int = 8
    machine_demonstrations: int = 2
    stop_item: int = 16
    temperature: float = 0.7
    top_p: float = 0.5
    max_tokens: int = 1024
    presence_penalty: float = 2.0
    instance_presence_penalty: float = 1.5
    requests_per_round: int = 5
    most_requests: int = 10_000
    fruitless_rounds: int | None = 20
    filters: InstructionFilters = field(default_factory=InstructionFilters)
    most_instances: int = 5
    instance_tokens: int = 350
    label_tokens: int = 300
    pool_threshold: float = 0.7
    pool_tokenizer: Literal["rouge_score", "unspaced"] = "rouge_score"
    refuses_other_script: bool = True
    seed: int = 0
    dump: str = "self_instruct"

    def __post_init__(self) -> None:
        if not 0 <= self.machine_demonstrations < self.demonstrations < self.stop_item - 1:
            raise ConfigurationError(
                f"Self-Instruct: {self.machine_demonstrations} grown of {self.demonstrations} demonstrations, the list "
                f"ends before item {self.stop_item}. Show more than the grown ones, and leave room for new tasks."
            )
        least = 1 if self.fruitless_rounds is None else self.fruitless_rounds
        if min(self.requests_per_round, self.most_requests, self.most_instances, least) < 1:
            raise ConfigurationError(
                "Self-Instruct: requests_per_round, most_requests, fruitless_rounds, most_instances must be 1 or more."
            )


SELF_INSTRUCT = SelfInstructSettings()

#: Taori et al. 2023, `generate_instruction.py`: three seeds and no grown task, up to item 20 in one request, one
#: instance in the same go, no question for classification; the instruction's first character and words as before.
ALPACA_SETTINGS = SelfInstructSettings(
    prompt=ALPACA,
    blocks=ENGLISH_BLOCKS,
    demonstrations=3,
    machine_demonstrations=0,
    stop_item=20,
    temperature=1.0,
    top_p=1.0,
    max_tokens=3072,
    presence_penalty=0.0,
    filters=InstructionFilters(unsuitable_words=ALPACA_WORDS),
    most_instances=1,
    dump="alpaca",
)

#: BELLE's program of 1.5 M tasks is Alpaca's in Chinese: more than three characters; with an input less than 100, or
#: less than 150 where an example is named; without one any number. Its words may stand nowhere in a task. It compares
#: by BM25 (18 at most); here the pool's ROUGE-L counts each character as a token: rouge_score's sees no Chinese at all.
BELLE_SETTINGS = SelfInstructSettings(
    prompt=BELLE,
    blocks=CHINESE_BLOCKS,
    demonstrations=3,
    machine_demonstrations=0,
    stop_item=20,
    temperature=1.0,
    top_p=1.0,
    max_tokens=1024,
    presence_penalty=0.0,
    filters=InstructionFilters(
        most=None,
        most_with_input=99,
        most_with_example=149,
        example_words=("示例", "例子"),
        unit="characters",
        unsuitable_words=BELLE_WORDS,
        are_words_whole=False,
        are_instances_searched=True,
        prefixes=(),
        refuses_other_scripts=False,
    ),
    most_instances=1,
    pool_tokenizer="unspaced",
    dump="belle",
)
