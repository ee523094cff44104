"""Which settings stand in which cell, what is compared with what, and what is refused."""

import copy

import pytest

from emoadapt.config import load_study
from emoadapt.errors import ConfigError
from emoadapt.reporting.notices import describe_left_out
from emoadapt.study.nodes import Model
from emoadapt.study.tables import Against, list_cells, list_comparisons

VALUES = {
    "study": "trial",
    "corpora": {
        "films": {"importer": "folder", "root": "films", "modalities": ["audio", "video"]},
        "acted": {"importer": "ravdess", "root": "acted"},
        "other": {"importer": "emodb", "root": "other", "optional": True},
    },
    "backbones": {
        "w": {"architecture": "wav2vec2", "untrained": {}},
        "h": {"architecture": "hubert", "untrained": {}},
        "egemaps": {"architecture": "vector", "reads": "egemaps"},
    },
    "finetunings": {
        "default": {"backbones": ["w", "h"]},
        "probe": {"method": "probe", "backbones": ["w"]},
        "mlp": {"backbones": ["egemaps"], "epochs": 100},
    },
    "report": {"baseline": "egemaps.original.mlp"},
    "adaptations": {
        "full": {"corpora": ["films"]},
        "speech": {"corpora": ["films"], "objectives": {"egemaps": 1}, "backbones": ["w"], "tasks": ["acted"]},
    },
    "tasks": {
        "acted": {
            "corpus": "acted", "classes": ["anger", "neutral"], "split": {"by": "fractions"},
            "subsets": [20, "full"], "test_also": ["other"],
        },
        "other": {"corpus": "other", "classes": ["anger", "neutral"], "split": {"by": "fractions"}},
    },
}  # fmt: skip


def study_with(tmp_path, *, there=True, report=None, **tables):
    values = copy.deepcopy(VALUES)
    values["corpora"]["other"]["root"] = str(tmp_path if there else tmp_path / "absent")
    return load_study(values | {"tables": tables} | ({"report": report} if report else {}))


def table(models, baseline=None, **keys):
    part = {"models": models} | ({"baseline": baseline} if baseline else {})
    return {"title": "t", "tasks": ["acted"], "parts": [part], **keys}


def baselines(study):
    return {(str(m), str(b)) for m, b in list_comparisons(study, "acted")}


def test_cells_are_the_product_of_what_is_named(tmp_path):
    study = study_with(
        tmp_path,
        t=table(
            ["egemaps.original.mlp", "w.full"], "original", subsets=[20, "full"], rows=["subset"], columns=["model"]
        ),
    )
    cells = list_cells(study, study.tables["t"])
    assert [(c.subset, c.models) for c in cells] == [
        ("20", (("egemaps", "original", "mlp"),)),
        ("20", (("w", "full", "default"),)),
        ("full", (("egemaps", "original", "mlp"),)),
        ("full", (("w", "full", "default"),)),
    ]
    assert [c.against for c in cells[:2]] == [None, Against((Model("w"),), "one")]
    assert {c.corpus for c in cells} == {"acted"}


def study_without_a_test_part(tmp_path, *others, **tables):
    """A study whose task `acted` has no test clips of its own corpus."""
    values = copy.deepcopy(VALUES)
    values["tasks"]["acted"] |= {"split": {"by": "all", "dev": 0.2}, "test_also": list(others)}
    values["corpora"]["other"]["root"] = str(tmp_path)
    return load_study(values | {"tables": tables})


def test_a_task_all_of_whose_clips_are_for_training_is_shown_on_the_other_corpora(tmp_path):
    """Symptom: a table of such a task held "not computed yet" in all cells after a complete run."""
    study = study_without_a_test_part(tmp_path, "other", t=table(["w.original"]))
    assert [cell.corpus for cell in list_cells(study, study.tables["t"])] == ["other"]
    both = table(["w.original"], columns=["model", "corpus"])
    study = study_without_a_test_part(tmp_path, "other", "films", t=both)
    assert [cell.corpus for cell in list_cells(study, study.tables["t"])] == ["other", "films"]
    with pytest.raises(ConfigError, match="a cell would hold more than one corpus"):
        study_without_a_test_part(tmp_path, "other", "films", t=table(["w.original"]))


def test_a_corpus_without_test_clips_is_refused_in_test_on(tmp_path):
    wanted = table(["w.original"], test_on=["acted"])
    with pytest.raises(
        ConfigError, match=r"all clips of acted are for training in task acted .* tested on other; name these"
    ):
        study_without_a_test_part(tmp_path, "other", t=wanted)


def test_only_tests_that_are_not_made_anyway_are_asked_for(tmp_path):
    study = study_with(
        tmp_path,
        a=table(["egemaps.original.mlp", "w.full", "w.original"], "original"),
        b=table(["w.speech", "w.full"], "w.speech"),
        c=table(["w.full"], "egemaps.original.mlp"),
        d=table(["w.full", {"best_of": ["h.full", "w.speech"]}], "h.original"),
    )
    assert baselines(study) == {("w.full", "w.speech"), ("w.full", "h.original"), ("w.speech", "h.original")}
    assert list_comparisons(study, "other") == []


def test_a_best_baseline_is_compared_with_all_its_candidates_and_a_member_with_none(tmp_path):
    best = {"best_of": ["w.speech", "h.full"]}
    study = study_with(tmp_path, t=table(["w.full", "w.speech"], best))
    assert baselines(study) == {("w.full", "w.speech"), ("w.full", "h.full")}
    cells = list_cells(study, study.tables["t"])
    assert cells[0].against == Against((Model("w", "speech"), Model("h", "full")), "best")
    assert cells[1].against is None


