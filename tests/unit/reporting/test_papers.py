"""All papers: their rows are well-formed, agree with each other, and are found by what a study runs."""

from __future__ import annotations

import re
from itertools import groupby, product
from pathlib import Path

import polars as pl
import pytest

from emoadapt.config import load_study, read_study
from emoadapt.config.architectures import list_architectures
from emoadapt.config.papers import find_paper, list_papers
from emoadapt.errors import DataError
from emoadapt.metrics.base import find_metric
from emoadapt.plugins import list_plugins, load_plugin, use_folder
from emoadapt.reporting.reference import (
    COLUMNS,
    TRAINING_PART,
    PaperValue,
    cite_paper,
    find_in_tables,
    list_other_works,
    read_paper,
    read_paper_notes,
    read_settings,
)
from emoadapt.study.nodes import Model
from emoadapt.weights.registry import list_weights

PAPERS = list_papers()
STUDIES = Path(__file__).parents[3] / "studies"
HEIGHTS = {
    "ahn2024": {"3": 6, "4": 4, "5": 5, "6": 5, "7": 6, "8": 5, "9": 3, "10": 2, "11": 7, "12": 3, "13": 3},
    "dutta2025": {"II": 144, "III": 15, "IV": 63, "V": 20, "VI": 36, "Sec. IV-E": 2, "Sec. V-A": 2, "Sec. V-H": 4},
    "goncalves2022": {"2": 18, "3": 30},
    "goncalves2025": {"I": 27, "II": 24, "III": 6, "IV": 6, "V": 2, "VI": 18},
    "srinivasan2022": {"1": 6, "2": 36, "3": 18},
}
"""Cells of each table."""
SUMS = {
    "ahn2024": {"3": 2.806, "4": 1.978, "5": 2.473, "6": 2.862, "7": 2.542, "8": 2.227, "9": 1.451, "10": 0.9298, "11": 3.338, "12": 1.19, "13": 1.31},
    "dutta2025": {"II": 82.052, "III": 8.42, "IV": 34.8523, "V": 11.9196, "VI": 23.0465, "Sec. IV-E": 0.9281, "Sec. V-A": 1.1793, "Sec. V-H": 2.7083},
    "goncalves2022": {"2": 9.931, "3": 15.798},
    "srinivasan2022": {"1": 4.345, "2": 21.798, "3": 10.027},
}  # fmt: skip
"""Sums of the means of each table, of a second reading: a program's, of the paper's text."""

HUB = {"hubert-large-ll60k", "wav2vec2-base-960h", "wav2vec2-large-lv60", "whisper-large-v3"}
"""Last parts of names of hub models that the registry of weights does not have."""


@pytest.fixture(params=PAPERS)
def paper(request):
    return request.param


def read_rows(paper):
    return read_paper(paper).rows(named=True)


def test_papers_are_these_with_these_tables(paper):
    frame = read_paper(paper)
    assert dict(frame["table"].value_counts().iter_rows()) == HEIGHTS[paper]
    assert frame.columns == list(COLUMNS) and set(HEIGHTS) == set(PAPERS)
    assert not frame.select("table", "row", "column").is_duplicated().any()
    assert cite_paper(paper).endswith(f"({paper[-4:]})")


@pytest.mark.parametrize("paper", SUMS)
def test_values_are_those_of_a_second_reading(paper):
    found = read_paper(paper).group_by("table").agg(pl.col("mean").sum().round(4)).rows()
    assert dict(found) == SUMS[paper]


def test_values_are_in_the_range_of_their_metric(paper):
    for row in read_rows(paper):
        metric = find_metric(row["metric"])
        assert not metric.per_class and metric.clip(row["mean"]) == row["mean"], row
        assert row["std"] is None or 0 <= row["std"] < 0.2
        assert row["subset"] == "full" or row["subset"].isdigit()
        assert row["stars"] in (None, "*", "#")


