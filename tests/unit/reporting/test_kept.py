"""Models on disk: which is the best classifier of a task, where it lies, and what a run says at its end."""

import shutil

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.reporting.inputs import find_splits
from emoadapt.reporting.kept import announce_best, explain_none, find_best, list_models
from emoadapt.reporting.runs import list_batches
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.nodes import Model, Run


@pytest.fixture
def folder(results, tmp_path):
    """A copy of the results that holds what the choice reads."""
    for name in ("runs", "splits", "metrics"):
        shutil.copytree(results / name, tmp_path / "results" / name)
    return tmp_path / "results"


def keep(study, folder, name, seeds, raised=0.0, subset="full", part="dev", task="crema"):
    """Leave models of a setting, whose dev scores are raised, or of another part."""
    (setting,) = (one for one in study.list_settings(task) if (one.model, one.subset) == (Model.parse(name), subset))
    for place, runs in list_batches(study, setting, find_splits(study, folder)[task], folder):
        curves = pl.from_arrow(read_table(place / "curves.parquet"))
        changed = curves.with_columns(pl.col("value") + raised, part=pl.lit(part))
        write_table(place / "curves.parquet", changed.to_arrow(), schema.CURVES)
        for run in runs:
            if run.seed in seeds:
                (place / "models" / setting.name(run)).mkdir(parents=True)


def test_the_model_with_the_highest_mean_on_dev_is_taken_and_its_best_run(study, folder):
    keep(study, folder, "wavlm.original", [0, 1, 2])
    keep(study, folder, "wavlm.multimodal", [0, 2, 1], raised=0.1)
    keep(study, folder, "tiny.multimodal", [4], subset="64", raised=0.9)
    best = find_best(study, find_splits(study, folder), folder)["crema"]
    assert best.kept.setting.model == Model("wavlm", "multimodal")
    assert best.kept.run == Run(seed=2), "the highest of those that were kept"
    # Probes and models on descriptors, which are not kept, may have a higher one.
    assert best.why.startswith("of the kept models it has the highest mean macro-F1 on development parts")
    assert "not compared" not in best.why
    keep(study, folder, "tiny.original", [0], part="dev_trained")
    best = find_best(study, find_splits(study, folder), folder)["crema"]
    assert best.why.endswith("; 1 kept model without one is not compared")
    assert find_best(study, find_splits(study, folder), folder)["improv"] is None


def test_without_a_development_part_the_test_decides_and_is_said_to(study, folder):
    for name in ("wavlm.original", "wavlm.multimodal"):
        keep(study, folder, name, [0], part="dev_trained")
    best = find_best(study, find_splits(study, folder), folder)["crema"]
    assert best.kept.setting.model == Model("wavlm", "multimodal"), "the better one of the invented predictions"
    assert best.why.startswith("no run of a kept model has a development part") and best.why.endswith("too good for it")


def test_the_best_lies_in_one_place_and_the_last_line_predicts_with_it(study, folder):
    keep(study, folder, "wavlm.original", [0])
    stale = folder / "classifiers" / "gone"
    stale.parent.mkdir()
    stale.symlink_to("../runs/nowhere")
    first, last = announce_best(study, folder)
    assert first == (
        "No classifier of improv was kept. To predict with one, add the line keep_models: best to the study and run again; "
        "the trainings are repeated."
    )
    assert last.endswith(f"emoadapt predict {folder}/classifiers/crema recording.wav")
    link = folder / "classifiers" / "crema"
    assert link.is_symlink() and link.resolve().name == "crema.wavlm.original.full.p0f0r0s0"
    assert not link.readlink().is_absolute(), "the folder of results may be moved"
    assert not stale.is_symlink()
    keep(study, folder, "wavlm.multimodal", [1], raised=0.1)
    assert list(announce_best(study, folder))[-1] == last.replace("wavlm.original", "wavlm.multimodal")
    assert link.resolve().name == "crema.wavlm.multimodal.full.p0f0r0s1"


def test_a_part_of_a_study_ends_without_a_line(study, tmp_path):
    assert list(announce_best(study, tmp_path)) == []
    assert not (tmp_path / "classifiers").exists()


def test_what_cannot_be_kept_is_said_with_its_reason(make_study):
    study = make_study(
        backbones={"egemaps": {"architecture": "vector", "reads": "egemaps"}},
        adaptations={}, finetunings={"mlp": {}, "svm": {"method": "svm", "normalise": "speaker"}}, report={},
    )  # fmt: skip
    assert explain_none(study, ["crema"]) == (
        "No classifier of crema is kept. egemaps.original.mlp: method: finetune on egemaps gives no model that emoadapt predict loads; "
        "method: probe with classifier: mlp can be kept. egemaps.original.svm: normalise: speaker needs statistics of unlabelled clips, "
        "which a prediction lacks; with normalise: train it can be kept."
    )


def test_a_probe_that_was_trained_on_dev_counts_with_the_score_of_its_choice(study, folder):
    keep(study, folder, "wavlm.original", [0], task="improv")
    keep(study, folder, "wavlm.multimodal.probe", [1], raised=0.3, part="choice", task="improv")
    best = find_best(study, find_splits(study, folder), folder)["improv"]
    assert best.kept.setting.model == Model("wavlm", "multimodal", "probe") and best.kept.run == Run(seed=1)
    assert "held out to choose its settings (up to 5 inner folds over training speakers), " in best.why


def test_adapted_models_are_listed_where_they_are(study, folder):
    assert list_models(study, find_splits(study, folder), folder).adapted == []
    (folder / "models/tiny.multimodal").mkdir(parents=True)
    assert list_models(study, find_splits(study, folder), folder).adapted == [folder / "models/tiny.multimodal"]
