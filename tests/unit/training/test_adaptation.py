"""Stage 1 on tones: learns, masks, saves, repeats."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from emoadapt import schema
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.errors import ConfigError, DataError, ModelError, TrainingError
from emoadapt.layers.masked_contrast import Contrast
from emoadapt.storage.agreement import LEFT_OUT
from emoadapt.storage.tables import read_table, write_table
from emoadapt.training.adaptation import AdaptationLearner
from emoadapt.training.interruption import Interrupted
from emoadapt.training.jobs import run_job

SMALL = {
    "conv_dim": [16, 32], "conv_kernel": [20, 16], "conv_stride": [20, 8], "hidden_size": 32, "layers": 1, "heads": 2,
    "intermediate_size": 32, "conv_pos_kernel": 4, "conv_pos_groups": 4,
}  # fmt: skip
SHOWN = 0.5
"""Share of the held-out clips that have a face."""
HEADS = {"egemaps.weight": (2, 32), "face.weight": (3, 32), "sentiment.weight": (3, 32)}


def run(work, name: str = "model", cached: bool = False) -> tuple[Path, pl.DataFrame]:
    job = work.adaptation_job(name, cached=cached)
    run_job(job, 0)
    return job.output, pl.from_arrow(read_table(job.curves, schema.CURVES))


def get_values(curves: pl.DataFrame, part: str, metric: str) -> list[float]:
    return curves.filter(part=part, metric=metric).sort("epoch")["value"].to_list()


@pytest.fixture
def small_codebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes of the objective wav2vec2 with which a step takes milliseconds."""
    sizes = partial(Contrast, codevectors=8, codevector_width=8, width=8)
    monkeypatch.setattr("emoadapt.objectives.wav2vec2.Contrast", sizes)


@pytest.fixture
def adapted(work):
    work.write_unlabelled()
    return work, *run(work)


def test_held_out_loss_of_every_objective_falls(adapted) -> None:
    _, _, curves = adapted
    for objective in ("egemaps", "face", "sentiment"):
        before, *after = get_values(curves, "held_out", f"loss_{objective}")
        assert len(after) == 6
        assert min(after) < 0.5 * before, objective
    assert get_values(curves, "held_out", "accuracy_sentiment")[-1] == 1.0
    assert len(get_values(curves, "train", "loss_face")) == 6


def test_total_is_the_weighted_sum_and_the_best_epoch_has_the_smallest(adapted) -> None:
    _, model, curves = adapted
    totals = get_values(curves, "held_out", "loss")
    parts = [get_values(curves, "held_out", f"loss_{name}") for name in ("egemaps", "sentiment", "face")]
    for total, egemaps, sentiment, face in zip(totals, *parts, strict=True):
        assert total == pytest.approx(egemaps + 0.5 * sentiment + SHOWN * face)
    best = json.loads((model / "adaptation.json").read_text())["best_epoch"]
    assert totals[best] == min(totals[1:])
    assert curves.filter(pl.col("best"))["epoch"].unique().to_list() == [best]


def test_an_absent_target_counts_as_nothing_or_not_at_all(work) -> None:
    """With all 48 clips, 22 of which have a face, in one batch, the mean over clips is 22/48 of that over targets."""
    work.write_unlabelled()
    found = []
    for name, weight in (("clips", 1.0), ("targets", 22 / 48), ("targets", 1.0)):
        objectives = {"egemaps": 1.0, "sentiment": 0.5, "face": weight}
        work.values["adaptations"]["all"] |= {"batch_size": 64, "mean_over": name, "objectives": objectives}
        model, curves = run(work, f"{name}.{weight:.2f}")
        found.append((get_values(curves, "train", "loss"), load_file(model / "model.safetensors")))
        assert json.loads((model / "adaptation.json").read_text())["mean_over"] == name
    (losses, weights), (same_losses, same_weights), (other_losses, _) = found
    assert same_losses == pytest.approx(losses, rel=1e-4)
    assert other_losses[0] > 1.1 * losses[0]
    for name, value in weights.items():
        torch.testing.assert_close(same_weights[name], value, rtol=1e-3, atol=1e-4)


def test_folder_loads_and_describes_itself(adapted) -> None:
    _, model, _ = adapted
    assert AutoModel.from_pretrained(model).config.hidden_size == 32
    heads = load_file(model / "heads.safetensors")
    assert {name: tuple(heads[name].shape) for name in HEADS} == HEADS
    facts = json.loads((model / "adaptation.json").read_text())
    assert facts["utterances"] == {"train": 48, "held_out": 16}
    assert facts["objectives"] == {"egemaps": 1.0, "face": 1.0, "sentiment": 0.5}
    assert facts["classes"] == {"sentiment": {"train": [[24, 0, 24]], "held_out": [[8, 0, 8]]}}
    assert facts["normalisers"][0] == {"objective": "egemaps", "corpus": "*", "mean": [125.0, 5.0], "std": [25.0, 1.0]}
    card = (model / "README.md").read_text()
    assert "radio, talk" in card
    assert "not pretrained" in card
    assert "face: enet_b2_8 on faces found by mtcnn" in card
    assert not list(model.parent.glob(".*"))
    assert {path.stat().st_mode & 0o777 for path in model.iterdir()} == {(model / "config.json").stat().st_mode & 0o777}


