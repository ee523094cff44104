"""The paper's figures: transcribed, and found by what a setting is."""

import pytest

from emoadapt.errors import DataError
from emoadapt.plugins import use_folder
from emoadapt.reporting.reference import COLUMNS, cite_paper, find_paper_value, read_paper, read_paper_notes
from emoadapt.study.nodes import Model

PLAIN = {
    "finetunings": {"default": {}, "probe": {"method": "probe"}},
    "report": {"paper": "goncalves2025"},
}
WAV2VEC2 = {"architecture": "wav2vec2", "weights": "facebook/wav2vec2-base"}


def study_with(make_study, objectives, **backbone):
    adaptation = {"corpora": ["films"], "objectives": objectives}
    backbones = {"b": backbone or WAV2VEC2, "vector": {"architecture": "vector", "reads": "egemaps"}}
    return make_study(backbones=backbones, adaptations={"a": adaptation}, **PLAIN)


def test_tables_have_all_cells_of_the_paper():
    paper = read_paper("goncalves2025")
    assert paper.columns == list(COLUMNS)
    assert dict(paper["table"].value_counts().iter_rows()) == {"I": 27, "II": 24, "III": 6, "IV": 6, "V": 2, "VI": 18}
    assert not paper.select("table", "row", "column").is_duplicated().any()


@pytest.mark.parametrize(
    ("objectives", "start", "expected"),
    [
        ({"egemaps": 1, "sentiment": 0.5, "face": 1}, "original", (0.650, 0.04)),
        ({"egemaps": 1, "sentiment": 0.5, "face": 1}, "a", (0.681, 0.03)),
        ({"egemaps": 1}, "a", (0.662, None)),
        ({"egemaps": 0.5, "sentiment": 1}, "a", (0.668, None)),
        ({"egemaps": 1, "sentiment": 1.5, "face": 1}, "a", (0.674, None)),
        ({"egemaps": 3}, "a", None),
        ({"face": 1}, "a", None),
        ({"egemaps": 1}, "vector", (0.387, 0.02)),
    ],
)
def test_a_setting_is_matched_by_objectives(make_study, objectives, start, expected):
    model = Model("vector") if start == "vector" else Model("b", start)
    study = study_with(make_study, objectives)
    assert find_paper_value(study, "crema", "crema_d", model, "full", "macro_f1") == expected
    probed = model._replace(finetuning="probe")
    assert find_paper_value(study, "crema", "crema_d", probed, "full", "macro_f1") is None, "the paper fine-tunes"


def test_untrained_backbones_and_other_metrics_match_nothing(make_study):
    adapted = {"egemaps": 1, "sentiment": 0.5, "face": 1}
    untrained = study_with(make_study, adapted, architecture="wav2vec2", untrained={})
    assert find_paper_value(untrained, "crema", "crema_d", Model("b"), "full", "macro_f1") is None
    trained = study_with(make_study, adapted)
    assert find_paper_value(trained, "crema", "crema_d", Model("b"), "full", "uar") is None
    assert find_paper_value(trained, "crema", "crema_d", Model("b"), "64", "macro_f1") is None
    assert find_paper_value(trained, "crema", "msp_improv", Model("b"), "full", "macro_f1") is None


def test_low_resource_bias_and_cross_corpus_tables(make_study):
    podcast = {"importer": "csv", "root": "p", "file": "l.csv"}
    corpora = {name: podcast for name in ("msp_podcast", "msp_improv", "films")}
    task = {"corpus": "msp_podcast", "classes": ["a", "b"], "split": {"by": "official"}, "subsets": [1000, "full"]}
    study = make_study(
        corpora=corpora,
        tasks={"podcast": task, "improv": {**task, "corpus": "msp_improv"}},
        backbones={"hubert": {"architecture": "hubert", "weights": "models/hubert-base-ls960"}},
        adaptations={"all_three": {"corpora": ["films"], "objectives": {"egemaps": 1, "sentiment": 0.5}}},
        **PLAIN,
    )
    assert find_paper_value(study, "podcast", "msp_podcast", Model("hubert"), "1000", "macro_f1") == (0.544, 0.03)
    assert find_paper_value(study, "podcast", "msp_improv", Model("hubert"), "full", "macro_f1") == (0.538, 0.048)
    assert find_paper_value(study, "improv", "msp_improv", Model("hubert"), "full", "f1_bias") == (0.1426, None)


def test_no_paper_no_values(study, make_study):
    silent = make_study(report={"bootstrap": 200})
    assert find_paper_value(silent, "crema", "crema_d", Model("wavlm"), "full", "macro_f1") is None
    assert find_paper_value(study, "crema", "crema_d", Model("wavlm"), "full", "macro_f1") == (0.675, 0.03)


def test_values_are_those_of_the_paper():
    """Sums of the means of each table, as first transcribed from the paper."""
    paper = read_paper("goncalves2025")
    sums = {
        table: round(float(part["mean"].sum()), 4)
        for (table,), part in paper.partition_by("table", as_dict=True).items()
    }
    assert sums == {"I": 16.028, "II": 14.084, "III": 3.608, "IV": 0.8181, "V": 1.096, "VI": 11.366}
    assert paper.height == 83
    assert cite_paper("goncalves2025") == "Goncalves & Busso (2025)"
    assert set(read_paper_notes("goncalves2025")["table"]) == {"I", "II", "III", "IV", "V", "VI"}


PAPER = """# Somebody (2026)
table,row,column,trained_on,tested_on,subset,backbone,objectives,method,metric,mean,std,stars
2,a,b,CREMA-D,CREMA-D,full,wav2vec2-base,,probe,uar,0.512,0.01,*
"""


@pytest.fixture
def shelf(tmp_path):
    """A study's own folder of plug-ins with a paper in it."""
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "somebody.csv").write_text(PAPER)
    use_folder(tmp_path)
    yield tmp_path / "papers"
    use_folder(None)


def test_paper_without_a_column_is_refused(shelf):
    (shelf / "somebody.csv").write_text(PAPER.replace("subset,", "").replace("full,", ""))
    with pytest.raises(DataError, match=r"somebody.csv: columns subset are missing; see docs/add-a-paper.md"):
        read_paper("somebody")
