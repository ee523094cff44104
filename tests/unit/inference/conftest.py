"""A tiny classifier, and recordings to judge."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.inference.classifier import EmotionClassifier
from emoadapt.layers.heads import build_head

CLASSES = ["calm", "angry", "glad"]


def make_classifier(architecture: str = "wav2vec2", norm: str = "layer", head: str = "hf", seed: int = 0):
    dimensions = UntrainedBackbone(
        conv_dim=(16, 16), conv_kernel=(20, 16), conv_stride=(20, 8), hidden_size=16, layers=1, heads=2,
        intermediate_size=16, conv_pos_kernel=4, conv_pos_groups=4, feat_extract_norm=norm, seed=seed,
    )  # fmt: skip
    classifier = EmotionClassifier(build_untrained(architecture, dimensions), build_head(head, 16, 8, 3, seed), CLASSES)
    # Biases start at zero, and tiny random models say the same of every clip: make them tell clips apart.
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, parameter in classifier.named_parameters():
            parameter.mul_(1.5) if name.endswith("weight") else parameter.normal_(std=0.5)
    return classifier.eval()


def write_noise(path: Path, seconds: float, seed: int = 0, rate: int = 16_000) -> Path:
    """Noise whose loudness and colour change with the seed."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(round(seconds * rate))
    coloured = np.convolve(noise, np.ones(1 + seed % 7) / (1 + seed % 7), mode="same")
    soundfile.write(path, (0.05 * (1 + seed % 3) * coloured).astype(np.float32), rate)
    return path


@pytest.fixture
def classifier() -> EmotionClassifier:
    return make_classifier()
