"""The networks that a study used, from what its features and backbones say of themselves."""

from __future__ import annotations

from pathlib import Path

from emoadapt.config import load_study
from emoadapt.plugins import use_folder
from emoadapt.reporting.weights import describe_weights, find_checksums

STUDY = {
    "study": "s",
    "corpora": {"c": {"importer": "folder", "root": "a", "modalities": ["audio", "video"]}},
    "features": {"also": ["face_embedding", "sentiment"]},
}
STAND_INS = {
    "faces": {"detector": "haar"},
    "face_embedding": {"network": {"untrained": "tiny_cnn", "seed": 3}},
    "transcript": {"engine": "pocketsphinx"},
    "sentiment": {"engine": "vader"},
}


def describe(features: dict) -> dict[str, tuple[str, ...]]:
    """Role -> kind, source, state, content and licence."""
    study = load_study(STUDY | {"features": STUDY["features"] | features})
    rows = describe_weights(study, {"mtcnn": "L1"}, {"mtcnn": "sha256:1"})
    return {row["role"]: (row["kind"], row["source"], row["weights"], row["content"], row["licence"]) for row in rows}


def test_engines_with_weights_name_them_with_content_and_licence() -> None:
    assert describe({}) == {
        "face detection": ("mtcnn", "mtcnn", "pretrained", "sha256:1", "L1"),
        "face embedding": (
            "ONNX network, at 224 x 224 instead of 260 x 260",
            "enet_b2_8",
            "pretrained",
            "–",
            "see the model's page",
        ),
        "speech recognition": ("whisper", "whisper/small", "pretrained", "–", "see the model's page"),
        "sentiment": (
            "transformers",
            "cardiffnlp/twitter-xlm-roberta-base-sentiment",
            "pretrained",
            "–",
            "see the model's page",
        ),
    }


def test_a_network_at_its_own_size_needs_no_words() -> None:
    own = {"network": {"file": "enet_b2_8"}}
    assert describe({"face_embedding": own})["face embedding"][0] == "ONNX network"
    assert describe({"face_embedding": {"network": {"file": "my.onnx"}}})["face embedding"][0] == "ONNX network"


def test_engines_without_say_what_they_are() -> None:
    package = "that of its Python package, which carries it"
    assert describe(STAND_INS) == {
        "face detection": ("haar", "haar", "pretrained", "version of its package", package),
        "face embedding": ("tiny_cnn", "none (random)", "UNTRAINED", "seed 3", "–"),
        "speech recognition": ("pocketsphinx", "pocketsphinx", "pretrained", "version of its package", package),
        "sentiment": ("vader", "vader", "rules, nothing learned", "version of its package", package),
    }
    assert find_checksums(load_study(STUDY | {"features": STUDY["features"] | STAND_INS})) == {}


def test_a_corpus_as_its_own_recogniser_is_no_network() -> None:
    assert "speech recognition" not in describe({"transcript": {"engine": "corpus"}})


def test_networks_behind_what_a_backbone_reads_are_named() -> None:
    """Symptom: a vector of face embeddings was computed by a network that the report did not name."""
    backbones = {"v": {"architecture": "vector", "reads": "face_embedding"}}
    rows = describe_weights(load_study(STUDY | {"backbones": backbones, "features": {}}), {}, {})
    assert [row["role"] for row in rows] == ["face detection", "face embedding"]


def test_an_own_detector_is_described_as_it_declares(tmp_path: Path) -> None:
    """Symptom: whatever was not known by name was "pretrained", with its name as its weights."""
    (tmp_path / "detectors").mkdir()
    text = 'WEIGHTS = None\nSTATE = "rules"\nGPU = False\nHONOURS = ()\n'
    (tmp_path / "detectors/middle.py").write_text(text)
    use_folder(tmp_path)
    study = load_study(
        STUDY | {"plugins": str(tmp_path), "features": {"also": ["faces"], "faces": {"detector": "middle"}}}
    )
    (row,) = describe_weights(study, {}, {})
    use_folder(None)
    assert (row["source"], row["weights"], row["content"], row["licence"]) == (
        "middle",
        "rules, nothing learned",
        "–",
        "–",
    )


def test_seeds_of_a_backbone_from_scratch_and_of_what_it_reads_are_named() -> None:
    """Symptom: only a backbone whose section has a key `untrained` named its seed."""
    lld = {"architecture": "lld_transformer", "reads": "pase_frames", "dimension": 256, "seed": 4}
    study = STUDY | {"backbones": {"b": lld}, "features": {"pase_frames": {"weights": None, "seed": 5}}}
    rows = {row["role"]: row for row in describe_weights(load_study(study), {}, {})}
    backbone, frames = rows["backbone b"], rows["acoustic frames"]
    assert (backbone["kind"], backbone["weights"], backbone["content"]) == ("lld_transformer", "UNTRAINED", "seed 4")
    assert (frames["kind"], frames["weights"], frames["content"]) == ("PASE+", "UNTRAINED", "seed 5")