def test_the_model_is_on_the_disk_before_its_folder_has_its_name(work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.write_unlabelled()
    synced: set[int] = set()
    left: list[set[str]] = []
    rename = Path.rename

    def look_and_rename(part: Path, target: Path) -> Path:
        left.append({path.name for path in part.iterdir() if path.stat().st_ino not in synced})
        return rename(part, target)

    monkeypatch.setattr("os.fsync", lambda number: synced.add(os.fstat(number).st_ino))
    monkeypatch.setattr(Path, "rename", look_and_rename)
    run(work)
    assert left == [set()]


def test_second_run_is_bit_identical_and_replaces_the_first(adapted) -> None:
    work, model, curves = adapted
    first = (model / "model.safetensors").read_bytes()
    (model / "stale").touch()
    _, again = run(work)
    assert (model / "model.safetensors").read_bytes() == first
    assert not (model / "stale").exists()
    assert again.equals(curves)


def test_masked_targets_do_not_matter(adapted) -> None:
    """The face of radio and of two clips of talk is absent; any value in its place gives the same model."""
    work, model, _ = adapted
    path = work.folder / "train.talk.parquet"
    rows = read_table(path).to_pylist()
    for row in rows:
        row["target_face"] = row["target_face"] if row["mask_face"] else [1e6] * 3
    write_table(path, rows, schema.training(("egemaps", "face", "sentiment")))
    other, _ = run(work, "other")
    assert (other / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_cached_frames_train_the_same_model_as_the_frozen_cnn(work) -> None:
    work.write_unlabelled()
    work.values["backbones"]["tiny"]["cnn"] = "frozen"
    for corpus in ("talk", "radio"):
        work.write_frontend(work.folder / f"train.{corpus}.parquet", None, work.folder / f"frontend.{corpus}.parquet")
    plain, curves = run(work, "plain")
    cached, cached_curves = run(work, "cached", cached=True)
    weights, others = load_file(plain / "model.safetensors"), load_file(cached / "model.safetensors")
    original = build_untrained("wav2vec2", UntrainedBackbone(**work.values["backbones"]["tiny"]["untrained"])).model
    for name, value in original.state_dict().items():
        if name.startswith("feature_extractor"):
            assert torch.equal(weights[name], value)
            assert torch.equal(others[name], value)
    # float16 frames: the same up to rounding, epoch by epoch
    assert get_values(cached_curves, "held_out", "loss") == pytest.approx(
        get_values(curves, "held_out", "loss"), rel=0.02
    )


def test_adapters_weighted_layers_and_masks_train_and_the_saved_model_is_a_plain_one(work) -> None:
    work.write_unlabelled()
    options = {"lora": {"modules": ["q_proj", "intermediate_dense"]}, "layers": "weighted", "spec_augment": {}}
    work.values["backbones"]["tiny"] |= options
    work.values["adaptations"]["all"] |= {"epochs": 2}
    model, curves = run(work)
    before, *after = get_values(curves, "held_out", "loss")
    assert min(after) < before
    assert run(work, "again")[1].equals(curves)
    weights = load_file(model / "model.safetensors")
    plain = build_untrained("wav2vec2", UntrainedBackbone(**SMALL)).model.state_dict()
    assert set(weights) == set(plain)
    changed = {name.split(".")[-2] for name in weights if not torch.equal(weights[name], plain[name])}
    # the CNN is trained here, as it was random; of the transformer, what has an adapter
    assert {name for name in changed if name not in ("conv", "layer_norm")} == {"q_proj", "intermediate_dense"}
    assert load_file(model / "layer_weights.safetensors")["layer_weights"].shape == (2,)


@pytest.mark.parametrize("weighting", ["uncertainty", "gradnorm"])
def test_learned_weights_are_in_the_curve_and_choose_no_epoch(work, weighting: str) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"weighting": weighting}
    model, curves = run(work)
    weights = {name: get_values(curves, "course", f"weight_{name}") for name in ("egemaps", "sentiment", "face")}
    # 36 steps of Adam at 0.01 can move a weight, or its logarithm, by about a third
    assert all(len(values) == 6 and 0 < values[-1] < 2 for values in weights.values())
    assert weights["sentiment"] != [0.5] * 6
    totals = get_values(curves, "held_out", "loss")
    parts = [get_values(curves, "held_out", f"loss_{name}") for name in ("egemaps", "sentiment", "face")]
    assert totals == pytest.approx([e + 0.5 * s + SHOWN * f for e, s, f in zip(*parts, strict=True)])
    assert json.loads((model / "adaptation.json").read_text())["best_epoch"] == 1 + totals[1:].index(min(totals[1:]))


def test_energy_is_learned_from_loudness_alone(work) -> None:
    """The target's other descriptors are out of reach of the head and of the loss."""
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"objectives": {"energy": 1.0}}
    for corpus in ("talk", "radio"):
        path = work.folder / f"train.{corpus}.parquet"
        rows = [
            {"utterance_id": row["utterance_id"], "audio": row["audio"], "n_samples": row["n_samples"]}
            | {"target_energy": row["target_egemaps"], "mask_energy": row["mask_egemaps"]}
            for row in read_table(path).to_pylist()
        ]
        write_table(path, rows, schema.training(("energy",)))
    normaliser = {"objective": "energy", "corpus": "*", "mean": [125.0], "std": [25.0], "n": 48}
    write_table(work.folder / "normalisers.parquet", [normaliser], schema.NORMALISERS)
    model, curves = run(work)
    assert get_values(curves, "held_out", "accuracy_energy")[-1] == 1.0
    assert load_file(model / "heads.safetensors")["energy.weight"].shape == (1, 32)
    assert json.loads((model / "adaptation.json").read_text())["dimensions"] == {"energy": 1}


