"""Models on disk: which is the best classifier of a task, where it lies, and what a run says at its end."""

import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.machine.programs import name_program
from emoadapt.reporting.inputs import find_splits
from emoadapt.reporting.kept import announce_best, explain_none, find_best, list_models
from emoadapt.reporting.runs import list_batches
from emoadapt.storage.tables import read_table, write_table
from emoadapt.study.layout import name_refit
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


def test_the_model_with_the_highest_mean_on_dev_is_taken_and_its_median_run(study, folder):
    keep(study, folder, "wavlm.original", [0, 1, 2])
    keep(study, folder, "wavlm.multimodal", [0, 1, 2, 3, 4], raised=0.1)
    keep(study, folder, "tiny.multimodal", [4], subset="64", raised=0.9)
    best = find_best(study, find_splits(study, folder), folder)["crema"]
    assert best.kept.setting.model == Model("wavlm", "multimodal")
    # Scores rise with the seed: .1 * seed + .1 + (1 - .8 ** 6) / 2.
    assert best.kept.run == Run(seed=2), "of five the third"
    # Probes and models on descriptors, which are not kept, may have a higher one.
    assert best.why == (
        "Of all kept models it has the highest macro-F1 on development parts: 0.669, the mean over 5 trainings."
    )
    assert best.compared == "Behind it: wavlm (pretrained) original 0.569."
    keep(study, folder, "tiny.original", [0], part="dev_trained")
    best = find_best(study, find_splits(study, folder), folder)["crema"]
    assert best.compared.endswith(" 1 kept model without such a score is not compared.")
    assert find_best(study, find_splits(study, folder), folder)["improv"] is None


def test_of_the_kept_runs_the_one_nearest_to_the_median_is_taken_and_never_the_highest(study, folder):
    keep(study, folder, "wavlm.original", [0, 1, 3, 4])
    best = find_best(study, find_splits(study, folder), folder)["crema"]
    assert best.kept.run == Run(seed=1), "of two that are as near the lower one"


def test_each_number_says_what_it_is_of(study, folder):
    """Symptom: `the best classifier` came with a mean over other trainings as its score."""
    keep(study, folder, "wavlm.original", [0, 1, 2])
    best = find_best(study, find_splits(study, folder), folder)["crema"]
    scores = pl.from_arrow(read_table(folder / "metrics" / "crema.parquet"))
    scores = scores.filter(subset="full", test_corpus="crema_d", metric="macro_f1")
    own = scores.filter(backbone="wavlm", start="original")
    kept = own.filter(seed=2)["value"].item()
    assert own.height == 5 and round(kept, 3) != round(own["value"].mean(), 3)
    assert best.itself == (
        "The classifier is that of run p0f0r0s2: its score on development parts, 0.569, is the nearest to the median of the 5 trainings among those "
        f"that were kept. Its own macro-F1 on its test set: {kept:.3f}."
    )
    assert best.expected == (
        f"Expected macro-F1 on other clips of crema_d: {own['value'].mean():.3f}. That is the mean over 5 runs, on the test set. "
        "It is not the score of this classifier alone."
    )
    # The adapted model has a higher score on the test set: the summary names it.
    highest = scores.group_by("backbone", "start").agg(pl.mean("value"))["value"].max()
    assert f"has the highest macro-F1 on the test set, {highest:.3f}: no classifier of it was kept." in best.highest


def test_the_score_to_expect_comes_first_and_no_sentence_needs_a_second_reading(study, folder):
    """Symptom: one sentence of 60 words held four scores, and the one to expect stood last."""
    study = study.model_copy(update={"keep_models": "best"})
    keep(study, folder, "wavlm.original", [0, 1], task="improv")
    keep(study, folder, "wavlm.original.probe", [], raised=0.3, part="choice", task="improv")
    refit(study, folder, "wavlm.original.probe", "improv", "whole")
    for task in ("crema", "improv"):
        keep(study, folder, "wavlm.multimodal", [0], task=task)
        keep(study, folder, "tiny.original", [2], task=task)
    for found in find_best(study, find_splits(study, folder), folder).values():
        shown = [found.expected, found.why]
        assert shown[0].startswith("Expected macro-F1 on other clips of ")
        for sentence in " ".join([*shown, found.compared, found.itself]).split(". "):
            assert len(sentence.split()) <= 35, sentence
        for sentence in " ".join(shown).split(". "):
            assert len(re.findall(r"0\.\d{3}", sentence)) <= 1, sentence


