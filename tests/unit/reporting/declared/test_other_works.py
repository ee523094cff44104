"""Values that a paper prints of other works, below a table of ours."""

import pytest

from emoadapt.plugins import use_folder
from emoadapt.reporting.declared.cells import build_cells
from emoadapt.reporting.declared.footnotes import list_footnotes

PAPER = """# Somebody (2026)
table,row,column,trained_on,tested_on,subset,classes,backbone,objectives,method,metric,mean,std,stars
I,ours,F1,CREMA-D,CREMA-D,full,6,wavlm-base,,finetune,macro_f1,0.675,0.03,
I,Their et al. [20],F1,CREMA-D,CREMA-D,full,6,,,,macro_f1,0.6512,0.0032,#
I,Their et al. [20],UAR,CREMA-D,CREMA-D,full,6,,,,uar,0.7,,
I,Four classes [21],F1,CREMA-D,CREMA-D,full,4,,,,macro_f1,0.8,,
I,Elsewhere [22],F1,EmoDB,EmoDB,full,,,,,macro_f1,0.9,,
II,Another table [23],F1,CREMA-D,CREMA-D,full,6,,,,macro_f1,0.1,,
"""
NOTES = "table,row,column,note\nI,ours,F1,the text says 0.7\nI,Their et al. [20],UAR,not shown here\n"


@pytest.fixture
def shelf(tmp_path):
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/somebody.csv").write_text(PAPER)
    (tmp_path / "papers/somebody.notes.csv").write_text(NOTES)
    use_folder(tmp_path)
    yield
    use_folder(None)


def test_other_works_of_the_same_table_test_and_metric_are_listed(paper, shelf):
    report = paper.study.report.model_copy(update={"paper": "somebody"})
    study = paper.study.model_copy(update={"report": report})
    notes = list_footnotes(study, "table_1", build_cells(study, "table_1", paper.frame))
    assert [note for note in notes if "other works" in note] == [
        "Only the paper has values of other works: Their et al. [20], F1 0.651 ± 0.003#."
    ]
    assert [note for note in notes if note.startswith("On the paper")] == ["On the paper: the text says 0.7."]


def test_paper_without_other_works_lists_none(paper):
    notes = list_footnotes(paper.study, "table_1", build_cells(paper.study, "table_1", paper.frame))
    assert not any("other works" in note for note in notes)