def test_row_is_of_a_system_of_ours_or_of_another_work(paper):
    for row in read_rows(paper):
        assert (row["method"] is None) == (row["backbone"] is None), row
        assert row["method"] is not None or row["objectives"] is row["settings"] is None, row
        assert (row["trained_on"] is None) == (row["tested_on"] is None), row
        assert row["tested_on"] is not None or row["method"] is None, "a mean over corpora is of no test set"


def test_corpora_have_importers(paper):
    def spell(name):
        return "".join(filter(str.isalpha, name.lower()))

    known = {spell(name) for name in list_plugins("corpora")} | {spell("RAVDESS-Song")}
    named = {row[key] for row in read_rows(paper) for key in ("trained_on", "tested_on")} - {None}
    assert {name for name in named if spell(name) not in known} <= {"MSP-Podcast (training part)"}


def test_backbones_objectives_and_methods_are_named_as_here(paper):
    weights = {name.rsplit("/", 1)[-1] for name in list_weights()}
    backbones = {*weights, *HUB, *list_architectures(), *list_plugins("features"), "untrained"}
    for row in read_rows(paper):
        names = {part for name in (row["backbone"] or "").split() for part in name.split("+")}
        assert names <= backbones, row
        objectives = dict(part.split("=") for part in (row["objectives"] or "").split())
        assert objectives.keys() <= {*list_plugins("objectives")}, row
        assert all(float(weight) > 0 for weight in objectives.values())
        assert row["method"] in {None, *list_plugins("methods")}, row


def test_settings_name_keys_of_sections(paper):
    backbones = {
        key for name in list_plugins("backbones") for key in load_plugin("backbones", name).Config.model_fields
    }
    for row in read_rows(paper):
        found = read_settings(find_paper(paper)[0], row["settings"])
        assert found.get("backbone", {}).keys() <= backbones, row
        known = set()
        if row["method"] in list_plugins("methods"):
            known |= {*load_plugin("methods", row["method"]).Config.model_fields}
        assert found.get("finetuning", {}).keys() <= known, row
        for feature, values in found.get("features", {}).items():
            assert values.keys() <= {*load_plugin("features", feature).Config.model_fields}, row


def test_notes_are_on_cells_that_are_there(paper):
    frame = read_paper(paper)
    cells = {*frame.select("table", "row", "column").rows(), *((table, None, None) for table in frame["table"])}
    for *place, note in read_paper_notes(paper).iter_rows():
        assert tuple(place) in cells, place
        assert note[-1] != "." and len(note) > 20
    assert set(read_paper_notes(paper)["table"]) >= set(frame["table"]) - {"Sec. V-H"}


def test_one_setting_has_one_value_in_all_tables(paper):
    """A paper repeats values: in other tables with other digits, and micro-averages as one number."""
    keys = ("trained_on", "tested_on", "subset", "classes", "backbone", "objectives", "method", "settings", "metric")

    def place(row):
        return tuple(str(row[key]) for key in keys)

    rows = sorted((row for row in read_rows(paper) if row["method"]), key=place)
    for _, same in groupby(rows, key=place):
        means = [row["mean"] for row in same]
        assert max(means) - min(means) < 6e-4, place


@pytest.mark.parametrize(("table", "step"), [("II", 1e-3), ("IV", 1e-4), ("VI", 1e-4)])
def test_printed_means_are_those_of_their_column(table, step):
    """Both the mean and what it is of are rounded: they differ by a step of the last digit at most."""
    for _, column in read_paper("dutta2025").filter(table=table).group_by("column"):
        printed = column.filter(row="Avg.")["mean"].item()
        parts = column.filter(pl.col("row") != "Avg.")["mean"]
        assert len(parts) == 8 and abs(parts.mean() - printed) <= step + 1e-9, column["column"][0]


def take(paper, **place):
    return read_paper(paper).filter(**place)["mean"].item()


