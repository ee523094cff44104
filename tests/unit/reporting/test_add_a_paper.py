"""The examples of docs/add-a-paper.md, executed."""

import re
from pathlib import Path

import pytest
import yaml

from emoadapt.config import load_study
from emoadapt.config.papers import list_papers
from emoadapt.plugins import use_folder
from emoadapt.reporting.reference import cite_paper, find_in_tables, find_paper_value, read_paper_notes
from emoadapt.study.nodes import Model
from emoadapt.study.tables import list_cells

PAGE = (Path(__file__).parents[3] / "docs/add-a-paper.md").read_text(encoding="utf-8")
VALUES, NOTES = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
(STUDY,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def study(tmp_path, monkeypatch):
    papers = tmp_path / "my_plugins" / "papers"
    papers.mkdir(parents=True)
    (papers / "doe2024.csv").write_text(VALUES, encoding="utf-8")
    (papers / "doe2024.notes.csv").write_text(NOTES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield load_study(yaml.safe_load(STUDY))
    use_folder(None)


def test_values_stand_beside_the_models_that_they_are_of(study):
    assert {"doe2024", "goncalves2025"} < {*list_papers()}
    cells = list_cells(study, study.tables["table_2"])
    found = [find_in_tables(study, ["2"], "acted", "crema_d", cell.models, cell.subset, "uar") for cell in cells]
    assert [value and value.mean for value in found] == [0.512, None, 0.530]


def test_a_setting_is_found_by_what_it_is(study):
    frozen = Model("hubert", finetuning="frozen")
    assert find_paper_value(study, "acted", "crema_d", frozen, "full", "uar") == (0.512, 0.02)
    assert find_paper_value(study, "acted", "crema_d", frozen, "full", "macro_f1") is None
    assert find_paper_value(study, "acted", "crema_d", frozen._replace(backbone="wavlm"), "full", "uar") is None


def test_the_paper_is_cited_with_its_notes(study):
    assert cite_paper("doe2024") == "Doe & Roe (2024)"
    assert read_paper_notes("doe2024").rows() == [("2", "HuBERT", "UAR", "the abstract gives 0.521")]
