"""Calibration: speeds of what is trained later, stored where the plan finds them."""

import torch

from emoadapt.backbones.base import load_backbone
from emoadapt.config import load_study
from emoadapt.methods.finetune import Config
from emoadapt.study.plan.work import choose_calibrated, describe_calibrated, read_calibration
from emoadapt.training import calibration
from emoadapt.training.calibration import calibrate, measure_backbone

TINY = {"conv_dim": [8, 8, 8, 8, 8], "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16,
        "conv_pos_kernel": 4, "conv_pos_groups": 2}  # fmt: skip


def make_study(**finetuning):
    return load_study(
        {
            "study": "speed",
            "device": "cpu",
            "training_threads": 1,
            "corpora": {"clips": {"importer": "folder", "root": "clips"}},
            "backbones": {
                "tiny": {"architecture": "wav2vec2", "untrained": TINY},
                "egemaps": {"architecture": "vector", "reads": "egemaps"},
            },
            "tasks": {"emotion": {"corpus": "clips", "classes": ["a", "b"], "split": {"by": "folds", "k": 3}}},
            "finetunings": {
                "default": {"batch_size": 2, **finetuning} | ({"backbones": ["tiny"]} if finetuning else {})
            },
        }
    )


def test_speeds_are_written_with_what_they_hold_for(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "_time_startup", lambda: 1.5)
    study = make_study()
    written = calibrate(study, tmp_path / "cache" / "speeds.json", clip_seconds=0.3, steps=1)
    assert read_calibration(tmp_path / "cache" / "speeds.json") == written
    assert written["startup"] == 1.5
    tiny = written["backbones"]["tiny"]
    assert (
        tiny["settings"] == describe_calibrated(study, "tiny") != describe_calibrated(make_study(batch_size=3), "tiny")
    )
    assert tiny["stand_in"] is False
    assert all(tiny[mode][kind] > 0 for mode in ("cached", "whole") for kind in ("train", "evaluate"))
    assert tiny["frontend"] > 0 and tiny["layers"] == tiny["whole"]["evaluate"]
    assert set(written["backbones"]) == {"tiny"}, "a vector has no speed of its own"


def test_a_speed_is_the_audio_of_a_batch_over_the_time_of_a_step(monkeypatch):
    monkeypatch.setattr(calibration, "_time", lambda step, device, steps: step() or 0.5)
    study = make_study()
    backbone = load_backbone(study.backbones["tiny"], study.weights_folder)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    speeds = measure_backbone(study.finetunings["default"], backbone, torch.device("cpu"), 0.3, 1)
    assert speeds["frontend"] == speeds["whole"]["train"] == 2 * 0.3 / 0.5
    changed = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert any("feature_extractor" in name for name in changed), "with all trained, the CNN is trained"
    assert any("encoder" in name for name in changed)
    filled = measure_backbone(
        make_study(batch_seconds=1.2).finetunings["default"], backbone, torch.device("cpu"), 0.3, 1
    )
    assert filled["frontend"] == 4 * 0.3 / 0.5, "batches by seconds hold as many clips as fill them"


def test_weights_that_are_not_here_are_stood_in_for(tmp_path, monkeypatch):
    study = make_study()
    config = study.backbones["tiny"].model_copy(update={"weights": "nobody/nothing", "untrained": None})
    made, small = [], load_backbone(study.backbones["tiny"], tmp_path).model
    monkeypatch.setattr("transformers.AutoModel.from_config", lambda found: made.append(found) or small)
    backbone, stand_in = calibration._load(study, config)
    assert stand_in and not backbone.trained
    assert (made[0].model_type, made[0].hidden_size, made[0].num_hidden_layers) == ("wav2vec2", 768, 12)


def test_settings_are_those_of_the_first_fine_tuning_that_trains_the_backbone():
    study = make_study()
    values = study.model_dump(mode="json", exclude={"finetunings"})
    values["finetunings"] = {
        "probe": {"method": "probe", "backbones": ["tiny"], "batch_size": 7},
        "large": {"backbones": ["tiny"], "batch_size": 5},
        "small": {"batch_size": 3},
    }
    chosen = load_study(values)
    assert choose_calibrated(chosen, "tiny").batch_size == 5
    assert choose_calibrated(study, "tiny").batch_size == 2
    frozen = load_study(values | {"finetunings": {"probe": values["finetunings"]["probe"]}})
    assert choose_calibrated(frozen, "tiny") == Config(), "none trains it"