def test_a_corpus_that_is_not_there_is_named_in_the_cell_and_is_no_error(tmp_path):
    tables = {
        "home": table(["w.original"], tasks=["acted", "other"]),
        "away": table(["w.original"], test_on=["other"], columns=["model", "corpus"]),
    }
    study = study_with(tmp_path, there=False, **tables)
    assert [c.missing for c in list_cells(study, study.tables["home"])] == [None, "needs corpus other"]
    assert [c.missing for c in list_cells(study, study.tables["away"])] == ["needs corpus other"]
    there = study_with(tmp_path, **tables)
    assert {c.missing for name in tables for c in list_cells(there, there.tables[name])} == {None}


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"t": table(["x.original"])}, r"tables.t.parts.0: backbone x of x.original is not defined; there is w, h, egemaps"),
        ({"t": table(["h.speech"])}, r"h.speech is not computed; the starts of backbone h are original, full"),
        ({"t": table(["w.speech"], tasks=["other"])}, r"w.speech is not trained on task other, subset full"),
        ({"t": table(["w.full"], "w.nothing")}, r"w.nothing is not computed"),
        ({"t": table(["w.full"], tasks=["none"])}, r"tables.t.tasks: none is not defined; there is acted, other"),
        ({"t": table(["w.full"], subsets=[99])}, r"tables.t.subsets: task acted has no subset 99; it has 20, full"),
        ({"t": table(["w.full"], test_on=["films"])}, r"tables.t.test_on: task acted is not tested on films, only on acted, other"),
        ({"t": table(["w.full"], subsets=[20, "full"])}, r"a cell would hold more than one subset; name `subset`"),
        ({"t": table(["w.full", "w.original"], columns=["backbone"])}, r"a cell would hold more than one start"),
        ({"t": table(["w.full"], columns=["model", "start"])}, r"name `model`, or its parts"),
        ({"t": table([{"best_of": ["w.full", "h.full"]}], columns=["start"])}, r"a best_of entry has no single"),
        ({"t": table(["egemaps.original.mlp"], metric="cosine_distance")}, r"its embeddings are not trained"),
        ({"t": table(["w.original.svm"])}, r"fine-tuning svm of w.original.svm is not defined; there is default, probe, mlp"),
        ({"t": table(["h.original.probe"])}, r"h.original.probe is not trained on task acted, subset full"),
        ({"t": table(["w.original", "w.original.probe"], columns=["start"])}, r"a cell would hold more than one finetuning"),
        ({"t": table(["w.full"], metric="ccc_mean")}, r"tables.t.metric: task acted has classes, and no ccc_mean"),
        ({"results": table(["w.full"])}, r"tables.results: this name is taken"),
        ({"t": table(["w.full"], paper=["I"])}, r"tables.t.paper: the study names no paper"),
    ],
)  # fmt: skip
def test_a_selection_of_nothing_is_one_sentence(tmp_path, tables, sentence):
    with pytest.raises(ConfigError, match=sentence):
        study_with(tmp_path, **tables)


def test_models_may_differ_in_what_is_not_named_if_they_also_differ_in_what_is(tmp_path):
    """The descriptors of a paper's first table have a fine-tuning of their own, and a column of their own."""
    models = ["egemaps.original.mlp", "w.original", "w.full"]
    study = study_with(tmp_path, t=table(models, columns=["backbone", "start"]))
    assert len(list_cells(study, study.tables["t"])) == 3


def test_a_finetuning_without_its_corpus_is_named_in_the_cell_and_is_no_error(tmp_path):
    finetunings = VALUES["finetunings"] | {"away": {"backbones": ["w"], "tasks": ["other"]}}
    values = copy.deepcopy(VALUES) | {"finetunings": finetunings}
    values["corpora"]["other"]["root"] = str(tmp_path / "absent")
    study = load_study(
        values | {"tables": {"t": table(["w.original", "w.original.away"], "w.original.away", tasks=["acted"])}}
    )
    cells = list_cells(study, study.tables["t"])
    assert [(cell.missing, cell.against) for cell in cells] == [(None, None), ("needs corpus other", None)]
    assert (
        describe_left_out(study) == "Not computed, because corpora are missing: the task other; the fine-tuning away."
    )


def test_a_model_is_tested_against_the_original_of_its_own_finetuning(tmp_path):
    study = study_with(tmp_path, t=table(["w.full.probe", "w.original.probe"], "original"))
    cells = list_cells(study, study.tables["t"])
    assert [cell.against and cell.against.models for cell in cells] == [(Model("w", "original", "probe"),), None]
    assert baselines(study) == set(), "it is compared with its own original anyway"


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ({"baseline": "egemaps.original"}, r"report.baseline: egemaps.original is not a model of this study; did you mean egemaps.original.mlp"),
        ({"baseline": "egemaps"}, r"report.baseline: egemaps is a backbone of the study now; write <backbone>.<start>"),
        ({"paper": "goncalves2024"}, r"report.paper: paper goncalves2024 is not known; did you mean goncalves2025\?"),
    ],
)  # fmt: skip
def test_a_baseline_or_paper_that_is_not_there_is_one_sentence(tmp_path, report, sentence):
    with pytest.raises(ConfigError, match=sentence):
        study_with(tmp_path, report=report)
