"""Keys that no training would read are refused."""

from __future__ import annotations

from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.errors import ConfigError

SPEECH = {"architecture": "wav2vec2", "untrained": {}}
FROZEN = SPEECH | {"train_layers": 0}
TEXT = {"architecture": "bert", "untrained": {}}
VECTOR = {"architecture": "vector", "reads": "egemaps"}


def make_study(backbones: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "study": "idle",
        "corpora": {"c": {"importer": "folder", "root": "."}},
        "features": {"transcript": {"engine": "whisper"}, "text_tokens": {"model": "m"}},
        "backbones": backbones,
        "tasks": {"t": {"corpus": "c", "classes": ["x", "y"], "split": {"by": "fractions"}}},
    } | changes


@pytest.mark.parametrize("key", ["max_seconds", "batch_seconds"])
@pytest.mark.parametrize("backbone", [TEXT, VECTOR])
def test_seconds_of_a_stream_without_time_are_refused(key: str, backbone: dict[str, Any]) -> None:
    """Symptom: 30 seconds of tokens were all clips in one batch, and a crop of a text was ignored."""
    said = rf"finetunings\.f\.{key}: \w+, the first that backbone b reads, has no seconds; remove the key, or name other backbones in f"
    with pytest.raises(ConfigError, match=said):
        load_study(make_study({"b": backbone}, finetunings={"f": {key: 30.0}}))
    load_study(make_study({"b": backbone, "a": SPEECH}, finetunings={"f": {key: 30.0, "backbones": ["a"]}, "g": {}}))


def test_seconds_are_those_of_the_first_part_of_a_fusion() -> None:
    """Symptom: with the text first, `max_seconds` cropped no audio."""
    parts = {"a": SPEECH, "b": TEXT}
    study = {of: make_study(parts | {"j": {"architecture": "fusion", "of": dict(of)}}) for of in
             ((("audio", "a"), ("text", "b")), (("text", "b"), ("audio", "a")))}  # fmt: skip
    audio, text = (found | {"finetunings": {"f": {"max_seconds": 3.0}}} for found in study.values())
    load_study(audio)
    with pytest.raises(
        ConfigError, match="backbone j reads, has no seconds; remove the key, or name a part that reads"
    ):
        load_study(text)


def test_seconds_of_stage_1_are_refused_alike() -> None:
    adaptation = {"corpora": ["c"], "objectives": {"egemaps": 1.0}, "batch_seconds": 30.0}
    with pytest.raises(ConfigError, match=r"adaptations\.one\.batch_seconds: text_tokens, the first that backbone b"):
        load_study(make_study({"b": TEXT}, adaptations={"one": adaptation}))


@pytest.mark.parametrize(("key", "value"), [("learning_rate_factor", 0.5), ("cnn", "both"), ("cnn", "stage1")])
def test_what_would_train_a_frozen_backbone_is_refused(key: str, value: Any) -> None:
    """Unless Stage 1 trains layers of it."""
    backbones = {"a": FROZEN | {key: value}}
    with pytest.raises(
        ConfigError, match=rf"backbones\.a\.{key}: train_layers: 0 leaves nothing of the model to train"
    ):
        load_study(make_study(backbones))
    stage_1 = {"corpora": ["c"], "objectives": {"egemaps": 1.0}, "train_layers": 1}
    load_study(make_study(backbones, adaptations={"one": stage_1}))
