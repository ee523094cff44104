"""Text encoders of `transformers`, such as BERT (Devlin et al. 2019).

The others are RoBERTa (Liu et al. 2019), XLM-RoBERTa, DistilBERT, ELECTRA and MPNet. MiniLM is a BERT by its form. They read `text_tokens`, whose `model` must be that of the backbone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from emoadapt.data.streams import Stream
from emoadapt.errors import ModelError
from emoadapt.layers.settings import TransformerSettings, UntrainedTransformer

if TYPE_CHECKING:
    from emoadapt.layers.text import TextBackbone

ARCHITECTURES = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "mpnet")
MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "mpnet")
LOADED_BY = "transformers"
NOTICE = ""


class UntrainedText(UntrainedTransformer):
    """Dimensions of a seeded, randomly initialised text encoder."""

    vocabulary: int = Field(30_522, ge=8)
    """Tokens of the tokenizer: 30,522 of BERT's English one."""
    positions: int = Field(512, ge=8)
    """Most tokens of a text."""


class Config(TransformerSettings):
    """A text encoder of `transformers`, which reads `text_tokens`."""

    architecture: Literal["bert", "roberta", "xlm-roberta", "distilbert", "electra", "mpnet"]
    untrained: UntrainedText | None = None
    """Dimensions of a randomly initialised model, named as untrained in every table."""

    @property
    def streams(self) -> dict[str, Stream]:
        """Tokens."""
        return {"tokens": Stream("text_tokens", "text_tokens", "tokens")}


def load(config: Config, models_dir: Path, source: Path | None = None) -> TextBackbone:
    """Load a backbone, set up as a study wants it; arguments and errors as those of `base.load_backbone`."""
    from emoadapt.layers.transformer import load_configured

    return load_configured(config, models_dir, source, lambda: _build(config))


def load_folder(folder: Path, architecture: str | None, *, origin: str, trained: bool) -> TextBackbone:
    """Load a folder in Hugging Face format; arguments and errors as those of `base.load_folder`."""
    from emoadapt.layers.transformer import quiet_transformers
    from emoadapt.transcription.encoders import load_encoder

    if architecture == "auto":
        raise ModelError(f"{origin} is a text encoder, `auto` loads speech models; name its architecture")
    with quiet_transformers():
        model, left_out = load_encoder(folder, origin)
    found = model.config.model_type
    if architecture not in (None, found):
        raise ModelError(
            f"{origin} is a {found} model, the configuration says {architecture}; change `architecture` or `weights`"
        )
    backbone = _wrap(model, origin, trained).restore(folder).keep_tokenizer(folder)
    backbone.notes = [f"Not used of the weights: {', '.join(left_out)}."] if left_out else []
    return backbone


def _build(config: Config) -> TextBackbone:
    assert config.untrained is not None  # TransformerSettings requires weights otherwise
    from transformers import AutoConfig, AutoModel

    from emoadapt.layers.heads import seeded
    from emoadapt.transcription.tokens import AFTER_PADDING

    shape, kind = config.untrained, config.architecture
    values: dict[str, Any] = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
    }
    if kind == "distilbert":
        values |= {"hidden_dim": shape.intermediate_size, "dropout": shape.dropout, "attention_dropout": shape.dropout}
    else:
        values |= {
            "intermediate_size": shape.intermediate_size,
            "hidden_dropout_prob": shape.dropout,
            "attention_probs_dropout_prob": shape.dropout,
        }
    if kind == "electra":
        values["embedding_size"] = shape.hidden_size
    dimensions = AutoConfig.for_model(kind, **values)
    taken = dimensions.pad_token_id + 1 if kind in AFTER_PADDING else 0
    dimensions.max_position_embeddings = shape.positions + taken
    with seeded(shape.seed):
        model = AutoModel.from_config(dimensions)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return _wrap(model, config.origin, trained=False)


def _wrap(model: Any, origin: str, trained: bool) -> TextBackbone:
    """The model behind the interface of all backbones."""
    from emoadapt.layers.text import TextBackbone

    return TextBackbone(model, "text_transformer", origin=origin, trained=trained)