def test_values_that_texts_quote_are_those_of_the_tables():
    """G22: macro-F1; S22: both students on IEMOCAP; A24: Table 13; all as the protocols quote them."""
    rows = ("Supervised", "wav2vec 2.0 (retrain)", "Our Method")
    assert [take("goncalves2022", table="2", row=row, column="Macro F1") for row in rows] == [0.519, 0.533, 0.570]
    students = {"5 T/S (#4/#2)": [0.667, 0.582, 0.545], "6 cT/S (#4/#2)": [0.645, 0.481, 0.528]}
    for row, values in students.items():
        assert [take("srinivasan2022", table="3", row=row, column=f"CCC_{x}") for x in "AVD"] == values
    rows = ("Audio only", "Text only", "Audio + Text")
    assert [take("ahn2024", table="13", row=row, column="UAR") for row in rows] == [0.433, 0.417, 0.460]


@pytest.mark.parametrize(
    ("row", "better", "worse", "quoted"),
    [("Avg.", "CARE Params:160M", "PASE+ [23] Params:8M", 29.76), ("Avg.", "CARE Params:160M", "Whisper [36] Params:800M", 41.79),
     ("Avg.", "CARE Params:160M", "Whisper [36]+ RoBERTa [35] Params:1.6B", 41.18)],
)  # fmt: skip
def test_relative_gains_that_care_s_text_quotes_follow_from_table_iv(row, better, worse, quoted):
    high, low = (take("dutta2025", table="IV", row=row, column=column) for column in (better, worse))
    assert 100 * (high - low) / (1 - low) == pytest.approx(quoted, abs=0.005)


def test_ccc_of_a_teacher_is_below_its_correlation():
    for letter in "AVD":
        ccc, rho = (take("srinivasan2022", table="1", column=f"{kind}_{letter}") for kind in ("CCC", "ρ"))
        assert ccc < rho


def make_study(paper, tasks, **parts):
    corpora = {
        name: {"importer": "csv", "root": "x", "file": "l.csv"} for name in ("msp_podcast", "iemocap", "msp_improv")
    }
    tasks = {name: {"split": {"by": "fractions"}, **task} for name, task in tasks.items()}
    return load_study({"study": "s", "corpora": corpora, "tasks": tasks, "report": {"paper": paper}, **parts})


EMOTIONS = ("anger", "happiness", "neutral", "sadness", "frustration", "excitement")


def test_number_of_classes_decides():
    """Symptom: two tasks of one corpus, four classes and six, had the same value of the paper beside them."""
    tasks = {f"of_{n}": {"corpus": "iemocap", "classes": EMOTIONS[:n]} for n in (4, 5, 6)}
    backbones = {"wavlm": {"architecture": "wavlm", "weights": "microsoft/wavlm-base"}}
    study = make_study("dutta2025", tasks, backbones=backbones, finetunings={"default": {"method": "probe"}})
    found = [find_in_tables(study, ["II"], task, "iemocap", [Model("wavlm")], "full", "weighted_f1") for task in tasks]
    assert [value and value.mean for value in found] == [0.659, None, 0.517]
    others = list_other_works(study, ["II", "III"], "of_6", "iemocap", "uar")
    assert others[0] == PaperValue("II", "IEMOCAP-6", "emotion2vec [21] Params:94M (UAR)", 0.519, None, "#")
    assert len(others) == 4 and list_other_works(study, ["II"], "of_5", "iemocap", "uar") == []


def test_layers_that_are_trained_and_attributes_decide():
    tasks = {"rated": {"corpus": "msp_podcast", "attributes": ["arousal", "valence", "dominance"]}}
    hubert = {"architecture": "hubert", "weights": "facebook/hubert-base-ls960"}
    study = make_study("srinivasan2022", tasks, backbones={"all": hubert, "top": {**hubert, "train_layers": 6}})
    found = {
        (name, metric): find_in_tables(study, ["2"], "rated", "msp_podcast", [Model(name)], "full", metric)
        for name in ("all", "top")
        for metric in ("ccc_valence", "ccc_arousal", "pearson_valence")
    }
    values = {key: value.mean for key, value in found.items() if value}
    assert values == {("top", "ccc_valence"): 0.533, ("top", "ccc_arousal"): 0.730}


