"""Saving and loading emotion classifiers."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from emoadapt.backbones.base import load_folder
from emoadapt.backbones.speech_transformer import ARCHITECTURES, MODEL_TYPES, UntrainedBackbone, build_untrained
from emoadapt.errors import DataError, ModelError
from emoadapt.inference import classifier
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.layers.heads import ProjectedHead, TwoLayerHead
from emoadapt.layers.transformer import LAYER_WEIGHTS
from emoadapt.storage.files import replace_folder

CLASSES = ["Wut", "Glück", "neutral"]


def make_backbone(architecture: str = "wavlm", norm: str = "layer"):
    dimensions = UntrainedBackbone(hidden_size=16, layers=1, heads=2, conv_pos_groups=4, feat_extract_norm=norm)
    return build_untrained(architecture, dimensions).eval()


def save_unsealed(classifier: EmotionClassifier, folder: Path) -> None:
    """As models of anybody are, which may be edited."""
    classifier.save(folder, {})
    (folder / "contents.json").unlink()


def make_projected(architecture: str = "wavlm", norm: str = "layer") -> EmotionClassifier:
    return EmotionClassifier(make_backbone(architecture, norm), ProjectedHead(16, 8, 3, seed=1), CLASSES).eval()


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


def test_projected_head_comes_back_with_the_same_logits(tmp_path: Path) -> None:
    classifier = make_projected()
    before = torch.random.get_rng_state()
    classifier.save(tmp_path / "model", {"title": "x"})
    assert torch.equal(torch.random.get_rng_state(), before)
    loaded, audio = load_classifier(tmp_path / "model"), [torch.linspace(-0.5, 0.5, 4000)]
    with torch.no_grad():
        assert torch.equal(loaded(audio), classifier(audio))
    assert loaded.classes == tuple(CLASSES)


PIPELINES = """
import json, sys
import numpy as np
from transformers import pipeline

scores = {}
for folder in sys.argv[2:]:
    classify = pipeline("audio-classification", folder)
    scores[folder] = {row["label"]: row["score"] for row in classify(np.load(sys.argv[1]), top_k=None)}
