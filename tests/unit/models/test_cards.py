"""What a model card claims."""

from pathlib import Path

import pytest

from emoadapt.config import Features
from emoadapt.models.cards import write_card
from emoadapt.objectives import load_objective


def write(folder: Path, facts: dict, origin: str, trained: bool) -> str:
    write_card(folder, facts, origin=origin, trained=trained)
    return (folder / "README.md").read_text()


def test_pretrained_names_its_base_and_licence(tmp_path: Path) -> None:
    card = write(tmp_path, {"title": "x"}, "facebook/hubert-base-ls960", True)
    assert "base_model: facebook/hubert-base-ls960" in card
    assert "| starting weights | `facebook/hubert-base-ls960` (pretrained) |" in card
    assert "Licence of `facebook/hubert-base-ls960`: Apache-2.0." in card


def test_untrained_says_so_and_names_no_base(tmp_path: Path) -> None:
    card = write(tmp_path, {}, "randomly initialised (seed 0)", False)
    assert "not pretrained" in card
    assert "base_model" not in card
    assert "Licence of" not in card


def test_no_pipeline_is_promised_that_would_invent_a_head(tmp_path: Path) -> None:
    """`pipeline("audio-classification", folder)` puts random weights where ours stand in head.safetensors."""
    for facts in ({}, {"classes": ("low", "high")}):
        card = write(tmp_path, facts, "a/b", True)
        assert "pipeline_tag: feature-extraction" in card
        assert ("head.safetensors" in card) is bool(facts)


@pytest.mark.parametrize(
    ("values", "engines"),
    [
        (
            {},
            {
                "egemaps": "openSMILE eGeMAPSv02 (paper windows)",
                "sentiment": "cardiffnlp/twitter-xlm-roberta-base-sentiment on transcripts of Whisper small",
                "face": "enet_b2_8/enet_b2_8_embedding.onnx on faces found by mtcnn",
            },
        ),
        (
            {
                "faces": {"detector": "haar"},
                "face_embedding": {"network": {"untrained": "tiny_cnn"}},
                "transcript": {"engine": "corpus"},
                "sentiment": {"engine": "vader"},
            },
            {
                "sentiment": "vader on transcripts of the corpus",
                "face": "an untrained network on faces found by haar",
            },
        ),
    ],
)
def test_targets_are_named_with_what_made_them(values: dict, engines: dict[str, str]) -> None:
    features = Features.model_validate(values)
    for name, engine in engines.items():
        assert load_objective(name).name_engine(features) == engine