def test_the_held_out_share_is_said_in_clips_and_hours(work, caplog) -> None:
    """Of each corpus 8 of 32 clips are held out."""
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"epochs": 1}
    caplog.set_level("INFO")
    model, _ = run(work)
    lengths = {
        row["utterance_id"]: row["n_samples"] / 16000 / 3600
        for corpus in ("talk", "radio")
        for row in read_table(work.folder / f"train.{corpus}.parquet").to_pylist()
    }
    held = sum(hours for name, hours in lengths.items() if int(name[-3:]) >= 24)
    total = sum(lengths.values())
    said = f"16 of 64 clips (25.0%), {held:.2f} of {total:.2f} h ({held / total:.1%})"
    assert f"held out are {said}" in caplog.text
    assert json.loads((model / "adaptation.json").read_text())["held_out_share"] == said
    assert f"| held out | {said} |" in (model / "README.md").read_text()


def test_batches_by_seconds_and_padding_are_noted(work) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"batch_seconds": 1.0, "accumulate": 2, "epochs": 2}
    model, curves = run(work)
    padding = json.loads((model / "adaptation.json").read_text())["padding"]
    assert 0 < padding["train"] < 0.15
    assert 0 < padding["held_out"] < 0.15
    assert len(get_values(curves, "held_out", "loss")) == 3


def test_untrained_cnn_is_trained_by_default(adapted) -> None:
    work, model, _ = adapted
    original = build_untrained("wav2vec2", UntrainedBackbone(**work.values["backbones"]["tiny"]["untrained"])).model
    name = "feature_extractor.conv_layers.0.conv.weight"
    assert not torch.equal(load_file(model / "model.safetensors")[name], original.state_dict()[name])


def test_random_crops_train_too(work) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"max_seconds": 0.12, "epochs": 2, "gradient_clip": 1.0, "optimizer": "adamw"}
    model, curves = run(work)
    assert len(get_values(curves, "held_out", "loss")) == 3
    # All clips are longer, and now equally long.
    assert json.loads((model / "adaptation.json").read_text())["padding"] == {"train": 0.0, "held_out": 0.0}


def test_divergence_names_the_clips(work) -> None:
    work.write_unlabelled()
    rows = read_table(work.folder / "train.radio.parquet").to_pylist()
    rows[0]["target_egemaps"] = [float("inf"), 0.0]
    write_table(work.folder / "train.radio.parquet", rows, schema.training(("egemaps", "sentiment")))
    with pytest.raises(TrainingError, match=r"tiny.all, epoch 1: the loss of egemaps is inf on the clips .*radio/000"):
        run(work)
    assert not (work.folder / "model").exists()


def test_objective_without_any_target_stops_the_training(work) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"]["objectives"] = {"face": 1.0}
    rows = read_table(work.folder / "train.talk.parquet").to_pylist()
    rows = [row | {"mask_face": False} for row in rows]
    write_table(work.folder / "train.talk.parquet", rows, schema.training(("egemaps", "face", "sentiment")))
    with pytest.raises(TrainingError, match="none of the 64 clips has a target for face"):
        run(work)