@pytest.mark.parametrize(("name", "tables"), [("srinivasan2022", {"1", "2"}), ("srinivasan2022_iemocap", {"3"})])
def test_study_of_srinivasan_has_every_value_of_its_tables(name, tables, monkeypatch):
    """All but those of other works have a model of the study."""
    for variable in ("MSP_PODCAST", "IEMOCAP"):
        monkeypatch.setenv(variable, "somewhere")
    study = read_study([STUDIES / f"{name}.yaml"])
    (task,) = study.tasks
    metrics = [f"{kind}_{name}" for kind in ("ccc", "pearson") for name in study.tasks[task].attributes]
    found = [
        find_in_tables(study, [table], task, tested, [model], "full", metric)
        for model in study.list_models()
        for table in tables
        for tested in (task, f"{task} {TRAINING_PART}")
        for metric in metrics
    ]
    wanted = [
        (row["table"], row["row"], row["column"], row["mean"])
        for row in read_rows("srinivasan2022")
        if row["table"] in tables and row["method"]
    ]
    assert sorted((value.table, value.row, value.column, value.mean) for value in found if value) == sorted(wanted)
    declared = {table for config in study.tables.values() for table in config.paper}
    assert declared == tables - {"1"}


def test_settings_of_a_backbone_are_those_of_all_parts_of_a_fusion():
    """Symptom: a fusion with a part that is trained had the value of a frozen one beside it."""
    frozen = {"train_layers": 0, "architecture": "hubert", "weights": "facebook/hubert-base-ls960"}
    text = {"train_layers": 0, "architecture": "bert", "weights": "bert-base-uncased"}
    backbones = {"audio": frozen, "text": text, "trained": {**text, "train_layers": 2}}
    for name, second in (("joint", "text"), ("half", "trained")):
        backbones[name] = {"architecture": "fusion", "of": {"audio": "audio", "text": second}}
    tasks = {"rated": {"corpus": "iemocap", "attributes": ["arousal", "valence", "dominance"]}}
    study = make_study(
        "srinivasan2022", tasks, backbones=backbones, features={"text_tokens": {"model": "bert-base-uncased"}}
    )
    found = [
        find_in_tables(study, ["3"], "rated", "iemocap", [Model(name)], "full", "ccc_valence")
        for name in ("joint", "half")
    ]
    assert found[0] is not None and found[0].mean == 0.648 and found[1] is None


OWN = """# Somebody (2026)
table,row,column,trained_on,tested_on,subset,backbone,objectives,method,settings,metric,mean,std,stars
1,untrained,UAR,IEMOCAP,IEMOCAP,full,untrained+wav2vec2,,finetune,,uar,0.1,,
1,pretrained,UAR,IEMOCAP,IEMOCAP,full,wav2vec2,,finetune,,uar,0.2,,
1,long,UAR,IEMOCAP,IEMOCAP,full,wav2vec2,,finetune,"{finetuning: {epochs: 50}, backbone: {lora: {rank: 4}}}",uar,0.3,,
1,longer,UAR,IEMOCAP,IEMOCAP,full,wav2vec2,,finetune,"{finetuning: {epochs: 50}}",uar,0.4,,
1,adapted,UAR,IEMOCAP,IEMOCAP,full,wav2vec2,,finetune,{adaptation: {epochs: 3}},uar,0.5,,
1,joint,UAR,IEMOCAP,IEMOCAP,full,wav2vec2-base+bert-base-uncased,,finetune,,uar,0.6,,
1,other,UAR,IEMOCAP,IEMOCAP,full,,,,,uar,0.7,,#
"""


@pytest.fixture
def shelf(tmp_path):
    """A folder of own plug-ins with a paper in it, forgotten afterwards."""
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers/somebody.csv").write_text(OWN)
    use_folder(tmp_path)
    yield tmp_path
    use_folder(None)


