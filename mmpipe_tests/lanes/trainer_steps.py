"""The trainers' side of test_trainer_steps.py: TRL's own trainers take one step on released files, with tiny models.

    python trainer_steps.py SFT_FOLDER PREFERENCE_FOLDER TOKENIZER OUTPUT

Prints one JSON object. Runs with the trainers' folder on the path; see mmpipe_tests/trainers.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from trl import (
    DPOConfig,
    DPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
#: Content is words or a list of parts, as the templates of models for pictures have it.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.content is string %}"
    "{{ message.content }}{% else %}{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}"
    "{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
)
PIXELS, PATCH = 28, 14
IMAGE_TOKENS = (PIXELS // PATCH) ** 2


def settle(trainer: Any) -> float:
    """Train and return the first loss."""
    trainer.train()
    return float(trainer.state.log_history[0]["loss"])


def make_model(kind: Any, tokenizer: Any, **more: Any) -> Any:
    return kind(
        LlamaConfig(
            vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, num_key_value_heads=2, **SIZES, **more
        )
    )


def learn_packed(files: list[str], tokenizer: Any, common: dict[str, Any]) -> dict[str, Any]:
    rows = load_dataset("parquet", data_files=files, split="train")
    trainer = SFTTrainer(
        model=make_model(LlamaForCausalLM, tokenizer),
        train_dataset=rows,
        args=SFTConfig(padding_free=True, max_length=None, **common),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    model = trainer.model.eval()
    with torch.no_grad():
        together = model(**{name: value for name, value in batch.items() if name != "labels"}).logits[0]
        starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
        ends = [*starts[1:], batch["input_ids"].shape[1]]
        alone = [model(batch["input_ids"][:, begin:end]).logits[0] for begin, end in zip(starts, ends, strict=True)]
    learnt = batch["labels"][0][batch["labels"][0] != -100].tolist()
    return {
        "conversations": len(starts),
        "difference": float((together - torch.cat(alone)).abs().max()),
        "learnt": tokenizer.decode(learnt),
        "loss": settle(trainer),
    }


def learn_pictures(folder: str, tokenizer_folder: str, common: dict[str, Any]) -> dict[str, Any]:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, chat_template=TEMPLATE)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": PIXELS}, crop_size={"height": PIXELS, "width": PIXELS}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=PIXELS, patch_size=PATCH, **SIZES),
        text_config=LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, **SIZES),
        image_token_index=image_token,
    )
    trainer = SFTTrainer(
        model=LlavaForConditionalGeneration(config),
        train_dataset=load_dataset(folder, "with_images", split="train"),
        args=SFTConfig(max_length=None, **common),
        processing_class=processor,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    return {
        "pictures": len(batch["pixel_values"]),
        "placeholders": int((batch["input_ids"] == image_token).sum()) / IMAGE_TOKENS,
        "loss": settle(trainer),
    }


def learn_preferences(folder: Path, tokenizer: Any, common: dict[str, Any]) -> dict[str, float]:
    def load(part: str) -> Any:
        return load_dataset("json", data_files=str(folder / "release" / part), split="train")

    policy = Path(common["output_dir"]) / "policy"
    make_model(LlamaForCausalLM, tokenizer).save_pretrained(policy)
    forms = "preference_forms/{}/text_only/a.jsonl"
    return {
        "dpo": settle(
            DPOTrainer(
                model=str(policy),
                args=DPOConfig(**common),
                train_dataset=load("trl/text_only/a.jsonl"),
                processing_class=tokenizer,
            )
        ),
        "kto": settle(
            KTOTrainer(
                model=str(policy),
                args=KTOConfig(**common),
                train_dataset=load(forms.format("kto")),
                processing_class=tokenizer,
            )
        ),
        "reward": settle(
            RewardTrainer(
                model=make_model(LlamaForSequenceClassification, tokenizer, num_labels=1),
                args=RewardConfig(**common),
                train_dataset=load(forms.format("reward")),
                processing_class=tokenizer,
            )
        ),
    }


def main() -> None:
    sft, preference, tokenizer_folder, output = sys.argv[1:]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    common: dict[str, Any] = {
        "output_dir": output,
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "report_to": [],
        "save_strategy": "no",
        "logging_steps": 1,
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
    }
    packed = [str(file) for file in sorted((Path(sft) / "release" / "packed").glob("*.parquet"))]
    found = {
        "packed": learn_packed(packed, tokenizer, common),
        "pictures": learn_pictures(sft, tokenizer_folder, common),
        "preferences": learn_preferences(Path(preference), tokenizer, common),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