def test_objective_without_a_held_out_target_is_named(work, caplog: pytest.LogCaptureFixture) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"epochs": 1}
    rows = read_table(work.folder / "train.talk.parquet").to_pylist()
    rows = [row | {"mask_face": row["mask_face"] and row["utterance_id"] < "talk/024"} for row in rows]
    write_table(work.folder / "train.talk.parquet", rows, schema.training(("egemaps", "face", "sentiment")))
    run(work)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    sentence = "tiny.all: none of the 16 held-out clips has a target for face, so the epoch is chosen without it"
    assert [sentence in line for line in said] == [True]


def test_clips_without_a_target_or_audio_are_counted(work, caplog: pytest.LogCaptureFixture) -> None:
    """Of 64 clips one has no audio and so no row; radio and two clips of talk have no face."""
    caplog.set_level("INFO")
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"epochs": 1, "max_seconds": 0.2}
    talk = read_table(work.folder / "train.talk.parquet").to_pylist()[1:]
    columns = schema.training(("egemaps", "face", "sentiment"))
    write_table(work.folder / "train.talk.parquet", talk, columns)
    with pytest.raises(
        DataError, match=r"have 31 clips, and .*parts\.parquet of talk has 32; run the same command again"
    ):
        run(work)
    write_table(work.folder / "train.talk.parquet", talk, columns, {LEFT_OUT: "1"})
    model, _ = run(work)
    facts = json.loads((model / "adaptation.json").read_text())
    assert facts["targets"]["face"] == {"train": 21, "held_out": 8}
    radio = read_table(work.folder / "train.radio.parquet").to_pylist()
    assert facts["cropped"] == sum(row["n_samples"] > 3200 for row in [*talk, *radio]) > 0
    assert "tiny.all: 21 of 47 training clips and 8 of 16 held-out clips have a target for face" in caplog.messages
    assert (
        "tiny.all: 1 of 64 clips are left out, without audio or without any target; see `emoadapt quarantine`"
        in caplog.messages
    )


