"""Which settings stand in which cell, what is compared with what, and what is refused."""

import copy

import pytest

from emoadapt.config import load_study
from emoadapt.errors import ConfigError
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
    },
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


def study_with(tmp_path, *, there=True, finetuning=None, **tables):
    values = copy.deepcopy(VALUES)
    values["corpora"]["other"]["root"] = str(tmp_path if there else tmp_path / "absent")
    return load_study(values | {"tables": tables} | ({"finetuning": finetuning} if finetuning else {}))


def table(models, baseline=None, **keys):
    part = {"models": models} | ({"baseline": baseline} if baseline else {})
    return {"title": "t", "tasks": ["acted"], "parts": [part], **keys}


def baselines(study):
    return {(".".join(m), ".".join(b)) for m, b in list_comparisons(study, "acted")}


def test_cells_are_the_product_of_what_is_named(tmp_path):
    study = study_with(
        tmp_path, t=table(["egemaps", "w.full"], "original", subsets=[20, "full"], rows=["subset"], columns=["model"])
    )
    cells = list_cells(study, study.tables["t"])
    assert [(c.subset, c.models) for c in cells] == [
        ("20", (("handcrafted", "egemaps"),)),
        ("20", (("w", "full"),)),
        ("full", (("handcrafted", "egemaps"),)),
        ("full", (("w", "full"),)),
    ]
    assert [c.against for c in cells[:2]] == [None, Against((("w", "original"),), "one")]
    assert {c.corpus for c in cells} == {"acted"}


def test_only_tests_that_are_not_made_anyway_are_asked_for(tmp_path):
    study = study_with(
        tmp_path,
        a=table(["egemaps", "w.full", "w.original"], "original"),
        b=table(["w.speech", "w.full"], "w.speech"),
        c=table(["w.full"], "egemaps"),
        d=table(["w.full", {"best_of": ["h.full", "w.speech"]}], "h.original"),
    )
    assert baselines(study) == {("w.full", "w.speech"), ("w.full", "h.original"), ("w.speech", "h.original")}
    assert list_comparisons(study, "other") == []


def test_a_best_baseline_is_compared_with_all_its_candidates_and_a_member_with_none(tmp_path):
    best = {"best_of": ["w.speech", "h.full"]}
    study = study_with(tmp_path, t=table(["w.full", "w.speech"], best))
    assert baselines(study) == {("w.full", "w.speech"), ("w.full", "h.full")}
    cells = list_cells(study, study.tables["t"])
    assert cells[0].against == Against((("w", "speech"), ("h", "full")), "best")
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
        ({"t": table(["x.original"])}, r"tables.t.parts.0: backbone x of x.original is not defined; there is w, h"),
        ({"t": table(["h.speech"])}, r"h.speech is not computed; the starts of backbone h are original, full"),
        ({"t": table(["w.speech"], tasks=["other"])}, r"w.speech is not fine-tuned on task other, subset full"),
        ({"t": table(["w.full"], "w.nothing")}, r"w.nothing is not computed"),
        ({"t": table(["w.full"], tasks=["none"])}, r"tables.t.tasks: none is not defined; there is acted, other"),
        ({"t": table(["w.full"], subsets=[99])}, r"tables.t.subsets: task acted has no subset 99; it has 20, full"),
        ({"t": table(["w.full"], test_on=["films"])}, r"tables.t.test_on: task acted is not tested on films, only on acted, other"),
        ({"t": table(["w.full"], subsets=[20, "full"])}, r"several subsets would share a cell; name `subset`"),
        ({"t": table(["w.full", "w.original"], columns=["backbone"])}, r"several starts would share a cell"),
        ({"t": table(["w.full"], columns=["model", "start"])}, r"name `model`, or `backbone` and `start`"),
        ({"t": table([{"best_of": ["w.full", "h.full"]}], columns=["start"])}, r"a best_of entry is neither"),
        ({"t": table(["egemaps"], metric="cosine_distance")}, r"egemaps has no values here, since it has no embeddings"),
        ({"t": table(["w.full"], metric="ccc_mean")}, r"tables.t.metric: task acted has classes, and no ccc_mean"),
        ({"results": table(["w.full"])}, r"tables.results: this name is taken"),
        ({"t": table(["w.full"], paper=["I"])}, r"tables.t.paper: the study names no paper"),
    ],
)  # fmt: skip
def test_a_selection_of_nothing_is_one_sentence(tmp_path, tables, sentence):
    with pytest.raises(ConfigError, match=sentence):
        study_with(tmp_path, **tables)


def test_the_handcrafted_baseline_must_be_on(tmp_path):
    with pytest.raises(ConfigError, match=r"finetuning.egemaps_baseline is off"):
        study_with(tmp_path, finetuning={"egemaps_baseline": False}, t=table(["egemaps", "w.full"]))
