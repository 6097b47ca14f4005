"""The trainers' side of test_trainers.py: their own readers and converters on rows that came in as JSON.

    python trainer_side.py TASK FILE.json

Prints one JSON value. Runs with the trainers' folder on the path; see mmpipe_tests/trainers.py.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any


def read_with_trl(job: dict[str, Any]) -> dict[str, Any]:
    import datasets
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import data_utils

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), eos_token="<|im_end|>")
    tokenizer.chat_template = job["template"]
    mismatch = "accepted"
    try:
        data_utils.prepare_multimodal_messages(job["vision"]["messages"], [*job["vision"]["images"], "one more"])
    except ValueError as error:
        mismatch = str(error)
    unpaired = data_utils.unpair_preference_dataset(datasets.Dataset.from_list(job["preferences"]))
    return {
        "is_conversational": [data_utils.is_conversational(row) for row in job["conversations"] + job["standard"]],
        "texts": [data_utils.apply_chat_template(row, tokenizer)["text"] for row in job["conversations"]],
        "vision": data_utils.prepare_multimodal_messages(job["vision"]["messages"], job["vision"]["images"]),
        "mismatch": mismatch,
        "prompts": [data_utils.extract_prompt(row) for row in job["implicit"]],
        "unpaired": [unpaired[place] for place in range(len(unpaired))],
    }


def read_with_llama_factory(job: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # the package's own __init__ loads trainers and audio; the converters need none of them
    package = types.ModuleType("llamafactory.data")
    package.__path__ = [str(Path(folder) / "llamafactory" / "data") for folder in sys.path]
    sys.modules["llamafactory.data"] = package
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import DatasetAttr

    converted = []
    for part in job:
        attributes = DatasetAttr("hf_hub", dataset_name="x")
        attributes.join(part["entry"])
        converter = get_dataset_converter(attributes.formatting, attributes, None)
        converted.append(converter(part["row"]))
    return converted


def read_with_axolotl(job: dict[str, Any]) -> dict[str, Any]:
    from axolotl.prompt_strategies import input_output
    from axolotl.prompt_strategies.chat_template import ChatTemplatePrompter, ChatTemplateStrategy
    from axolotl.prompt_strategies.dpo import chatml as preference
    from axolotl.prompt_strategies.kto import chatml as label
    from axolotl.utils.dict import DictDefault
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job["tokenizer"])
    prompter = ChatTemplatePrompter(tokenizer, chat_template=job["template"], max_length=4096)
    strategy = ChatTemplateStrategy(
        prompter,
        tokenizer,
        train_on_inputs=False,
        sequence_len=4096,
        roles_to_train=["assistant"],
        train_on_eos="turn",
    )
    segments = input_output.load(tokenizer, DictDefault({"train_on_inputs": False, "sequence_len": 4096}))
    transforms = {"preference": preference, "label": label}
    return {
        "conversations": [strategy.tokenize_prompt(row) for row in job["conversations"]],
        "segments": [segments.tokenize_prompt(row) for row in job["segments"]],
        "chatml": [getattr(transforms[kind], name)({})(row) for kind, name, row in job["chatml"]],
    }


TASKS = {"trl": read_with_trl, "llama_factory": read_with_llama_factory, "axolotl": read_with_axolotl}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))))
