"""What the report says of students and teachers."""

import json
from pathlib import Path

import pytest

from emoadapt import schema
from emoadapt.plugins import use_folder
from emoadapt.reporting import write_all
from emoadapt.reporting.display import present_table
from emoadapt.reporting.runs import list_batches
from emoadapt.reporting.tables import read_tidy
from emoadapt.reporting.teaching import build_teaching, list_teaching_notes
from emoadapt.storage.tables import read_table, write_table

FINETUNINGS = {
    "teacher": {"backbones": ["wavlm"], "starts": ["original"], "keep": "embeddings", "tasks": ["improv"], "seeds": [0, 1]},
    "student": {
        "method": "student", "backbones": ["tiny"], "starts": ["original"], "teacher": "wavlm.original.teacher", "tasks": ["improv"],
        "seeds": [0, 1],
    },
    "default": {"backbones": ["tiny"], "tasks": ["crema"]},
}  # fmt: skip
NOTED = (
    {
        "clips": 8.0,
        "clips_taught": 6.0,
        "clips_residual": 1.0,
        "clips_absent": 1.0,
        "ccc_valence": 0.5,
        "pearson_valence": 0.75,
    },
    {
        "clips": 8.0,
        "clips_taught": 4.0,
        "clips_residual": 3.0,
        "clips_absent": 1.0,
        "ccc_valence": 0.7,
        "pearson_valence": 0.75,
    },
)
PRINTED = """# Somebody (2026)
table,row,column,trained_on,tested_on,subset,backbone,objectives,method,metric,mean,std,stars
1,Training set,CCC_V,MSP-IMPROV,MSP-IMPROV (training part),full,wavlm-base,,finetune,ccc_valence,0.687,,
2,Test set,CCC_V,MSP-IMPROV,MSP-IMPROV,full,wavlm-base,,finetune,pearson_valence,0.690,,
"""
NOTE = (
    "improv, tiny.original.student: taught by wavlm.original.teacher on 62.5 % of the training clips (all clips), 25.0 % left out by "
    "their residual, 12.5 % unknown to the teacher."
)


@pytest.fixture(scope="module")
def reported(make_study, make_results, tmp_path_factory):
    """A study whose student had teachers in two runs, its results, and the folder of its report."""
    study, folder = make_study(finetunings=FINETUNINGS, adaptations={}, report={}), tmp_path_factory.mktemp("taught")
    inputs, results = make_results(study, folder)
    for setting in study.list_settings():
        if setting.model.finetuning != "student":
            continue
        for place, runs in list_batches(study, setting, inputs.splits[setting.task], results):
            path = place / "curves.parquet"
            rows = read_table(path, schema.CURVES).to_pylist()
            for run, noted in zip(runs, NOTED, strict=False):
                base = {"stage": "stage2", "run": setting.name(run), "part": "teacher", "epoch": 0, "best": False}
                rows += [base | {"metric": name, "value": value} for name, value in noted.items()]
            write_table(path, rows, schema.CURVES)
    write_all(study, results, folder / "tables", folder / "figures", folder / "index.html")
    return study, inputs, results, folder


def test_shares_and_scores_are_means_over_runs(reported) -> None:
    study, inputs, results, folder = reported
    found = build_teaching(study, inputs.splits, results)
    assert found["trainings"].unique().to_list() == [2]
    assert dict(found.select("measure", "mean").iter_rows()) == pytest.approx(
        {
            "share_taught": 0.625,
            "share_residual": 0.25,
            "share_absent": 0.125,
            "ccc_valence": 0.6,
            "pearson_valence": 0.75,
        }
    )
    assert found["paper_mean"].null_count() == found.height
    assert found.filter(measure="ccc_valence")["std"].item() == pytest.approx(0.2 / 2**0.5)
    assert read_tidy(folder / "tables" / "teaching.csv").equals(found)


def test_the_table_of_teachers_is_in_the_report(reported) -> None:
    *_, folder = reported
    text = (folder / "tables" / "teaching.md").read_text()
    assert "wavlm.original.teacher" in text and "CCC valence" in text and "62.5" in text and "0.600 ± 0.141" in text
    assert "taught (%) | residual (%) | absent (%) | CCC valence | Pearson's r valence" in text
    page = (folder / "index.html").read_text()
    assert "What students were taught" in page and "teacher ccc" not in page


@pytest.fixture
def printed(tmp_path):
    """A folder of plug-ins with a paper that scores a teacher on its training clips."""
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/somebody.csv").write_text(PRINTED)
    yield str(tmp_path)
    use_folder(None)


def test_value_of_the_paper_stands_beside_that_of_a_teacher(reported, make_study, printed) -> None:
    """As in Table 1 of Srinivasan et al. (2022)."""
    _, inputs, results, _ = reported
    study = make_study(finetunings=FINETUNINGS, adaptations={}, report={"paper": "somebody"}, plugins=printed)
    found = build_teaching(study, inputs.splits, results)
    assert dict(found.select("measure", "paper_mean").drop_nulls().iter_rows()) == {"ccc_valence": 0.687}
    (row,) = present_table("teaching", found).rows(named=True)
    assert row["CCC valence"] == "0.600 ± 0.141 (paper 0.687)" and row["Pearson's r valence"] == "0.750 ± 0.000"


def test_tables_of_scores_say_who_was_taught_on_what(reported) -> None:
    *_, folder = reported
    notes = json.loads((folder / "tables" / "results.notes.json").read_text())
    assert NOTE in notes
    assert any(
        "Fine-tuning student: the distance to the embedding of wavlm.original.teacher is added" in note
        for note in notes
    )


def test_a_study_without_teachers_has_no_table_of_them(written: Path, make_study, results, inputs) -> None:
    assert not (written / "tables" / "teaching.csv").exists()
    assert list_teaching_notes(build_teaching(make_study(), inputs.splits, results)) == {}
