"""Small text encoders in the format of `transformers`, with a tokenizer, as people publish them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoConfig, AutoModel, BertTokenizerFast, DistilBertTokenizerFast, RobertaTokenizerFast

WORDS = ("kids", "dogs", "are", "sitting", "by", "the", "door", "talking", "a", "##nd", "so", "happy")
TEXTS = (
    "Kids are talking by the door",
    "dogs",
    "Dogs and kids are sitting by the door, so happy!",
    "the dogs are so so happy",
)
POSITIONS = 24
"""Of BERT and DistilBERT; RoBERTa's configuration states two more, which hold no token."""
SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}


def save_encoder(folder: Path, model_type: str = "bert") -> Path:
    """An encoder whose weights are large enough that every token counts."""
    folder.mkdir(parents=True)
    tokenizer = _make_bytes(folder) if model_type == "roberta" else _make_words(folder, model_type)
    tokenizer.save_pretrained(folder)
    inner = {"hidden_dim": 32} if model_type == "distilbert" else {"intermediate_size": 32}
    positions = POSITIONS + (2 if model_type == "roberta" else 0)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        max_position_embeddings=positions,
        initializer_range=0.4,
        **inner,
        **SMALL,
    )
    config.pad_token_id = tokenizer.pad_token_id
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def _make_words(folder: Path, model_type: str) -> Any:
    file = folder / "words.txt"
    file.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ",", "!"]))
    kind = DistilBertTokenizerFast if model_type == "distilbert" else BertTokenizerFast
    tokenizer = kind(vocab=str(file), model_max_length=POSITIONS)
    file.unlink()
    return tokenizer


def _make_bytes(folder: Path) -> Any:
    """With a position for each token: `model_max_length` is not stated, as in many published folders."""
    pieces = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces.train_from_iterator([text for text in TEXTS * 9], vocab_size=300, special_tokens=special)
    pieces.save_model(str(folder))
    return RobertaTokenizerFast(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