def refit(study, folder, name, task, run):
    """Leave a classifier that was fitted once more."""
    (setting,) = (one for one in study.list_settings(task) if one.model == Model.parse(name))
    (Path(name_refit(setting, folder)) / f"{task}.{name}.full.{run}").mkdir(parents=True)


def test_a_classifier_of_all_labelled_clips_has_no_score_of_its_own(study, folder):
    study = study.model_copy(update={"keep_models": "best"})
    keep(study, folder, "wavlm.original", [0], task="improv")
    keep(study, folder, "wavlm.original.probe", [], raised=0.3, part="choice", task="improv")
    refit(study, folder, "wavlm.original.probe", "improv", "whole")
    best = find_best(study, find_splits(study, folder), folder)["improv"]
    assert best.kept.setting.model == Model("wavlm", "original", "probe") and best.kept.run is None
    assert best.why.startswith("Of all kept models it has the highest macro-F1 on clips held out from training: ")
    assert best.compared.startswith(
        "The clips held out from training chose its settings, too: up to 5 inner folds over training speakers."
    )
    assert best.compared.endswith("Some of these scores are on development parts."), "scores of two kinds were compared"
    assert best.itself.startswith(
        "The classifier was fitted once more, to all labelled clips, and was never tested itself"
    )
    assert best.expected.endswith("These trainings had fewer clips than this classifier.")
    *_, head, command = announce_best(study, folder)
    assert head.endswith("the mean over 5 runs; fitted to all labelled clips, never tested itself):")
    assert command == f"  {name_program('emoadapt')} predict {folder}/classifiers/improv recording.wav"


def test_one_that_an_earlier_study_fitted_is_not_offered(study, folder):
    """`keep_models` was `best` once."""
    refit(study, folder, "wavlm.original.probe", "improv", "whole")
    assert find_best(study, find_splits(study, folder), folder)["improv"] is None


def test_without_a_development_part_the_test_decides_and_is_said_to(study, folder):
    for name in ("wavlm.original", "wavlm.multimodal"):
        keep(study, folder, name, [0], part="dev_trained")
    best = find_best(study, find_splits(study, folder), folder)["crema"]
    assert best.kept.setting.model == Model("wavlm", "multimodal"), "the better one of the invented predictions"
    assert best.why.endswith("So the test chose, and this score is too good.")
    assert best.itself.startswith(
        "The classifier is that of run p0f0r0s0, the first: no development score ranks the runs. Its own macro-F1"
    )


def test_the_best_lies_in_one_place_and_the_last_line_predicts_with_it(study, folder):
    keep(study, folder, "wavlm.original", [0])
    stale = folder / "classifiers" / "gone"
    stale.parent.mkdir()
    stale.symlink_to("../runs/nowhere")
    first, head, last = announce_best(study, folder)
    assert head.startswith("Predict with the best classifier of crema (wavlm.original; expected macro-F1 0.")
    assert first == (
        "No classifier of improv was kept. To predict with one, add the line keep_models: best to the study and run again; "
        "fine-tuned models are trained again."
    )
    assert last.endswith(f"emoadapt predict {folder}/classifiers/crema recording.wav")
    link = folder / "classifiers" / "crema"
    assert link.is_symlink() and link.resolve().name == "crema.wavlm.original.full.p0f0r0s0"
    assert not link.readlink().is_absolute(), "the folder of results may be moved"
    assert not stale.is_symlink()
    keep(study, folder, "wavlm.multimodal", [1], raised=0.1)
    assert [*announce_best(study, folder)][1].startswith(
        "Predict with the best classifier of crema (wavlm.multimodal; "
    )
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


def test_adapted_models_are_listed_where_they_are(study, folder):
    assert list_models(study, find_splits(study, folder), folder).adapted == []
    (folder / "models/tiny.multimodal").mkdir(parents=True)
    assert list_models(study, find_splits(study, folder), folder).adapted == [folder / "models/tiny.multimodal"]
