"""Probes of several frozen backbones: weights of layers of each, means side by side."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from emoadapt.data.batching import Batch
from emoadapt.errors import ConfigError, TrainingError
from emoadapt.layers.heads import LinearHead
from emoadapt.storage.tables import read_table
from emoadapt.study.nodes import Model, Run
from emoadapt.training.probing import LayerProbe

JOINT = "joint.original.fused"
LACKING = ("acted/004", "acted/006", "acted/012")


@pytest.fixture
def parts(work) -> dict[str, dict[str, np.ndarray]]:
    """Three layers of audio that say nothing, two of text of which the second tells the classes; three clips have no text."""
    work.write_labelled()
    audio = work.make_layers(0, n_layers=3, width=6, seed=1)
    for values in audio.values():
        values[0] = 0.1
    text = {name: values for name, values in work.make_layers(1, 2, 4, seed=2).items() if name not in LACKING}
    work.write_layers(audio, name="layers.tiny")
    work.write_layers(text, *LACKING, name="layers.words")
    return {"audio": audio, "text": text}


def run(
    work, of: dict[str, str] | None = None, *runs: Run, name: str = "run", **settings: Any
) -> dict[str, pl.DataFrame]:
    work.add_joint_probe(of or {"audio": "tiny", "text": "words"}, **settings)
    return work.train(JOINT, runs or (Run(),), name)


def get_logits(tables: dict[str, pl.DataFrame]) -> np.ndarray:
    return np.array(tables["predictions"]["logits"].to_list())


def make_batch(present: list[bool]) -> Batch:
    audio = torch.tensor([[[1.0, 0.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    text = torch.tensor([[[10.0], [20.0], [60.0]], [[0.0], [0.0], [0.0]]])
    return Batch(["c/a", "c/b"], {"audio": audio, "text": text}, {}, {}, present={"text": torch.tensor(present)})


def test_means_of_parts_stand_side_by_side_each_with_its_own_weights() -> None:
    """Worked by hand: shares 1/2, 1/2 and 1/2, 1/4, 1/4."""
    probe = LayerProbe({"audio": (2, 2), "text": (3, 1)}, LinearHead(3, 2, seed=0))
    with torch.no_grad():
        probe.layer_weights[1].copy_(torch.log(torch.tensor([2.0, 1.0, 1.0])))
        probe.absent[0].fill_(-7.0)
        mean, outputs = probe(make_batch([True, False]))
        torch.testing.assert_close(mean, torch.tensor([[2.0, 2.0, 25.0], [6.0, 7.0, -7.0]]))
        torch.testing.assert_close(outputs, probe.head(mean))
    assert probe.note_state() == pytest.approx(
        {"layer_weight_audio_00": 0.5, "layer_weight_audio_01": 0.5}
        | {"layer_weight_text_00": 0.5, "layer_weight_text_01": 0.25, "layer_weight_text_02": 0.25}
    )


def test_a_missing_part_teaches_its_substitute_alone() -> None:
    probe = LayerProbe({"audio": (2, 2), "text": (3, 1)}, LinearHead(3, 2, seed=0))
    probe(make_batch([True, True]))[1].sum().backward()
    assert probe.absent[0].grad.abs().sum() == 0 and probe.layer_weights[1].grad.abs().sum() > 0
    probe.zero_grad()
    probe(make_batch([False, False]))[1].sum().backward()
    assert probe.absent[0].grad.abs().sum() > 0 and probe.layer_weights[1].grad.abs().sum() == 0


def train_by_hand(
    parts: dict[str, dict[str, np.ndarray]], splits: pl.DataFrame, epochs: int, rate: float
) -> np.ndarray:
    """Logits of the test clips after the last epoch of one batch each, with torch alone."""
    names = {split: splits.filter(split=split).sort("corpus", "utterance_id") for split in ("train", "test")}
    torch.manual_seed(0)
    head = nn.Linear(10, 2)
    weights = [nn.Parameter(torch.zeros(n)) for n in (3, 2)]
    absent = nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.Adam([*weights, absent, *head.parameters()], lr=rate)

    def predict(split: str) -> torch.Tensor:
        rows = []
        for name in names[split]["utterance_id"]:
            audio = (weights[0].softmax(0)[:, None] * torch.from_numpy(parts["audio"][name])).sum(0)
            there = name in parts["text"]
            text = (weights[1].softmax(0)[:, None] * torch.from_numpy(parts["text"][name])).sum(0) if there else absent
            rows.append(head(torch.cat([audio, text])))
        return torch.stack(rows)

    labels = torch.tensor([["low", "high"].index(label) for label in names["train"]["label"]])
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.cross_entropy(predict("train"), labels).backward()
        optimizer.step()
    return predict("test").detach().numpy()


def test_a_joint_probe_is_that_of_torch_alone(work, parts) -> None:
    """One epoch only, which no dev part could choose among."""
    tables = run(work, epochs=1, batch_size=64, learning_rate=0.1)
    splits = pl.from_arrow(read_table(work.folder / "splits.parquet")).filter(
        pl.col("utterance_id") != "acted/001", fold=0
    )
    expected = train_by_hand(parts, splits, 1, 0.1)
    assert set(LACKING) & set(splits.filter(split="train")["utterance_id"]), "the substitute is trained"
    assert set(LACKING) & set(splits.filter(split="test")["utterance_id"]), "and used"
    np.testing.assert_allclose(get_logits(tables), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("normalise", ["none", "train"])
def test_a_part_that_tells_decides_and_clips_without_it_are_predicted_too(work, parts, normalise: str, caplog) -> None:
    with caplog.at_level(logging.INFO):
        found = run(work, epochs=20, normalise=normalise)["predictions"]
    told = found.filter(~pl.col("utterance_id").is_in(LACKING))
    assert (told["label"] == told["predicted"]).mean() > 0.75, "audio alone says nothing"
    assert set(LACKING) & set(found["utterance_id"])
    assert "3 of 41 clips lack text; a learned vector stands for it" in caplog.text


def test_descriptors_are_one_layer_of_a_part(work, parts) -> None:
    """The teachers' fusion of Table IV: a vector beside the weighted layers of a text encoder."""
    tables = run(work, {"audio": "egemaps", "text": "words"}, normalise="train")
    noted = tables["curves"].filter(pl.col("metric").str.starts_with("layer_weight_"))["metric"].unique().sort()
    assert noted.to_list() == ["layer_weight_text_00", "layer_weight_text_01"]
    assert tables["predictions"].select("backbone", "finetuning").unique().rows() == [("joint", "fused")]


