"""Facial-expression embedding, averaged over the clip (Goncalves & Busso 2025, III-C)."""

from __future__ import annotations

import pyarrow as pa
from pydantic import Field

from emoadapt import schema
from emoadapt.faces.network_settings import OnnxNetwork, UntrainedNetwork, find_native_size
from emoadapt.features.base import Context, Extractor, FeatureSection, Network

INPUTS = ("faces",)
TERMS = None
CHUNK_ROWS = 8
JOB = {"memory_mb": 4000, "minutes": 240}

TABLE = schema.make_feature_table(
    schema.column("face_embedding", pa.list_(pa.float32()), "(dimension of the model,) mean over frames with a face"),
    schema.column("n_frames", pa.int32(), "frames averaged"),
)


class Config(FeatureSection):
    """Facial-expression embedding of the crops."""

    network: OnnxNetwork | UntrainedNetwork = OnnxNetwork(file="enet_b2_8", input_size=224)
    """The network. The paper's is HSEmotion's EfficientNet-B2 of AffectNet, at 224 x 224, and its 1,408-D vector before the
    classifier. HSEmotion itself uses 260 x 260: name `file: enet_b2_8` alone, and `features.faces.crop_size: 260`."""
    batch_size: int = Field(16, ge=1)

    def describe_network(self) -> Network:
        """The configured one."""
        if isinstance(self.network, UntrainedNetwork):
            return Network("face embedding", self.network.untrained, "untrained", seed=self.network.seed)
        side, native = self.network.input_size, find_native_size(self.network.file)
        kind = "ONNX network" + (
            f", at {side} x {side} instead of {native} x {native}" if native not in (None, side) else ""
        )
        return Network("face embedding", kind, "pretrained", self.network.file)

    def list_idle_keys(self) -> set[str]:
        """How many crops are embedded at once."""
        return {"batch_size"}

    def describe_rows(self) -> str:
        """See `FeatureSection`: an input that is assumed is the same as one that is declared."""
        network = self.network.resolve() if isinstance(self.network, OnnxNetwork) else self.network
        return self.model_copy(update={"network": network}).model_dump_json(exclude=self.list_idle_keys())

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