assert "emoadapt" not in sys.modules
print(json.dumps(scores))
"""


def test_pipeline_of_transformers_gives_the_same_scores_without_this_package(tmp_path: Path) -> None:
    audio = 0.1 * np.random.default_rng(0).standard_normal(9000).astype(np.float32) + 0.02
    np.save(tmp_path / "audio.npy", audio)
    expected = {}
    for architecture, model_type in zip(ARCHITECTURES, MODEL_TYPES, strict=False):
        for norm in ("layer",) if architecture == "data2vec" else ("layer", "group"):
            classifier, folder = make_projected(architecture, norm), tmp_path / f"{architecture}.{norm}"
            if norm == "layer":
                classifier.backbone.layer_weights = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
            classifier.save(folder, {})
            config = json.loads((folder / "config.json").read_text())
            assert config["model_type"] == model_type
            assert [name.endswith("ForSequenceClassification") for name in config["architectures"]] == [True]
            with torch.no_grad():
                expected[str(folder)] = classifier([torch.from_numpy(audio)])[0].softmax(0).tolist()
    done = subprocess.run(
        [sys.executable, "-c", PIPELINES, tmp_path / "audio.npy", *expected],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    scores = json.loads(done.stdout)
    for folder, probabilities in expected.items():
        np.testing.assert_allclose([scores[folder][name] for name in CLASSES], probabilities, atol=1e-4)
    # Tiny random models hardly tell clips apart; that they differ among themselves shows that each was loaded.
    assert len({round(probabilities[0], 4) for probabilities in expected.values()}) > 3


@pytest.mark.parametrize("kind", ["backbone", "weighted", "mlp", "hf"])
def test_code_of_the_card_runs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    classifier = make_projected()
    if kind == "mlp":
        classifier.head = TwoLayerHead(16, 8, 3, seed=1)
    if kind == "weighted":
        classifier.backbone.layer_weights = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    (classifier if kind in ("mlp", "hf") else classifier.backbone).save(tmp_path, {})
    monkeypatch.chdir(tmp_path)
    audio = (3000 * np.random.default_rng(0).standard_normal(8000)).astype(np.int16).astype(np.float32) / 32768
    soundfile.write("clip.wav", audio, 16_000)
    with torch.no_grad():
        embedding = classifier.backbone([torch.from_numpy(audio)])
        scores = dict(zip(CLASSES, classifier.head(embedding)[0].softmax(0).tolist(), strict=True))
    codes = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), flags=re.DOTALL)
    names = {"audio": audio}
    for code in codes:
        exec(code.replace("\nclassify(", "\nfound = classify("), names)
    assert len(codes) == (2 if kind == "mlp" else 1)
    if kind == "hf":
        assert {row["label"]: row["score"] for row in names["found"]} == pytest.approx(scores, abs=1e-5)
    else:
        torch.testing.assert_close(names["embedding"], embedding, atol=1e-5, rtol=0)
    if kind == "mlp":
        assert capsys.readouterr().out.startswith(max(scores, key=scores.__getitem__))


def test_stage_one_model_is_no_classifier(tmp_path: Path) -> None:
    make_backbone().save(tmp_path, {})
    with pytest.raises(ModelError, match="no emotion classifier"):
        load_classifier(tmp_path)


def test_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing does not exist; "):
        load_classifier(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"problem_type": "multi_label_classification"}, "is a model for multi_label_classification"),
        (
            AutoConfig.for_model("roberta").to_dict(),
            "is a roberta model; only those with the parts of wav2vec 2.0, and",
        ),
        (
            AutoConfig.for_model("bert").to_dict(),
            "is a bert model; only those with the parts of wav2vec 2.0, and Whisper, can be used",
        ),
    ],
)
def test_classifiers_of_another_kind_are_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    save_unsealed(make_projected(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    kept = {"architectures": config["architectures"]} if "model_type" in values else config
    (tmp_path / "config.json").write_text(json.dumps(kept | {name: value for name, value in values.items() if value}))
    with pytest.raises(ModelError, match=message):
        load_classifier(tmp_path)


def edit_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_probabilities_of_outputs_of_one_name_are_added(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_unsealed(make_projected(), tmp_path)
    audio = [torch.linspace(-0.5, 0.5, 4000), torch.linspace(0, 0.1, 2500)]
    with torch.no_grad():
        first, second, third = load_classifier(tmp_path)(audio).softmax(dim=1).T
    edit_config(tmp_path, id2label={"0": "happy", "1": "sad", "2": " Happy"})
    loaded = load_classifier(tmp_path)
    assert loaded.classes == ("happy", "sad")
    with torch.no_grad():
        torch.testing.assert_close(loaded(audio).softmax(dim=1).T, torch.stack([first + third, second]))
    assert caplog.messages == [
        f"{tmp_path} has several outputs of one name, whose probabilities are added (happy: 0, 2)"
    ]


def test_classes_of_an_own_head_that_have_one_name_are_added(tmp_path: Path) -> None:
    save_unsealed(EmotionClassifier(make_backbone(), TwoLayerHead(16, 8, 3, seed=1), CLASSES), tmp_path)
    audio = [torch.linspace(-0.5, 0.5, 4000)]
    with torch.no_grad():
        before = load_classifier(tmp_path)(audio)[0].softmax(dim=0)
    (tmp_path / "classes.json").write_text(json.dumps(["a", "b", "b"]))
    with torch.no_grad():
        after = load_classifier(tmp_path)(audio)[0].softmax(dim=0)
    torch.testing.assert_close(after, torch.stack([before[0], before[1] + before[2]]))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"problem_type": "regression", "id2label": {"0": "arousal", "1": "Arousal", "2": "valence"}}, "arousal: 0, 1"),
        ({"id2label": {"0": "x", "1": "X", "2": "x "}}, "x: 0, 1, 2"),
    ],
)
def test_outputs_that_cannot_be_distinguished_are_refused(tmp_path: Path, values: dict[str, Any], found: str) -> None:
    save_unsealed(make_projected(), tmp_path)
    edit_config(tmp_path, **values)
    with pytest.raises(ModelError, match=rf"several outputs of one name \({found}\).*`id2label` of config\.json"):
        load_classifier(tmp_path)


def test_one_output_without_a_problem_is_a_rating_as_in_transformers(tmp_path: Path) -> None:
    save_unsealed(EmotionClassifier(make_backbone(), ProjectedHead(16, 8, 1, seed=1), ["valence"]), tmp_path)
    edit_config(tmp_path, problem_type=None)
    loaded = load_classifier(tmp_path)
    assert (loaded.classes, loaded.attributes) == ((), ("valence",))


def test_models_of_others_may_be_pickled(tmp_path: Path) -> None:
    """Symptom: of models that have no model.safetensors the head was said to be damaged."""
    classifier, audio = make_projected(), [torch.linspace(-0.5, 0.5, 4000)]
    save_unsealed(classifier, tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with torch.no_grad():
        assert torch.equal(load_classifier(tmp_path)(audio), classifier(audio))
    torch.save({"projector.weight": print}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"the head of .* cannot be read .*[Ww]eights.only"):
        load_classifier(tmp_path)


def test_weighted_layers_come_back_from_the_weights_of_transformers_alone(tmp_path: Path) -> None:
    """superb/wav2vec2-base-superb-er and its like: the last layer alone would give other labels, silently."""
    classifier, audio = make_projected(), [torch.linspace(-0.5, 0.5, 4000)]
    with torch.no_grad():
        last = classifier(audio)
        classifier.backbone.layer_weights = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
        save_unsealed(classifier, tmp_path)
        (tmp_path / LAYER_WEIGHTS).unlink()
        found = load_classifier(tmp_path)(audio)
        assert torch.equal(found, classifier(audio))
    assert (found - last).abs().max() > 1e-3
    assert "weighted mean of the transformer's input and all layers" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(("file", "content"), [("head.safetensors", b"cut"), ("classes.json", b'["Wut", "Gl')])
def test_damaged_head_is_named(tmp_path: Path, file: str, content: bytes) -> None:
    save_unsealed(EmotionClassifier(make_backbone(), TwoLayerHead(16, 8, 3, seed=1), CLASSES), tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ModelError, match=r"the head of .* cannot be read"):
        load_classifier(tmp_path)


def test_a_folder_that_is_not_the_model_names_the_one_that_is(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(ModelError, match=r"models is empty: no model was kept; set keep_models: best"):
        load_classifier(tmp_path / "models")
    for name in ("r0f0s1", "r0f0s0"):
        (tmp_path / "models" / name).mkdir()
        (tmp_path / "models" / name / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"holds models; name one of its folders: r0f0s0, r0f0s1"):
        load_classifier(tmp_path / "models")


@pytest.fixture
def replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that a run replaces by `new` when its head has been read."""
    old = make_projected()
    old.backbone.layer_weights = torch.nn.Parameter(torch.ones(2))
    old.save(tmp_path / "model", {"title": "old"})
    EmotionClassifier(make_backbone(), TwoLayerHead(16, 8, 2, seed=1), ["new", "newer"]).save(
        tmp_path / "new", {"title": "new"}
    )
    load = classifier.load_folder

    def load_late(folder: Path, **settings: Any) -> Any:
        if (tmp_path / "new").is_dir():
            replace_folder(tmp_path / "new", folder)
        elif (tmp_path / "deleted").is_dir():
            shutil.rmtree(folder, ignore_errors=True)
        return load(folder, **settings)

    monkeypatch.setattr(classifier, "load_folder", load_late)
    return tmp_path / "model"


