"""Targets that are frames: at the times of the model's frames, cropped with the input, masked where there are none."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from emoadapt import schema
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.backbones.text_transformer import Config as TextConfig
from emoadapt.backbones.text_transformer import load as load_text
from emoadapt.config.training import Optimisation
from emoadapt.data.batching import Batch
from emoadapt.data.clips import ClipStore, SignalDataset, Source
from emoadapt.data.normalisers import fit_normalisers
from emoadapt.data.streams import AUDIO, FRONTEND, list_columns
from emoadapt.errors import ModelError, TrainingError
from emoadapt.features.base import Context
from emoadapt.features.egemaps import DESCRIPTORS
from emoadapt.features.egemaps_frames import Config as EgemapsFramesConfig
from emoadapt.features.egemaps_frames import load as load_egemaps_frames
from emoadapt.objectives.base import Outputs, load_objective
from emoadapt.storage.tables import read_table, write_table
from emoadapt.training.frame_targets import open_frame_targets, place_frames
from emoadapt.training.jobs import AdaptationJob, run_job
from emoadapt.training.signals import load_signals

HOP = 320
CLICK = 61_234
"""Sample of a click, 3.83 s after the beginning."""


def test_frames_are_those_that_begin_nearest() -> None:
    assert place_frames(5, 0.02, 0.02).tolist() == [0, 1, 2, 3, 4]
    assert place_frames(6, 0.01, 0.02).tolist() == [0, 2, 4]
    # 0, 20, 40, 60, 80, 100 ms of frames every 16 ms: 0, 1.25, 2.5, 3.75, 5, 6.25.
    assert place_frames(7, 0.016, 0.02).tolist() == [0, 1, 2, 4, 5, 6]
    assert place_frames(3, 0.02, 0.01).tolist() == [0, 0, 1, 2, 2, 2]


def make_backbone(stride: int = 16) -> Any:
    shape = UntrainedBackbone(
        conv_dim=(8, 8), conv_kernel=(20, 16), conv_stride=(20, stride), hidden_size=16, layers=1, heads=2, intermediate_size=16,
        conv_pos_kernel=4, conv_pos_groups=4,
    )  # fmt: skip
    return build_untrained("wav2vec2", shape).eval()


@pytest.mark.parametrize("step", [0.01, 0.016, 0.02, 0.04])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_targets_of_any_step_stand_at_the_times_of_frames_of_any_step(step: float, stride: int, tmp_path: Path) -> None:
    """Each target frame holds the time at which it begins; backbones have a frame every 10, 20 and 40 ms."""
    times = (np.arange(round(3 / step)) * step).astype("<f4")
    row = {"utterance_id": "c/1", "key": "k", "status": "ok", "egemaps_frames": times.tobytes(), "n_frames": len(times)}
    table = schema.feature_table("egemaps_frames")
    write_table(tmp_path / "frames.parquet", [row | {"dimension": 1, "step": step}], table)
    backbone = make_backbone(stride)
    shards = {"c": [tmp_path / "frames.parquet"]}
    targets = open_frame_targets("acoustic_egemaps", shards, backbone, tmp_path, ["c/1"], lambda _, frames: frames)
    found = targets.read("c/1")[:, 0]
    wanted = np.arange(len(found)) * stride * 20 / schema.SAMPLE_RATE
    assert abs(found - wanted).max() <= step / 2 + 1e-6
    assert wanted[-1] > 3 - 1.5 * step - stride * 20 / schema.SAMPLE_RATE


@pytest.fixture
def click(tmp_path: Path) -> tuple[ClipStore, dict[str, list[Path]]]:
    """A clip of 6 s that is silent but for a click, and its eGeMAPS frames at 10 ms."""
    samples = np.zeros(96_000, "<i2")
    samples[CLICK : CLICK + 8] = 20_000
    row = {"utterance_id": "c/1", "key": "k", "status": "ok"}
    audio = row | {"audio": samples.tobytes(), "n_samples": len(samples)}
    write_table(tmp_path / "audio.parquet", [audio], schema.feature_table("audio"))
    extractor = load_egemaps_frames(EgemapsFramesConfig(window="stock"), Context(Path()))
    frames = extractor.extract([{"audio": samples.tobytes()}])[0]
    write_table(tmp_path / "frames.parquet", [row | frames], schema.feature_table("egemaps_frames"))
    return ClipStore.build([tmp_path / "audio.parquet"], list_columns(AUDIO), tmp_path), {
        "c": [tmp_path / "frames.parquet"]
    }


def find_click(target: Tensor) -> float:
    """Frame of the click: centre of the loudness, which a smoother spreads over its neighbours."""
    loudness = target[:, DESCRIPTORS.index("Loudness_sma3")].double()
    loudness = loudness - loudness.min()
    return float((loudness * torch.arange(len(loudness))).sum() / loudness.sum())


@pytest.mark.parametrize("kept", [False, True], ids=["audio", "kept front end"])
def test_a_click_is_in_the_target_of_the_frame_that_hears_it(click: Any, kept: bool, tmp_path: Path) -> None:
    store, shards = click
    backbone = make_backbone()
    targets = open_frame_targets("acoustic_egemaps", shards, backbone, tmp_path, ["c/1"], lambda _, frames: frames)
    assert targets.count_values() == 25
    sources: dict[str, Source] = {"audio": Source(store, AUDIO)}
    if kept:
        frames = np.zeros((backbone.count_frames(96_000), 8), "<f2")
        # Its own frame of the click is marked.
        frames[CLICK // HOP] = 1.0
        row = {"utterance_id": "c/1", "key": "k", "status": "ok", "frontend": frames.tobytes(), "n_frames": len(frames)}
        write_table(tmp_path / "kept.parquet", [row | {"dimension": 8}], schema.FRONTEND)
        packed = ClipStore.build([tmp_path / "kept.parquet"], list_columns(FRONTEND), tmp_path)
        sources = {"frontend": Source(packed, FRONTEND, backbone.find_step("frontend"))}
    whole = SignalDataset({**sources, "target_acoustic_egemaps": targets}, lambda _: {})["c/1", 0]
    assert find_click(whole.streams["target_acoustic_egemaps"]) == pytest.approx(CLICK // HOP, abs=0.6)
    settings = Optimisation(epochs=1, max_seconds=2.0, crop="random", batch_size=1)
    heard = set()
    for epoch in range(40):
        loader = load_signals(
            {**sources, "target_acoustic_egemaps": targets}, lambda _: {}, {"c/1": 96_000}, settings, backbone, 3
        )
        loader.batch_sampler.set_epoch(epoch)
        (batch,) = loader
        target = batch.streams["target_acoustic_egemaps"][0]
        assert len(target) in (99, 100, 101)
        signal = batch.streams["frontend"][0, :, 0] if kept else batch.streams["audio"][0]
        if not (signal > 0.5).any():
            continue
        place = int((signal > 0.5).nonzero()[0]) // (1 if kept else HOP)
        if 2 < place < 97:
            heard.add(place)
            # A random crop may begin within a step of the target.
            assert find_click(target) == pytest.approx(place, abs=1.1)
    assert len(heard) > 5


def test_frames_without_times_of_their_own_are_refused(tmp_path: Path, click: Any) -> None:
    shape = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16, "vocabulary": 50, "positions": 16}
    text = load_text(TextConfig.model_validate({"architecture": "bert", "untrained": shape}), tmp_path)
    with pytest.raises(ModelError, match="have no times of their own"):
        open_frame_targets("acoustic_egemaps", click[1], text, tmp_path, ["c/1"], lambda _, frames: frames)


class Told:
    """A backbone whose frames are given."""

    def __init__(self, frames: Tensor, lengths: list[int]) -> None:
        self.frames, self.lengths = frames, torch.tensor(lengths)

    def run_front_end(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.frames, self.lengths

    def encode_layers(self, frames: Tensor, *_: object, **__: object) -> list[Tensor]:
        return [frames]

    def read(self, states: list[Tensor]) -> Tensor:
        return states[-1]

    def take_branch(self, state: Tensor, branch: str) -> Tensor:
        return state[..., :1] if branch == "acoustic" else state[..., 1:]


def test_the_loss_is_the_mean_over_frames_that_both_have() -> None:
    """By hand: clip 0 has frames 0 and 1 (target ends), clip 1 one frame (its own end), clip 2 no target."""
    frames = torch.zeros(3, 4, 2)
    frames[0, :, 0] = torch.tensor([1.0, 3.0, float("nan"), 9.0])
    frames[1, :, 0] = torch.tensor([5.0, float("nan"), 9.0, 9.0])
    target = torch.tensor([[[0.0], [1.0], [0.0]], [[2.0], [7.0], [7.0]], [[0.0], [0.0], [0.0]]])
    batch = Batch(
        ["a", "b", "c"], {"target_acoustic": target}, {"target_acoustic": torch.tensor([2, 3, 1])}, {},
        present={"target_acoustic": torch.tensor([True, True, False])},
    )  # fmt: skip
    outputs = Outputs(Told(frames, [4, 1, 4]), batch)  # type: ignore[arg-type]
    objective = load_objective("acoustic")
    prediction = objective.predict(outputs, torch.nn.Identity())
    found, mask = objective.find_target("acoustic", outputs)
    assert found.shape == (3, 4, 1)
    assert mask.tolist() == [[True, True, False, False], [True, False, False, False], [False] * 4]
    # (1 + 4) / 2 and 9, and their mean.
    assert objective.loss(prediction, found, mask, "mean").item() == pytest.approx((2.5 + 9) / 2)
    assert objective.count(mask).item() == 2
    nothing = objective.loss(prediction.nan_to_num(), found, mask & False, "mean")
    assert nothing.item() == 0.0
    pooled = load_objective("semantic_whisper")
    batch = Batch(
        ["a", "b"], {"target_semantic_whisper": target[:2]}, {"target_semantic_whisper": torch.tensor([2, 0])}, {},
        present={"target_semantic_whisper": torch.tensor([True, True])},
    )  # fmt: skip
    means, there = pooled.find_target("semantic_whisper", Outputs(Told(frames[:2], [4, 1]), batch))  # type: ignore[arg-type]
    assert means[0].item() == pytest.approx(0.5) and there.tolist() == [True, False]


def test_the_ccc_over_frames_is_that_over_all_of_them_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50, 3, generator=generator)
    prediction = 0.5 * target + torch.randn(50, 3, generator=generator) + 2
    objective, usual = load_objective("acoustic"), load_objective("egemaps")
    parts = [objective.collect(prediction[a:b], target[a:b])[0] for a, b in ((0, 7), (7, 7), (7, 50))]
    assert objective.metrics(torch.cat(parts))["ccc"] == pytest.approx(usual.metrics(prediction, target)["ccc"])  # type: ignore[call-arg]
    assert objective.metrics(parts[1]) == {}  # type: ignore[call-arg]


def test_statistics_are_of_all_frames_of_the_training_part(tmp_path: Path) -> None:
    random, rows, parts = np.random.default_rng(0), [], []
    frames = {f"c/{i}": (random.normal(size=(5 + 3 * i, 2)) * [1, 10] + [3, 100]).astype("<f4") for i in range(4)}
    for number, (name, values) in enumerate(frames.items()):
        rows.append({
            "utterance_id": name, "key": "k", "status": "ok", "egemaps_frames": values.tobytes(), "n_frames": len(values),
            "dimension": 2, "step": 0.02,
        })  # fmt: skip
        parts.append({"utterance_id": name, "corpus": "c", "part": "held_out" if number == 3 else "train"})
    write_table(tmp_path / "f.parquet", rows, schema.feature_table("egemaps_frames"))
    write_table(tmp_path / "parts.parquet", parts, schema.PARTS)
    targets = {"acoustic_egemaps": ("egemaps_frames", {"c": [tmp_path / "f.parquet"]})}
    fit_normalisers(targets, tmp_path / "parts.parquet", "global", tmp_path / "n.parquet")
    (row,) = read_table(tmp_path / "n.parquet", schema.NORMALISERS).to_pylist()
    every = np.concatenate([frames[f"c/{i}"] for i in range(3)]).astype(np.float64)
    np.testing.assert_allclose(row["mean"], every.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(row["std"], every.std(axis=0), rtol=1e-12)
    assert row["n"] == len(every)


def prepare(work: Any, **settings: Any) -> AdaptationJob:
    """Stage 1 of CARE on tones: frames tell the pitch and its loudness, every third clip has no transcript, one is short."""
    work.values["backbones"] |= {
        "words": {"architecture": "bert", "untrained": {
            "hidden_size": 32, "layers": 2, "heads": 2, "intermediate_size": 32, "vocabulary": 50, "positions": 16,
        }},
        "care": {"architecture": "care", "speech": "tiny", "text": "words", "common": 1, "branch": 1},
    }  # fmt: skip
    work.values["backbones"]["tiny"]["untrained"] |= {"layers": 2}
    work.values["finetunings"]["default"]["backbones"] = ["care"]
    work.values["adaptations"] = {
        "all": {
            "corpora": ["talk"], "objectives": {"acoustic_egemaps": 1.0, "semantic": 1.0}, "learning_rate": 3e-3, "batch_size": 8,
            "steps": 60, "epoch_steps": 12, "max_seconds": 0.3, **settings,
        }
    }  # fmt: skip
    random, rows, frames, parts = np.random.default_rng(0), [], [], []
    for i in range(40):
        high, name = i % 2, f"talk/{i:03}"
        n_samples = 1_600 if i == 5 else int(random.uniform(0.25, 0.5) * 16_000)
        time = np.arange(n_samples) / 16_000
        loud = np.where(time < 0.15, 0.3, 0.0)
        tone = np.sin(2 * np.pi * (1200 if high else 200) * time)
        # Layer norms of the CNN take the level away; noise beside the tone tells it.
        audio = ((loud * tone + 0.03 * random.standard_normal(n_samples)) * 32767).astype("<i2")
        spoken = i % 3 > 0
        rows.append({
            "utterance_id": name, "audio": audio.tobytes(), "n_samples": n_samples,
            "target_semantic": [float(high)] * 16 + [-float(high)] * 16 if spoken else None, "mask_semantic": spoken,
        })  # fmt: skip
        step = 160 / 16_000
        n_frames = n_samples // 160
        values = np.stack([100 + 50 * (np.arange(n_frames) * step < 0.15), np.full(n_frames, 7 + 2 * high)], axis=1)
        failed = {"utterance_id": name, "key": "k", "status": "failed", "reason": "too_short: x"}
        frames.append(failed if i == 7 else {
            "utterance_id": name, "key": "k", "status": "ok", "egemaps_frames": values.astype("<f4").tobytes(),
            "n_frames": n_frames, "dimension": 2, "step": step,
        })  # fmt: skip
        parts.append({"utterance_id": name, "corpus": "talk", "part": "held_out" if i >= 30 else "train"})
    write_table(work.folder / "train.parquet", rows, schema.training(("semantic",)))
    write_table(work.folder / "frames.parquet", frames, schema.feature_table("egemaps_frames"))
    write_table(work.folder / "parts.parquet", parts, schema.PARTS)
    targets = {"acoustic_egemaps": ("egemaps_frames", {"talk": [work.folder / "frames.parquet"]})}
    fit_normalisers(targets, work.folder / "parts.parquet", "global", work.folder / "normalisers.parquet")
    shards = {
        "training": {"talk": [work.folder / "train.parquet"]},
        "egemaps_frames": {"talk": [work.folder / "frames.parquet"]},
    }
    return AdaptationJob(
        work.study, "care", "all", shards, work.folder / "model", 1, work.folder / "parts.parquet",
        work.folder / "normalisers.parquet", work.folder / "curves.parquet",
    )  # fmt: skip


def test_stage_1_of_care_learns_frames_and_words(work: Any, caplog: pytest.LogCaptureFixture) -> None:
    job = prepare(work, min_seconds=0.2)
    with caplog.at_level(logging.INFO):
        run_job(job, 0)
    curves = pl.from_arrow(read_table(job.curves, schema.CURVES))
    for objective in ("acoustic_egemaps", "semantic"):
        before, *after = curves.filter(part="held_out", metric=f"loss_{objective}").sort("epoch")["value"].to_list()
        assert len(after) == 5, "an evaluation after every 12 steps"
        assert min(after) < 0.5 * before, objective
    assert curves.filter(part="held_out", metric="ccc_acoustic_egemaps")["value"].max() > 0.7
    facts = json.loads((job.output / "adaptation.json").read_text())
    assert facts["utterances"] == {"train": 29, "held_out": 10} and facts["too_short"] == 1 and facts["left_out"] == 1
    # Of 29 and 10 clips: transcripts of two of three, frames of all but the one that failed.
    assert facts["targets"] == {
        "acoustic_egemaps": {"train": 28, "held_out": 10},
        "semantic": {"train": 19, "held_out": 6},
    }
    assert facts["dimensions"] == {"acoustic_egemaps": 2, "semantic": 32}
    assert "1 of 40 clips are left out, shorter than min_seconds (0.2 s)" in caplog.text
    assert "28 of 29 training clips" in caplog.text and "19 of 29 training clips" in caplog.text
    # The acoustic head leads from half of the width to the target; the semantic target has the encoder's own width.
    heads = load_file(job.output / "heads.safetensors")
    assert {name: tuple(value.shape) for name, value in heads.items()} == {
        "acoustic_egemaps.weight": (2, 32), "acoustic_egemaps.bias": (2,),
    }  # fmt: skip
    assert "left out as too short | 1" in (job.output / "README.md").read_text()


def test_gradnorm_is_refused_where_objectives_read_branches(work: Any) -> None:
    with pytest.raises(
        TrainingError,
        match="gradnorm compares gradients at the pooled embedding, which acoustic_egemaps, semantic do not read",
    ):
        run_job(prepare(work, weighting="gradnorm"), 0)


def test_care_is_fine_tuned_from_its_model_of_stage_1(work: Any) -> None:
    job = prepare(work, steps=4, epoch_steps=2)
    run_job(job, 0)
    work.write_labelled()
    work.tune("default", backbones=["care"], epochs=3, learning_rate=3e-3)
    work.values["finetunings"].pop("mlp")
    found = work.train("care.all", reads=("audio",), start=job.output)
    predictions = found["predictions"].filter(test_corpus="acted")
    # Of twelve test clips one has no audio.
    assert len(predictions) == 11 and set(predictions["predicted"]) <= {"low", "high"}
    assert found["embeddings"]["tuned"].list.len().unique().to_list() == [64]