def test_a_part_that_no_training_clip_has_is_refused(work, parts) -> None:
    few = {name: values for name, values in parts["text"].items() if name.startswith("other")}
    lost = [name for name in parts["audio"] if name.startswith("acted") and name != "acted/001"]
    work.write_layers(few, *lost, name="layers.words")
    with pytest.raises(TrainingError, match="run p0f0r0s0: no training clip has layers of part text"):
        run(work)


def test_a_joint_probe_may_start_from_the_adaptation_of_a_part(work) -> None:
    work.values["adaptations"]["all"]["backbones"] = ["tiny"]
    work.add_joint_probe({"audio": "tiny", "text": "words"})
    study = work.study
    models = [str(model) for model in study.list_models() if model.finetuning == "fused"]
    assert models == ["joint.original.fused", "joint.all.fused"]
    assert study.list_frozen("joint", "all") == {"audio": "layers.tiny.all", "text": "layers.words"}
    assert study.list_adaptations_behind(Model.parse("joint.all.fused")) == ["all"], "leaks of Stage 1 are looked for"
    work.tune("fused", starts=["all"])
    assert [str(m) for m in work.study.list_models() if m.finetuning == "fused"] == ["joint.all.fused"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"layer": "last"}, "joint joins tiny, words, whose layers are read with learned weights alone; set"),
        (
            {"method": "finetune", "normalise": "train"},
            "joint joins a vector of descriptors, and finetune trains encoders",
        ),
    ],
)
def test_what_cannot_read_a_fusion_is_refused(work, settings: dict[str, Any], sentence: str) -> None:
    of = {"audio": "tiny" if "layer" in settings else "egemaps", "text": "words"}
    work.add_joint_probe(of, **settings)
    with pytest.raises(ConfigError, match=sentence):
        _ = work.study


def test_no_classifier_of_several_backbones_is_kept_which_is_said(work, parts) -> None:
    work.values["keep_models"] = "all"
    run(work)
    assert list((work.folder / "run" / "models").glob("*/")) == []
    reason = "joint joins several backbones, and emoadapt predict reads layers of one"
    assert work.study.explain_unkept(Model.parse(JOINT)) == reason


def test_a_part_that_an_inner_division_lacks_is_refused_in_a_sentence(work, parts) -> None:
    """Symptom: IndexError where a run chooses its settings on clips whose training part has no text."""
    text = {name: values for name, values in parts["text"].items() if name.startswith("other")}
    lost = [name for name in parts["audio"] if name.startswith("acted") and name != "acted/001"]
    lone = next(name for name in read_train(work) if name in lost and name in parts["text"])
    kept = {name: values for name, values in parts["text"].items() if name == lone}
    work.write_layers(text | kept, *(name for name in lost if name != lone), name="layers.words")
    with pytest.raises(
        TrainingError, match=r"run p0f0r0s0: no training clip of inner division [1-5] has layers of part text"
    ):
        run(work, normalise="train", learning_rate=[1e-2, 1e-3])


def read_train(work) -> list[str]:
    splits = read_table(work.folder / "splits.parquet").to_pylist()
    return [row["utterance_id"] for row in splits if row["fold"] == 0 and row["split"] == "train"]
