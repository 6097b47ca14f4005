"""Tiny models that see pictures, with random weights and processors made without a network, saved in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = ["a", "the", "red", "green", "blue", "yellow", "black", "pink", "sheet", "picture", "of", "ball", "box", "."]
_VISION = {
    "image_size": 32, "patch_size": 8, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2,
}  # fmt: skip


def save_words(folder: Path) -> Any:
    """Save a BERT tokenizer of a few whole words and return it."""
    from transformers import BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_blip(folder: Path, kind: str) -> Any:
    """Save a tiny BLIP of that class and its processor; return the model."""
    import torch
    from transformers import BlipConfig, BlipImageProcessor, BlipProcessor, models

    torch.set_num_threads(1)
    tokenizer = save_words(folder)
    torch.manual_seed(5)
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "encoder_hidden_size": 32, "intermediate_size": 64,
        "projection_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 48,
        "bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id, "sep_token_id": tokenizer.sep_token_id,
    }  # fmt: skip
    config = BlipConfig(text_config=text, vision_config=_VISION, projection_dim=16, image_text_hidden_size=16)
    model = getattr(models.blip, kind)(config).eval()
    for weight in model.parameters():
        if weight.ndim > 1:  # at BLIP's own 0.02 so small a model would say nearly the same of everything
            torch.nn.init.normal_(weight, std=0.15)
    model.save_pretrained(folder)
    processor = BlipImageProcessor(size={"height": 32, "width": 32})
    BlipProcessor(processor, tokenizer).save_pretrained(folder)
    return model


def save_owl(folder: Path, version: str) -> Path:
    """Save a tiny OWL-ViT (`owlvit`, squashes pictures) or OWLv2 (`owlv2`, pads them to a square), 4 x 4 boxes."""
    import torch
    import transformers
    from transformers import CLIPTokenizer

    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    letters = [chr(letter) for letter in range(97, 123)]
    pieces = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[])
    name = {"owlvit": "OwlViT", "owlv2": "Owlv2"}[version]
    text = {
        "vocab_size": len(pieces), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 16, "bos_token_id": len(pieces) - 2,
        "eos_token_id": len(pieces) - 1, "pad_token_id": 0,
    }  # fmt: skip
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=_VISION, projection_dim=32)
    torch.manual_seed(5)
    getattr(transformers, f"{name}ForObjectDetection")(config).eval().save_pretrained(folder)
    sizes = {"size": {"height": 32, "width": 32}} | (
        {"crop_size": {"height": 32, "width": 32}} if name == "OwlViT" else {}
    )
    images = getattr(transformers, f"{name}ImageProcessor")(**sizes)
    getattr(transformers, f"{name}Processor")(images, tokenizer).save_pretrained(folder)
    return folder


def save_grounding_dino(folder: Path) -> Path:
    """Save a tiny Grounding DINO with a Swin backbone and a BERT of a few words; 6 boxes."""
    import torch
    from transformers import (
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    tokenizer = save_words(folder)
    backbone = SwinConfig(
        image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2, patch_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = {
        "model_type": "bert", "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64,
    }  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, num_queries=6, encoder_layers=1, encoder_ffn_dim=64,
        encoder_attention_heads=2, decoder_layers=2, decoder_ffn_dim=64, decoder_attention_heads=2, max_text_len=32,
        num_feature_levels=4,
    )  # fmt: skip
    torch.manual_seed(5)
    GroundingDinoForObjectDetection(config).eval().save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 48, "longest_edge": 80})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    return folder