def test_missing_normaliser_is_refused(work) -> None:
    work.write_unlabelled()
    write_table(work.folder / "normalisers.parquet", [], schema.NORMALISERS)
    with pytest.raises(DataError, match="missing normaliser of egemaps for corpus"):
        run(work)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 33, "schedule": "linear", "patience": 9},
        {"schedule": "plateau", "warmup": 0.5, "weighting": "gradnorm", "accumulate": 4, "patience": 5},
        {"schedule": "linear", "weighting": "uncertainty", "optimizer": "adamw"},
        {"objectives": {"wav2vec2": 1.0}},
        {"objectives": {"masked_units": 1.0}},
        {"augment": [{"chain": "ahn2024"}]},
    ],
    ids=["default", "steps", "plateau", "linear", "without target", "units", "augmented"],
)
def test_killed_run_resumes_and_ends_with_the_same_model(
    work, small_codebooks, settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= settings
    model, curves = run(work, "whole")
    steps: list[int] = []
    measure = AdaptationLearner.measure

    def stumble(self, batch, *, keep):
        steps.append(self.position.epoch)
        if len(steps) == stop:
            raise RuntimeError("killed")
        return measure(self, batch, keep=keep)

    monkeypatch.setattr(AdaptationLearner, "measure", stumble)
    # 2 batches before training, then 6 of training and 2 of evaluation per epoch: within the fourth epoch
    stop = 2 + 3 * 8 + 4
    with pytest.raises(RuntimeError, match="killed"):
        run(work, "resumed")
    assert len(list(work.folder.glob(".resumed.*.ckpt"))) == 1
    steps.clear()
    resumed, again = run(work, "resumed")
    assert set(steps) == {3, 4, 5}
    card = (model / "README.md").read_text()
    assert ("| augmentation | ahn2024 (100 %) |" in card) is ("augment" in settings)
    assert (resumed / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert again.equals(curves)
    assert not list(work.folder.glob(".resumed*"))


@pytest.mark.parametrize(
    ("settings", "stop", "where"),
    [
        ({}, 2 + 8 + 3, "in epoch 2 after batch 3 of 6"),
        ({"accumulate": 2, "weighting": "gradnorm", "schedule": "plateau"}, 2 + 8 + 1, "in epoch 2 after batch 2 of 6"),
        ({"weighting": "uncertainty", "optimizer": "adamw"}, 2 + 6, "after epoch 1"),
        ({"schedule": "linear", "max_seconds": 0.12}, 2 + 8 + 7, "after epoch 2"),
    ],
    ids=["within an epoch", "between two batches of a step", "its last batch", "evaluation"],
)
def test_a_run_that_is_asked_to_end_keeps_its_state_and_continues_from_it(
    work, settings: dict, stop: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 6 batches of training and 2 of evaluation of an epoch come after 2 of evaluation."""
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"epochs": 3} | settings
    work.values["backbones"]["tiny"]["spec_augment"] = {}
    model, curves = run(work, "whole")
    measured: list[list[str]] = []
    measure = AdaptationLearner.measure

    def tell(self, batch, *, keep):
        measured.append(batch.utterance_ids)
        if len(measured) == stop:
            os.kill(os.getpid(), signal.SIGUSR1 if stop % 2 else signal.SIGTERM)
        return measure(self, batch, keep=keep)

    monkeypatch.setattr(AdaptationLearner, "measure", tell)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    with pytest.raises(
        Interrupted, match=rf"^tiny.all: ended by SIG(TERM|USR1) {where}.*; started again, it continues from"
    ):
        run(work, "resumed")
    done = len(measured)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == handlers
    resumed, again = run(work, "resumed")
    assert again.equals(curves)
    for path in model.iterdir():
        assert (resumed / path.name).read_bytes() == path.read_bytes(), path.name
    # Each batch was measured once in the two parts of the run together.
    assert done + len(measured[done:]) == 2 + 3 * 8
    assert not list(work.folder.glob(".resumed*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_run_that_is_asked_to_end_before_training_says_so(
    work, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the evaluation before training ended the process with status 0 and without a word."""
    work.write_unlabelled()
    measured: list[int] = []
    measure = AdaptationLearner.measure

    def tell(self, batch, *, keep):
        measured.append(len(measured))
        os.kill(os.getpid(), number)
        return measure(self, batch, keep=keep)

    monkeypatch.setattr(AdaptationLearner, "measure", tell)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    sentence = f"^tiny.all: ended by {number.name} before training; started again, it begins this run anew$"
    with pytest.raises(Interrupted, match=sentence):
        run(work)
    assert measured == [0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == handlers
    assert not (work.folder / "model").exists()


def test_run_keeps_its_state_within_an_epoch_after_some_minutes(work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"epochs": 2}
    work.values["checkpoint_minutes"] = 1e-9
    model, curves = run(work, "whole")
    measured: list[int] = []
    measure = AdaptationLearner.measure

    def stumble(self, batch, *, keep):
        measured.append(self.position.epoch)
        if len(measured) == stop:
            raise RuntimeError("killed")
        return measure(self, batch, keep=keep)

    monkeypatch.setattr(AdaptationLearner, "measure", stumble)
    stop = 2 + 5
    with pytest.raises(RuntimeError, match="killed"):
        run(work, "resumed")
    stop = len(measured)
    resumed, again = run(work, "resumed")
    # Four batches were done: two more of training and two of evaluation, then the second epoch
    assert measured[stop:] == [0] * 4 + [1] * 8
    assert again.equals(curves)
    assert (resumed / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def _count(measure, batches: list):
    def counting(self, batch, *, keep):
        batches.append(batch)
        return measure(self, batch, keep=keep)

    return counting


STOPPED = """
import sys
from emoadapt.cli import main
from emoadapt.training.adaptation import AdaptationLearner

measure, batches = AdaptationLearner.measure, []


def wait(self, batch, *, keep):
    batches.append(batch)
    if len(batches) == 6:
        print("within", flush=True)
        sys.stdin.readline()
    return measure(self, batch, keep=keep)


AdaptationLearner.measure = wait
main()
"""


def test_sigterm_from_outside_ends_the_command_with_one_line(work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"epochs": 2}
    for corpus in work.values["corpora"].values():
        corpus["shards"] = 1
    model, curves = run(work, "whole")
    config = work.folder / "study.json"
    config.write_text(json.dumps(work.values))
    # Where the graph of the study expects them.
    from emoadapt.study.graph import Graph

    job = Graph(work.study).adaptation_job("tiny", "all", Path("resumed"), Path("resumed.curves.parquet"), 1)
    places = {f"train.{corpus}": path for corpus, (path,) in job.shards["training"].items()}
    for name, path in (places | {"parts": job.parts, "normalisers": job.normalisers}).items():
        (work.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (work.folder / f"{name}.parquet").rename(work.folder / path)
    arguments = ["adapt", "tiny", "all", "--output", "resumed", "--curves", "resumed.curves.parquet"]
    command = [sys.executable, "-c", STOPPED, *arguments]
    environment = os.environ | {"EMOADAPT_STUDY": str(config)}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, cwd=work.folder, env=environment, text=True, **pipes) as process:
        assert process.stdout.readline() == "within\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate("\n")
    assert process.returncode == 1
    assert "emoadapt: tiny.all: ended by SIGTERM in epoch 1 after batch 4 of 6; started again" in said
    assert "Traceback" not in said
    monkeypatch.chdir(work.folder)
    monkeypatch.setattr(AdaptationLearner, "measure", _count(AdaptationLearner.measure, measured := []))
    run_job(job, 0)
    assert len(measured) == 2 + 2 + 6 + 2
    assert pl.from_arrow(read_table(work.folder / "resumed.curves.parquet", schema.CURVES)).equals(curves)
    for path in model.iterdir():
        assert (work.folder / "resumed" / path.name).read_bytes() == path.read_bytes(), path.name


def test_checkpoint_of_other_settings_is_not_continued(work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.write_unlabelled()
    monkeypatch.setattr("emoadapt.training.adaptation._save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(work)
    (left,) = work.folder.glob(".model.*.ckpt")
    work.values["adaptations"]["all"]["learning_rate"] = 1e-3
    with pytest.raises(ZeroDivisionError):
        run(work)
    (other,) = work.folder.glob(".model.*.ckpt")
    assert other.name != left.name


def test_checkpoint_of_other_weights_of_the_same_name_is_not_continued(work, monkeypatch: pytest.MonkeyPatch) -> None:
    """New weights were put into the same folder: the run went on with the old ones."""
    work.write_unlabelled()
    monkeypatch.setattr("emoadapt.training.adaptation._save", lambda *_: 1 / 0)
    work.values["models_dir"] = str(work.folder)
    work.values["backbones"]["tiny"] = {"architecture": "wav2vec2", "weights": "hub_base"}
    names = []
    for seed in (0, 0, 1):
        build_untrained("wav2vec2", UntrainedBackbone(**SMALL, seed=seed)).save(work.folder / "hub_base", {})
        with pytest.raises(ZeroDivisionError):
            run(work)
        (left,) = work.folder.glob(".model.*.ckpt")
        names.append(left.name)
    assert names[0] == names[1] != names[2]


def test_a_model_trained_by_steps_states_its_epochs(work) -> None:
    """48 clips in batches of 8 are 6 steps an epoch; 8 steps end in the second, whatever `epochs` says."""
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"steps": 8}
    model, curves = run(work)
    assert len(get_values(curves, "held_out", "loss")) == 3
    best = json.loads((model / "adaptation.json").read_text())["best_epoch"]
    assert f"| epochs (kept) | 2 ({best}) |" in (model / "README.md").read_text()


# --- what keeps the starting model ------------------------------------------------------------------------


def start_of(work, **changes) -> dict[str, torch.Tensor]:
    """Weights of the untrained `tiny` of a study whose adaptation is changed."""
    work.write_unlabelled()
    shape = work.values["backbones"]["tiny"]["untrained"]
    shape["layers"] = 2
    work.values["backbones"]["tiny"]["cnn"] = "frozen"
    work.values["adaptations"]["all"] |= {"epochs": 2, **changes}
    return build_untrained("wav2vec2", UntrainedBackbone(**shape)).model.state_dict()


def list_changed(model: Path, start: dict[str, torch.Tensor]) -> set[str]:
    """Transformer layers of a saved model that differ from its start."""
    weights = load_file(model / "model.safetensors")
    assert set(weights) == set(start)
    changed = {name for name, value in start.items() if not torch.equal(weights[name], value)}
    return {name.split(".")[2] for name in changed if name.startswith("encoder.layers.")}


def test_layers_above_the_one_that_is_read_stay_as_they_were(work) -> None:
    start = start_of(work, layer=1)
    model, curves = run(work)
    assert list_changed(model, start) == {"0"}
    before, *after = get_values(curves, "held_out", "loss")
    assert min(after) < before
    assert json.loads((model / "adaptation.json").read_text())["layer"] == 1


def test_a_weighted_mean_is_read_by_the_objectives_alone(work) -> None:
    start = start_of(work, layer="weighted", head_learning_rate=0.05)
    model, curves = run(work)
    assert list_changed(model, start) == {"0", "1"}
    weights = [get_values(curves, "course", f"layer_weight_{number:02d}") for number in range(3)]
    assert sum(values[-1] for values in weights) == pytest.approx(1.0)
    assert len({round(values[-1], 2) for values in weights}) > 1
    assert load_file(model / "heads.safetensors")["layer_weights"].shape == (3,)
    assert not (model / "layer_weights.safetensors").exists()


def test_stage_1_may_train_less_than_stage_2(work) -> None:
    start = start_of(work, train_layers=1)
    assert list_changed(run(work)[0], start) == {"1"}
    assert work.study.backbones["tiny"].train_layers == "all"


def test_adapters_of_stage_1_alone_are_merged(work) -> None:
    start = start_of(work, lora={"modules": ["v_proj"]})
    model, _ = run(work)
    weights = load_file(model / "model.safetensors")
    changed = {name for name, value in start.items() if not torch.equal(weights[name], value)}
    assert changed == {f"encoder.layers.{number}.attention.v_proj.weight" for number in (0, 1)}


def test_heads_learn_at_their_own_rate(work) -> None:
    start = start_of(work, learning_rate=1e-12, head_learning_rate=0.05)
    model, curves = run(work)
    weights = load_file(model / "model.safetensors")
    for name, value in start.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-9)
    before, *after = get_values(curves, "held_out", "loss_egemaps")
    assert min(after) < 0.5 * before


def test_l2_sp_is_half_the_squared_distance_of_the_saved_weights(work) -> None:
    objectives = {"egemaps": 1.0, "sentiment": 0.5, "face": 1.0}
    distances = []
    for weight in (1e-6, 1.0):
        start = start_of(work, objectives=objectives | {"l2_sp": weight})
        model, curves = run(work, f"weight{weight}")
        saved = load_file(model / "model.safetensors")
        moved = 0.5 * sum(
            float((saved[name].double() - value.double()).square().sum()) for name, value in start.items()
        )
        before, *after = get_values(curves, "held_out", "loss_l2_sp")
        best = json.loads((model / "adaptation.json").read_text())["best_epoch"]
        assert before == 0.0 and after[best - 1] == pytest.approx(moved, rel=1e-3)
        total, egemaps, sentiment, face = (
            get_values(curves, "held_out", name)[-1] for name in ("loss", "loss_egemaps", "loss_sentiment", "loss_face")
        )
        assert total == pytest.approx(egemaps + 0.5 * sentiment + SHOWN * face + weight * after[-1])
        distances.append(moved)
    assert distances[1] < 0.5 * distances[0]


@pytest.mark.parametrize("weighting", ["fixed", "gradnorm"])
def test_distillation_keeps_the_frames_of_all_layers(work, weighting: str) -> None:
    objectives = {"egemaps": 1.0, "sentiment": 0.5, "face": 1.0}
    found = []
    for weight in (1e-6, 30.0):
        start_of(work, objectives=objectives | {"distillation": weight}, weighting=weighting)
        work.values["backbones"]["tiny"]["untrained"]["dropout"] = 0.0
        model, curves = run(work, f"weight{weight}")
        before, *after = get_values(curves, "held_out", "loss_distillation")
        assert before == 0.0 and min(after) > 0
        found.append(after[-1])
        (targets,) = [line for line in (model / "README.md").read_text().splitlines() if line.startswith("| targets")]
        assert "egemaps" in targets and "distillation" not in targets
    assert found[1] < 0.5 * found[0]


def test_wav2vec2_alone_uses_clips_without_a_target(work, small_codebooks) -> None:
    work.write_unlabelled()
    nothing = {"target_egemaps": None, "mask_egemaps": False, "target_sentiment": None, "mask_sentiment": False}
    work.edit("train.radio", lambda row: row | nothing, schema.training(("egemaps", "sentiment")))
    work.values["adaptations"]["all"] |= {"objectives": {"wav2vec2": 1.0}, "epochs": 2}
    model, curves = run(work)
    before, *after = get_values(curves, "held_out", "loss")
    assert min(after) < before
    assert set(curves.filter(part="held_out")["metric"]) == {
        "loss", "contrastive_wav2vec2", "diversity_wav2vec2", "accuracy_wav2vec2", "chance_wav2vec2",
    }  # fmt: skip
    assert get_values(curves, "held_out", "chance_wav2vec2")[-1] == pytest.approx(1 / 101)
    heads = load_file(model / "heads.safetensors")
    assert heads["wav2vec2.mask"].shape == (32,) and heads["wav2vec2.quantizer.codevectors"].shape == (1, 16, 4)
    facts = json.loads((model / "adaptation.json").read_text())
    assert facts["utterances"] == {"train": 48, "held_out": 16} and facts["targets"] == {} and facts["left_out"] == 0


def test_wav2vec2_beside_a_target_is_a_term_of_the_sum(work, small_codebooks) -> None:
    work.write_unlabelled()
    work.values["adaptations"]["all"] |= {"objectives": {"egemaps": 2.0, "wav2vec2": 0.1}, "mean_over": "targets"}
    _, curves = run(work)
    total, egemaps, own = (get_values(curves, "held_out", f"loss{name}") for name in ("", "_egemaps", "_wav2vec2"))
    assert total == pytest.approx([2.0 * a + 0.1 * b for a, b in zip(egemaps, own, strict=True)])
    contrastive, diversity = (
        get_values(curves, "held_out", f"{name}_wav2vec2") for name in ("contrastive", "diversity")
    )
    assert own == pytest.approx([a + 0.1 * b for a, b in zip(contrastive, diversity, strict=True)], rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": 3}, "has layers 0 to 2, and 3 is asked for"),
        ({"layer": 1, "train_layers": 1}, "up to layer 1 is trained"),
    ],
)
def test_a_layer_that_nothing_trained_leads_to_is_refused(work, changes: dict, message: str) -> None:
    start_of(work, **changes)
    with pytest.raises(ModelError, match=message):
        run(work)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": {"l2_sp": 1.0}}, "l2_sp only keep the model as it is; name one that changes it"),
        (
            {"objectives": {"l2_sp": 1.0, "wav2vec2": 1.0}, "weighting": "gradnorm"},
            "gradnorm learns weights of objectives with a",
        ),
        ({"lora": {}, "train_layers": 1}, "exclude each other"),
    ],
)
def test_settings_that_would_adapt_nothing_or_two_ways_are_refused(work, changes: dict, message: str) -> None:
    work.values["adaptations"]["all"] |= changes
    with pytest.raises(ConfigError, match=message):
        _ = work.study


# --- the epoch chosen by a probe --------------------------------------------------------------------------


def run_probed(work, name: str, *, cached: bool = False, labelled: str = "audio") -> tuple[Path, pl.DataFrame]:
    """Stage 1 that is judged by the dev part of `emotion`: of its three folds, the first."""
    job = work.adaptation_job(name, cached=cached)
    shards = {"frontend.tiny" if cached else "audio": {"acted": [work.folder / f"{labelled}.parquet"]}}
    job = replace(job, labelled=shards, splits=[work.folder / "splits.parquet"])
    run_job(job, 0)
    return job.output, pl.from_arrow(read_table(job.curves, schema.CURVES))


@pytest.fixture
def judged(work):
    work.write_unlabelled()
    work.write_labelled()
    rows = [row for row in read_table(work.folder / "splits.parquet").to_pylist() if row["fold"] == 0]
    write_table(work.folder / "splits.parquet", rows, schema.SPLITS)
    work.values["tasks"]["emotion"]["split"] = {"by": "fractions"}
    work.values["adaptations"]["all"] |= {"select": "probe", "tasks": ["emotion"], "epochs": 4}
    return work


def test_the_epoch_is_that_of_the_best_probe_then_of_the_smallest_loss(judged) -> None:
    model, curves = run_probed(judged, "model")
    scores, totals = (get_values(curves, "held_out", metric) for metric in ("f1_probe", "loss"))
    assert len(scores) == 5 and all(0 <= score <= 1 for score in scores)
    facts = json.loads((model / "adaptation.json").read_text())
    ranked = sorted(range(1, 5), key=lambda epoch: (-scores[epoch], totals[epoch]))
    assert facts["best_epoch"] == ranked[0] and facts["judge"] == "emotion"
    assert facts["held_out"]["f1_probe"] == pytest.approx(max(scores[1:]))
    assert "a probe on the labelled dev part of task emotion" in (model / "README.md").read_text()


def test_the_probe_reads_no_training_and_no_test_label(judged) -> None:
    _, curves = run_probed(judged, "model")

    def spoil(row: dict) -> dict:
        return row if row["split"] == "dev" else row | {"label": "high"}

    judged.edit("splits", spoil, schema.SPLITS)
    assert run_probed(judged, "other")[1].equals(curves)
    judged.edit(
        "splits", lambda row: row | {"label": "low" if row["utterance_id"] < "acted/018" else "high"}, schema.SPLITS
    )
    assert not run_probed(judged, "third")[1].equals(curves)


def test_the_probe_scores_what_tells_the_classes_apart(judged) -> None:
    """Tones of two pitches, which an untrained transformer keeps apart; shuffled labels cannot be."""
    assert get_values(run_probed(judged, "model")[1], "held_out", "f1_probe")[-1] > 0.9


def test_the_probe_reads_cached_frames_as_audio(judged) -> None:
    judged.values["backbones"]["tiny"]["cnn"] = "frozen"
    judged.values["adaptations"]["all"] |= {"epochs": 1}
    for source, target in (("train.talk", "frontend.talk"), ("train.radio", "frontend.radio"), ("audio", "labelled")):
        judged.write_frontend(judged.folder / f"{source}.parquet", None, judged.folder / f"{target}.parquet")
    plain = get_values(run_probed(judged, "plain")[1], "held_out", "f1_probe")
    cached = run_probed(judged, "cached", cached=True, labelled="labelled")[1]
    assert get_values(cached, "held_out", "f1_probe") == pytest.approx(plain, abs=0.1)
    assert plain[-1] > 0.9


def test_one_dev_speaker_is_not_enough(judged) -> None:
    judged.edit("splits", lambda row: row | {"speaker": "one"}, schema.SPLITS)
    with pytest.raises(TrainingError, match="usable clips of 1 speakers and 2 classes, and a probe needs two of each"):
        run_probed(judged, "model")


@pytest.mark.parametrize(
    ("tasks", "split", "message"),
    [
        (None, "fractions", "name that one task alone in `tasks`"),
        (["emotion"], "folds", "task emotion has several dev parts"),
    ],
)
def test_a_probe_whose_dev_clips_may_be_tested_is_refused(work, tasks: list | None, split: str, message: str) -> None:
    work.values["tasks"]["emotion"]["split"] = {"by": split}
    work.values["adaptations"]["all"] |= {"select": "probe", "tasks": tasks}
    with pytest.raises(ConfigError, match=message):
        _ = work.study
