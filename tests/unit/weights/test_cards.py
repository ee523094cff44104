"""What a model card claims."""

from pathlib import Path

import pytest

from emoadapt.config import Features, load_study
from emoadapt.objectives.base import load_objective
from emoadapt.weights.cards import list_terms, write_card


def write(folder: Path, facts: dict, origin: str, trained: bool, notice: str = "", **options: str) -> str:
    write_card(folder, facts, origin=origin, trained=trained, library="transformers", notice=notice, **options)
    return (folder / "README.md").read_text()


def test_pretrained_names_its_base_and_licence(tmp_path: Path) -> None:
    card = write(tmp_path, {"title": "x"}, "facebook/hubert-base-ls960", True)
    assert "base_model: facebook/hubert-base-ls960" in card
    assert "| starting weights | `facebook/hubert-base-ls960` (pretrained) |" in card
    assert "Licence of `facebook/hubert-base-ls960`: Apache-2.0." in card


def test_weights_of_ones_own_are_no_base_that_others_could_look_up(tmp_path: Path) -> None:
    for origin in ("./mine", "/mine", "/data/models/mine"):
        assert "base_model" not in write(tmp_path, {}, origin, True)


def test_a_card_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    facts = {"targets": {"face": "/home/jane/nets/enet.onnx on faces found by mtcnn"}, "corpora": ["/srv/jane/speech"]}
    card = write(tmp_path, facts, "/home/jane/models/mine", True)
    assert "jane" not in card
    assert "`.../mine` (pretrained)" in card and "face: .../enet.onnx on faces found by mtcnn" in card


def test_names_of_classes_are_text(tmp_path: Path) -> None:
    card = write(tmp_path, {"classes": ["<script>alert(1)</script>", "a|b", "joy & fun"]}, "a/b", True)
    assert "| classes | &lt;script&gt;alert(1)&lt;/script&gt;, a\\|b, joy &amp; fun |" in card
    assert "<script" not in card


def test_untrained_says_so_and_names_no_base(tmp_path: Path) -> None:
    card = write(tmp_path, {}, "randomly initialised (seed 0)", False)
    assert "not pretrained" in card
    assert "base_model" not in card
    assert "Licence of" not in card


def test_notice_of_a_family_goes_with_trained_weights_alone(tmp_path: Path) -> None:
    """Symptom: any model that emoadapt alone loads was said to be licensed as AV-HuBERT is."""
    assert "* Cite us." in write(tmp_path, {}, "a/b", True, notice="Cite us.")
    assert "Cite us" not in write(tmp_path, {}, "randomly initialised (seed 0)", False, notice="Cite us.")
    write_card(tmp_path, {}, origin="a/b", trained=True, library="emoadapt", notice="")
    assert "AV-HuBERT" not in (tmp_path / "README.md").read_text()


def test_a_pooling_is_named(tmp_path: Path) -> None:
    assert "is the mean of the last layer over time" in write(tmp_path, {}, "a/b", True)
    card = write(tmp_path, {}, "a/b", True, pooling="attentive_statistics")
    assert "is the last layer, pooled over time by `attentive_statistics`" in card


def test_no_pipeline_is_promised_that_would_invent_a_head(tmp_path: Path) -> None:
    """`pipeline("audio-classification", folder)` puts random weights where ours stand in head.safetensors."""
    for facts in ({}, {"classes": ("low", "high"), "head": "mlp"}):
        card = write(tmp_path, facts, "a/b", True)
        assert "pipeline_tag: feature-extraction" in card
        assert ("head.safetensors" in card) is bool(facts)
    assert "pipeline_tag: audio-classification" in write(
        tmp_path, {"classes": ("low", "high"), "head": "hf"}, "a/b", True
    )


def test_terms_of_corpora_and_targets_are_named(tmp_path: Path) -> None:
    corpora = {"acted": {"importer": "ravdess", "root": "."}, "mine": {"importer": "folder", "root": "."}}
    study = load_study({"study": "x", "corpora": corpora})
    terms = list_terms(study, ["acted", "mine", "acted"], ["energy", "face", "sentiment"])
    assert [term.split(":")[0] for term in terms] == [
        "Corpus acted", "Corpus mine", "Targets of energy", "Targets of face", "Targets of sentiment",
    ]  # fmt: skip
    assert "openSMILE" in terms[2], "what is loud is an eGeMAPS descriptor, too"
    assert "AffectNet, which is for research only" in terms[3]
    assert "cardiffnlp/twitter-xlm-roberta-base-sentiment, whose licence is not stated" in terms[4]
    card = write(tmp_path, {"licences": terms}, "a/b", True)
    assert "* Corpus acted: CC BY-NC-SA 4.0, non-commercial." in card
    assert "| licences |" not in card


@pytest.mark.parametrize(
    ("values", "engines"),
    [
        (
            {},
            {
                "egemaps": "openSMILE eGeMAPSv02 (paper_pitch60 windows)",
                "sentiment": "cardiffnlp/twitter-xlm-roberta-base-sentiment on transcripts of Whisper small",
                "face": "enet_b2_8 on faces found by mtcnn",
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
