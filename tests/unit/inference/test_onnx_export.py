"""The ONNX file computes what torch computes, or is not written."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from emoadapt.errors import ConfigError, ModelError
from emoadapt.inference import onnx_export
from emoadapt.inference.classifier import EmotionClassifier
from emoadapt.inference.onnx_export import TOLERANCE, compare, export_onnx, print_comparisons
from emoadapt.layers.heads import MergedHead

from .conftest import CLASSES, make_classifier

FAMILIES = [
    ("wav2vec2", "group", "mlp"),
    ("hubert", "layer", "hf"),
    ("wavlm", "layer", "hf"),
    ("data2vec", "layer", "mlp"),
    ("hubert", "group", "challenge"),
]


@pytest.mark.parametrize(("architecture", "norm", "head"), FAMILIES)
def test_file_gives_the_logits_of_torch(
    architecture: str, norm: str, head: str, tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, file = make_classifier(architecture, norm, head), tmp_path / "new" / "model.onnx"
    names = ["model.onnx"]
    if head == "hf":
        classifier.backbone.layer_weights = torch.nn.Parameter(torch.tensor([0.5, -1.0]))
    if head == "hf" and architecture == "hubert":
        monkeypatch.setattr(onnx_export, "_LARGEST_FILE", 1000)
        names += ["model.onnx.data"]
    if architecture == "data2vec":  # lengthening of short clips stays outside of the file
        classifier.backbone.model.config.emoadapt_padding = {"seconds": 0.3, "mode": "silence"}
    single = classifier
    if architecture == "wavlm":
        merged = MergedHead(classifier.head, [(0, 2), (1,)])
        classifier = EmotionClassifier(classifier.backbone, merged, ["calm", "angry"]).eval()
    found = export_onnx(classifier, file)
    assert sorted(path.name for path in file.parent.iterdir()) == names
    shortest = 4800 if architecture == "data2vec" else classifier.backbone.receptive_field
    assert {16_000, 52_800, 160_000} < {comparison.n_samples for comparison in found}
    assert min(comparison.n_samples for comparison in found) == shortest
    assert len(found) == (8 if architecture == "data2vec" else 10)
    assert max(comparison.difference for comparison in found) < TOLERANCE
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert json.loads(metadata["labels"]) == (["calm", "angry"] if architecture == "wavlm" else CLASSES)
    assert (metadata["sampling_rate"], metadata["min_samples"]) == ("16000", str(shortest))
    # A length and a batch that the export itself has not compared.
    audio = 0.05 * np.random.default_rng(3).standard_normal((2, 7777)).astype(np.float32) + 0.01
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"audio": audio})
    with torch.no_grad():
        expected = torch.cat([classifier([torch.from_numpy(clip)]) for clip in audio])
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities, expected.softmax(1), atol=1e-5)
    if architecture == "wavlm":
        with torch.no_grad():
            calm, angry, glad = single([torch.from_numpy(audio[0])])[0].softmax(0).tolist()
        np.testing.assert_allclose(probabilities[0], [calm + glad, angry], atol=1e-5)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    assert "torchvision" not in capfd.readouterr().err
    if architecture == "wav2vec2":
        check_refusal(file, tmp_path)


def check_refusal(file: Path, folder: Path) -> None:
    """A graph of other weights is found out, and not written; with a graph that is there, as tracing costs seconds."""
    other = make_classifier("wav2vec2", "group", "mlp", seed=1)
    assert max(comparison.difference for comparison in compare(other, file)) > TOLERANCE
    with pytest.MonkeyPatch.context() as patch:
        program = SimpleNamespace(
            model=SimpleNamespace(metadata_props={}), save=lambda draft, external_data: shutil.copy(file, draft)
        )
        patch.setattr(onnx_export, "_trace", lambda *_: program)
        with pytest.raises(ModelError, match=r"wav2vec2 model gives logits up to .* nothing was written"):
            export_onnx(other, folder / "wrong" / "model.onnx")
    assert list((folder / "wrong").iterdir()) == []


def test_model_that_torch_cannot_export_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_, **__):
        raise torch.onnx.OnnxExporterError("no operator for x\nand a long report")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(
        ModelError, match=r"cannot export this wavlm model to ONNX \(no operator for x\); use it with torch"
    ):
        export_onnx(make_classifier("wavlm"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_place_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "_trace", lambda *_: SimpleNamespace(model=SimpleNamespace(metadata_props={})))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/model\.onnx cannot be written \(File exists\); name another file"):
        export_onnx(make_classifier(), tmp_path / "file" / "model.onnx")


def test_table_ends_with_the_worst_difference(capsys) -> None:
    print_comparisons([onnx_export.Comparison(1, 1600, 2e-7), onnx_export.Comparison(3, 16_000, 5e-6)])
    assert capsys.readouterr().out.splitlines() == [
        "clips  samples  seconds  largest difference of a logit",
        "    1     1600     0.10  2.0e-07",
        "    3    16000     1.00  5.0e-06",
        "largest 5.0e-06, allowed 0.001",
    ]
