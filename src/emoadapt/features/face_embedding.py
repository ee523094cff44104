"""Facial-expression embedding, averaged over the clip (Goncalves & Busso 2025, III-B)."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from emoadapt import schema
from emoadapt.config.base import Section
from emoadapt.features.base import Context, Extractor, FeatureSection, Network
from emoadapt.weights.registry import find_entry

INPUTS = ("faces",)
LIBRARIES = ("onnxruntime-gpu", "opencv-python-headless")
TERMS = None
CHUNK_ROWS = 8
JOB = {"memory_mb": 4000, "minutes": 240}

TABLE = schema.make_feature_table(
    schema.column("face_embedding", pa.list_(pa.float32()), "(dimension of the model,) mean over frames with a face"),
    schema.column("n_frames", pa.int32(), "frames averaged"),
)


class OnnxNetwork(Section):
    """An ONNX network and its input. For a registered network the registry has the defaults."""

    file: str
    """ONNX file, relative to `models_dir`, or the registry's name for it."""
    input_size: int = Field(224, ge=16, le=1024)
    """Side of the square input in pixels."""
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    """Channel order of the input (batch, channels, size, size)."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Per channel, subtracted from pixels scaled to [0, 1]."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Per channel, divided by."""
    output: str | None = None
    """Name of the tensor with the embedding, (batch, dimension). null: the input of the network's last linear layer, the classifier."""

    @model_validator(mode="before")
    @classmethod
    def _registered(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        entry = find_entry(str(values.get("file")))
        known = {**entry.network, **values} if entry else values
        # Strict types take a list for a tuple only where it comes straight from JSON.
        return {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}

    @model_validator(mode="after")
    def _channels(self) -> OnnxNetwork:
        channels = 1 if self.colour == "grey" else 3
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(f"colour {self.colour} needs {channels} value(s) in mean and in std")
        return self


class UntrainedNetwork(Section):
    """A small seeded convolutional network without training: for the demo and for trials only."""

    untrained: Literal["tiny_cnn"]
    seed: int = Field(0, ge=0)
    dimension: int = Field(64, ge=4, le=2048)
    input_size: int = Field(64, ge=32, le=224)


class Config(FeatureSection):
    """Facial-expression embedding of the crops."""

    network: OnnxNetwork | UntrainedNetwork = OnnxNetwork(file="enet_b2_8", input_size=260)
    """The network; the paper's is HSEmotion's EfficientNet-B2 of AffectNet, the 1,408-D vector before its classifier."""
    batch_size: int = Field(16, ge=1)

    def describe_network(self) -> Network:
        """The configured one."""
        if isinstance(self.network, UntrainedNetwork):
            return Network("face embedding", self.network.untrained, "untrained", seed=self.network.seed)
        return Network("face embedding", "ONNX network", "pretrained", self.network.file)

    def list_idle_keys(self) -> set[str]:
        """How many crops are embedded at once."""
        return {"batch_size"}

    def needs_gpu(self) -> bool:
        """Yes."""
        return True


def load(config: Config, context: Context) -> Extractor:
    """Load the network.

    Raises:
        ModelError: it is missing, or not as declared.
    """
    from emoadapt.faces.embedding import FaceEmbeddingExtractor

    return FaceEmbeddingExtractor(config, context)
