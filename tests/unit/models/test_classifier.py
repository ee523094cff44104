"""Saving and loading emotion classifiers."""

import json
from pathlib import Path

import pytest
import torch

from emoadapt.config import UntrainedBackbone
from emoadapt.errors import ModelError
from emoadapt.models.backbones import build_untrained
from emoadapt.models.classifier import EmotionClassifier, load_classifier
from emoadapt.models.heads import TwoLayerHead


def make_backbone():
    return build_untrained("wavlm", UntrainedBackbone(hidden_size=16, layers=1, heads=2, conv_pos_groups=4)).eval()


def test_comes_back_with_the_same_logits(tmp_path: Path) -> None:
    classifier = EmotionClassifier(make_backbone(), TwoLayerHead(16, 8, 2, seed=1), ["Wut", "Glück"]).eval()
    classifier.save(tmp_path / "model", {"title": "x"})
    audio = [torch.linspace(-0.5, 0.5, 4000), torch.linspace(0, 0.1, 2500)]
    loaded = load_classifier(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(loaded(audio), classifier(audio))
    assert loaded.classes == ("Wut", "Glück")
    assert json.loads((tmp_path / "model" / "classes.json").read_text()) == ["Wut", "Glück"]
    assert "| classes | Wut, Glück |" in (tmp_path / "model" / "README.md").read_text()


def test_stage_one_model_is_no_classifier(tmp_path: Path) -> None:
    make_backbone().save(tmp_path, {})
    with pytest.raises(ModelError, match="no emotion classifier"):
        load_classifier(tmp_path)
