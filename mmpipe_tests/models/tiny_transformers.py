"""Tiny transformers with fixed random weights and a tokenizer trained on a few sentences, saved in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SENTENCES = [
    "the otters of the lower valley were counted again this spring and there are more of them",
    "a theorem has a proof and a lemma has one too, which is shorter",
    "Sign in to your cart! 50 % discount, today only.",
    "zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich",
]


def save_tokenizer(folder: Path, **special: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<end>", "<pad>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", **special)
    fast.save_pretrained(folder)
    return fast


def save_language_model(folder: Path, positions: int = 64) -> Path:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = save_tokenizer(folder)
    torch.set_num_threads(1)  # more only spin against one another at these sizes
    torch.manual_seed(7)
    sizes = GPT2Config(
        vocab_size=len(tokenizer), n_positions=positions, n_embd=32, n_layer=2, n_head=2, initializer_range=0.3
    )
    GPT2LMHeadModel(sizes).save_pretrained(folder)
    return folder


def save_encoder(folder: Path, labels: list[str], positions: int = 64) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = save_tokenizer(folder, pad_token="<pad>")
    torch.set_num_threads(1)
    torch.manual_seed(8)
    sizes = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=positions, hidden_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=2, initializer_range=0.3, num_labels=len(labels),
        id2label=dict(enumerate(labels)), label2id={label: number for number, label in enumerate(labels)},
    )  # fmt: skip
    BertForSequenceClassification(sizes).save_pretrained(folder)
    return folder
