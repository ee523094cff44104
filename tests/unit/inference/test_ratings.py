"""Models that rate attributes, from their folder to predictions and ONNX."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch

from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.command import run_predict
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.layers.heads import ScaledHead

from .conftest import make_classifier, write_noise

ATTRIBUTES = ("arousal", "valence", "dominance")


def make_rater(head: str) -> EmotionClassifier:
    told = make_classifier(head=head)
    scaled = ScaledHead(told.head, [50.0, 4.0, 0.5], [20.0, 1.0, 0.1])
    return EmotionClassifier(told.backbone, scaled, attributes=ATTRIBUTES).eval()


@pytest.mark.parametrize("head", ["mlp", "hf", "challenge"])
def test_values_are_in_the_scale_of_the_corpus(head: str, tmp_path: Path) -> None:
    rater = make_rater(head)
    rater.save(tmp_path / "model", {})
    files = [write_noise(tmp_path / f"{i}.wav", 0.5, seed=i) for i in range(2)]
    assert run_predict(tmp_path / "model", files, tmp_path / "out.jsonl")
    assert run_predict(tmp_path / "model", files, tmp_path / "out.csv", form="csv")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [[*row] for row in rows] == [["file", "start", "end", "status", "values"]] * 2
    with (tmp_path / "out.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [*table[0]] == ["file", "start", "end", "status", *ATTRIBUTES, "reason"]
    for path, row, line in zip(files, rows, table, strict=True):
        audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        with torch.no_grad():
            expected = dict(zip(ATTRIBUTES, rater([audio])[0].tolist(), strict=True))
        assert row["values"] == pytest.approx(expected, rel=1e-4)
        assert {name: float(line[name]) for name in ATTRIBUTES} == row["values"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| attributes | arousal, valence, dominance |" in card
    assert ("print(row.label, row.values)" in card, "row.values" in card) == (False, head != "hf")


def test_exported_file_gives_values(tmp_path: Path) -> None:
    make_rater("mlp").save(tmp_path / "model", {})
    rater = load_classifier(tmp_path / "model")
    export_onnx(rater, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["values"]
    audio = 0.05 * np.random.default_rng(3).standard_normal((2, 7777)).astype(np.float32)
    with torch.no_grad():
        expected = torch.cat([rater([torch.from_numpy(clip)]) for clip in audio])
    np.testing.assert_allclose(session.run(["values"], {"audio": audio})[0], expected, rtol=1e-4)