def test_most_specific_row_is_of_a_setting(shelf):
    wav2vec2 = {"architecture": "wav2vec2", "weights": "facebook/wav2vec2-base"}
    study = make_study(
        "somebody",
        {"t": {"corpus": "iemocap", "classes": EMOTIONS}},
        plugins=str(shelf),
        backbones={"none": {"architecture": "wav2vec2", "untrained": {}}, "base": wav2vec2, "low": {**wav2vec2, "lora": {"rank": 4}}},
        finetunings={"default": {}, "long": {"epochs": 50}},
    )  # fmt: skip
    models = ("none.original", "base.original", "low.original.long", "base.original.long", "none.original.long")
    found = [find_in_tables(study, None, "t", "iemocap", [Model.parse(name)], "full", "uar") for name in models]
    # `adapted` names a key of Stage 1, which an original does not have; `joint` is of two weights, and these are of one.
    assert [value and value.row for value in found] == ["untrained", "pretrained", "long", "longer", "untrained"]
    assert [value.row for value in list_other_works(study, ["1"], "t", "iemocap", "uar")] == ["other"]


@pytest.mark.parametrize("text", ["epochs=50", "{epochs: 50}", "{finetuning: 50}", "{finetuning: {epochs"])
def test_settings_of_another_form_are_refused(tmp_path, text):
    with pytest.raises(
        DataError, match=r"settings .* are not of features, backbone, adaptation, finetuning; write them"
    ):
        read_settings(tmp_path / "p.csv", text)


def test_study_of_care_has_each_value_of_systems_that_run(monkeypatch, tmp_path):
    """All values of Tables II to VI and Sec. V-H that are of a system here stand beside a model of the study, and no cell is without one."""
    text = (STUDIES / "dutta2025.yaml").read_text(encoding="utf-8")
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, str(tmp_path))
    study, tables = read_study([STUDIES / "dutta2025.yaml"]), ("II", "III", "IV", "V", "VI", "Sec. V-H")
    found = set()
    for task, config in study.tasks.items():
        metrics = [f"ccc_{name}" for name in config.attributes] or ["weighted_f1", "uar"]
        for model, metric, table in product(study.list_models(task), metrics, tables):
            if value := find_in_tables(study, [table], task, config.corpus, [model], "full", metric):
                found.add((value.table, value.row, value.column, value.mean))
    wanted = {
        (row["table"], row["row"], row["column"], row["mean"])
        for row in read_rows("dutta2025")
        if row["table"] in tables and row["method"]
    }
    assert found == wanted
    for name, table in study.tables.items():
        models = [Model.parse(model) for part in table.parts for model in part.models]
        for task, model in product(table.tasks, models):
            value = find_in_tables(study, table.paper, task, study.tasks[task].corpus, [model], "full", table.metric)
            assert value is not None or name.startswith("figure"), (name, task, str(model))


def test_fusion_with_descriptors_is_not_taken_for_its_encoder_alone(monkeypatch, tmp_path):
    text = (STUDIES / "dutta2025.yaml").read_text(encoding="utf-8")
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, str(tmp_path))
    study = read_study([STUDIES / "dutta2025.yaml"])
    names = ("roberta.original", "teachers.original.descriptors", "pase.original.descriptors")
    found = [
        find_in_tables(study, ["IV"], "iemocap_4", "iemocap_4", [Model.parse(name)], "full", "weighted_f1")
        for name in names
    ]
    assert [value and value.mean for value in found] == [0.6197, 0.6949, 0.5668]
    names = ("wavlm_text.original.fused", "care_text.care.fused_care", "care.care.care")
    found = [
        find_in_tables(study, ["Sec. V-H"], "iemocap_6", "iemocap_6", [Model.parse(name)], "full", "weighted_f1")
        for name in names
    ]
    assert [value and value.mean for value in found] == [0.6041, 0.6221, None]
