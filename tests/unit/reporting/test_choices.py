"""What the report says of choices, and of the statistics that vectors are z-scored with."""

import json

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.reporting import write_all
from emoadapt.reporting.choices import build_choices, list_scale_notes
from emoadapt.reporting.runs import list_batches
from emoadapt.reporting.style import list_method_notes
from emoadapt.reporting.tables import read_tidy
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import read_table, write_table

PROBES = {
    "chosen": {"method": "probe", "backbones": ["wavlm"], "classifier": "logistic", "layer": "best", "c": [0.05, 1.0], "tasks": ["improv"]},
    "scaled": {"method": "svm", "backbones": ["wavlm"], "normalise": "speaker", "tasks": ["improv"]},
    "default": {"backbones": ["tiny"]},
}  # fmt: skip
TABLE = {"title": "Probes", "rows": "model", "columns": "test_corpus", "metric": "macro_f1"}
NOTE = (
    "improv, wavlm.original.chosen: each training chose one of 4 combinations by up to 5 inner folds over training speakers, never by the test part; "
    "all clips, 1 training: layer=0 c=1.0 once."
)


@pytest.fixture(scope="module")
def reported(make_study, make_results, tmp_path_factory):
    """A study whose run chose, its results, and the folder of its report."""
    study, folder = make_study(finetunings=PROBES, adaptations={}, report={}), tmp_path_factory.mktemp("chosen")
    inputs, results = make_results(study, folder)
    for setting in study.list_settings():
        if setting.model.finetuning != "chosen":
            continue
        for place, runs in list_batches(study, setting, inputs.splits[setting.task], results):
            path = place / "curves.parquet"
            rows = read_table(path, schema.CURVES).to_pylist()
            base = {"stage": "stage2", "run": setting.name(runs[0]), "part": "choice"}
            scores = {"layer=0 c=0.05": 0.6, "layer=0 c=1.0": 0.75, "layer=1 c=0.05": 0.75, "layer=1 c=1.0": 0.5}
            rows += [
                base | {"epoch": number, "metric": name, "value": value, "best": number == 1}
                for number, (name, value) in enumerate(scores.items())
            ]
            write_table(path, rows, schema.CURVES)
    write_all(study, results, folder / "tables", folder / "figures", folder / "index.html")
    return study, inputs, results, folder


def test_choices_are_counted(reported) -> None:
    study, inputs, results, folder = reported
    found = build_choices(study, inputs.splits, results)
    assert found.rows(named=True) == [
        {"task": "improv", "subset": "full", "backbone": "wavlm", "start": "original", "finetuning": "chosen"}
        | {"combination": "layer=0 c=1.0", "times": 1, "trainings": 1, "tried": 4, "score": 0.75}
        | {"chosen_by": "up to 5 inner folds over training speakers", "weights": "pretrained"}
    ]
    assert read_tidy(folder / "tables" / "choices.csv").equals(found)
    assert "| pretrained | layer=0 c=1.0 | 1 of 1 | 4 combinations" in (folder / "tables" / "choices.md").read_text()
    assert "layer=0 c=1.0" in (folder / "index.html").read_text()


def test_tables_say_what_was_chosen(reported) -> None:
    *_, folder = reported
    assert NOTE in json.loads((folder / "tables" / "results.notes.json").read_text())
    assert NOTE not in (folder / "tables" / "data.md").read_text()


def test_scores_of_choices_are_no_training_curve(reported) -> None:
    *_, folder = reported
    assert "choice layer" not in (folder / "index.html").read_text()


def test_mixed_statistics_are_said(reported) -> None:
    *_, folder = reported
    sentence = (
        "Vectors are z-scored with the statistics of the training clips (chosen), of each speaker, of unlabelled test clips too (scaled); "
        "rows with different statistics are no fair comparison of models."
    )
    assert sentence in json.loads((folder / "tables" / "results.notes.json").read_text())


def test_the_usual_statistics_are_not_spoken_of(make_study) -> None:
    study = make_study()
    assert not [note for note in list_method_notes(study, study.finetunings) if "z-scored" in note]
    study = make_study(
        finetunings={"default": {"backbones": ["tiny"]}, "mlp": {"backbones": ["egemaps"], "normalise": "corpus"}},
        report={},
    )
    assert list_method_notes(study, study.finetunings) == [
        "Vectors are z-scored with the statistics of each corpus, of unlabelled test clips too (mlp)."
    ]  # fmt: skip


def test_vectors_that_are_not_scaled_are_spoken_of(make_study) -> None:
    """Symptom: "Vectors are z-scored with the statistics ." where all had `normalise: none`."""
    plain = {"method": "probe", "backbones": ["tiny"], "normalise": "none"}
    probes = {"default": {"backbones": ["tiny"]}, "plain": plain, "usual": plain | {"normalise": "train"}}
    study = make_study(finetunings={name: probes[name] for name in ("default", "plain")}, report={})
    assert "Vectors are not z-scored (plain)." in list_method_notes(study, study.finetunings)
    study = make_study(finetunings=probes, report={})
    assert list_method_notes(study, study.finetunings)[-1] == (
        "Vectors are z-scored with the statistics of the training clips (usual), and not z-scored (plain); rows with different statistics "
        "are no fair comparison of models."
    )


def test_small_groups_are_said(reported) -> None:
    study, inputs, _, folder = reported
    sentence = (
        "Fine-tuning scaled, improv: 10 of 10 speakers have fewer than 10 clips (msp_improv s0, msp_improv s1, msp_improv s2, ...), so that the "
        "statistics of each are uncertain."
    )
    splits = {task: read_frame(paths, schema.SPLITS) for task, paths in inputs.splits.items()}
    assert list_scale_notes(study, splits) == {"improv": [sentence]}
    assert sentence in (folder / "tables" / "results.md").read_text()


def test_a_study_without_choices_has_no_table_of_them(written) -> None:
    assert not (written / "tables" / "choices.csv").exists()


def test_no_choice_is_read_as_no_rows(make_study, results, inputs) -> None:
    found = build_choices(make_study(), inputs.splits, results)
    assert isinstance(found, pl.DataFrame) and found.is_empty()