def test_a_model_that_is_replaced_while_it_is_read_is_the_new_one_whole(replaced: Path) -> None:
    """Symptom: the head of the old model on the backbone of the new one."""
    loaded = load_classifier(replaced)
    assert loaded.classes == ("new", "newer") and isinstance(loaded.head, TwoLayerHead)
    assert loaded.backbone.layer_weights is None


def test_a_model_that_is_deleted_while_it_is_read_is_refused(replaced: Path, tmp_path: Path) -> None:
    (tmp_path / "new").rename(tmp_path / "deleted")
    with pytest.raises(ModelError, match=r"model does not exist; |model was replaced while it was read"):
        load_classifier(replaced)


@pytest.mark.parametrize("head", ["hf", "mlp"])
def test_a_model_of_which_a_bit_was_flipped_is_refused(tmp_path: Path, head: str) -> None:
    """Symptom: one exponent bit of a saved model, other tables, exit status 0."""
    folder = tmp_path / "model"
    own = EmotionClassifier(make_backbone(), TwoLayerHead(16, 8, 2, seed=1), ["a", "b"])
    (make_projected() if head == "hf" else own).save(folder, {"title": "x"})
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "README.md"}
    assert {"contents.json", "config.json", "model.safetensors"} <= set(files)
    assert ("head.safetensors" in files) == (head == "mlp")
    for name, content in files.items():
        middle = len(content) // 2
        (folder / name).write_bytes(content[:middle] + bytes([content[middle] ^ 64]) + content[middle + 1 :])
        sentence = (
            rf"{name} is not what was written.*; copy the whole folder .*model again, or delete it and run again; if"
        )
        with pytest.raises(DataError, match=sentence):
            load_classifier(folder)
        with pytest.raises(DataError, match=sentence):
            load_folder(folder, origin="x", trained=True)
        (folder / name).write_bytes(content)
    (folder / "layer_weights.safetensors").write_bytes(b"x")
    with pytest.raises(DataError, match=r"layer_weights\.safetensors was added"):
        load_classifier(folder)
    (folder / "layer_weights.safetensors").unlink()
    (folder / "README.md").write_text("Edited by hand.")
    (folder / "clip.wav").write_bytes(b"x")
    load_classifier(folder)
    # As from the hub, or of an older version.
    (folder / "contents.json").unlink()
    load_classifier(folder)
