"""The plan of a study: counts and hours worked out by hand, with corpora that are not there."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from emoadapt.errors import ConfigError
from emoadapt.reporting.reference import find_in_tables
from emoadapt.study.nodes import Model
from emoadapt.study.plan.partitions import describe_partitions
from emoadapt.study.plan.printing import print_plan, summarise_plan, write_csv
from emoadapt.study.plan.sizes import CorpusSize, measure_corpora, parse_assumptions, read_plan_study
from emoadapt.study.plan.work import describe_calibrated, plan_study, read_calibration

ROOT = Path(__file__).parents[3]
TINY = {"architecture": "wav2vec2", "untrained": {"conv_dim": [16] * 5, "hidden_size": 16, "layers": 1, "heads": 2}}


def values(**changes):
    return {
        "study": "plan",
        "device": "cpu",
        "runs_per_job": 4,
        "corpora": {
            "films": {"importer": "folder", "root": "${NO_SUCH_FILMS}", "shards": 2, "optional": True},
            "acted": {"importer": "folder", "root": "acted", "label_from": "parent", "shards": 3},
            "calls": {"importer": "folder", "root": "nowhere", "shards": 1},
        },
        "backbones": {"tiny": TINY},
        "adaptations": {"adapted": {"corpora": ["films"], "objectives": {"egemaps": 1.0}, "epochs": 10, "held_out": 0.2}},
        "tasks": {
            "emotions": {"corpus": "acted", "classes": ["low", "high"], "split": {"by": "folds", "k": 4}, "subsets": [2, "full"],
                         "resamplings": 3},
            "loso": {"corpus": "calls", "classes": ["a", "b"], "split": {"by": "leave_one_speaker_out"}},
        },
        "finetunings": {"default": {"seeds": [0, 1], "epochs": 5}},
    } | changes  # fmt: skip


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The study, with 8 clips of 2 s of `acted` on disk and the other two corpora missing."""
    monkeypatch.chdir(tmp_path)
    for label in ("low", "high"):
        (tmp_path / "acted" / label).mkdir(parents=True)
        for number in range(4):
            soundfile.write(
                tmp_path / "acted" / label / f"{label}{number}.wav", np.zeros(32000, dtype=np.float32), 16000
            )
    Path("study.yaml").write_text(yaml.safe_dump(values(), sort_keys=False))
    return read_plan_study(["study.yaml"])


def find(rows, **wanted):
    (row,) = [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]
    return row


def test_missing_corpora_leave_nothing_out(study):
    study, missing = study
    assert missing == {"films": "NO_SUCH_FILMS is not set", "calls": "its root nowhere is missing"}
    assert not study.left_out
    assert set(study.tasks) == {"emotions", "loso"}


def test_sizes_are_assumed_or_measured(study):
    sizes = measure_corpora(*study, parse_assumptions(["films=100:0.5h"]))
    assert sizes["films"] == CorpusSize(100, 1800.0, None, "assumed", "NO_SUCH_FILMS is not set")
    assert (sizes["acted"].clips, sizes["acted"].seconds, sizes["acted"].source) == (8, 16.0, "listed")
    assert sizes["calls"].clips is None


@pytest.mark.parametrize("text", ["films", "films=many", "films=10:2", "=3"])
def test_an_assumption_that_cannot_be_read_is_a_sentence(text):
    with pytest.raises(ConfigError, match="cannot be read; write NAME=CLIPS"):
        parse_assumptions([text])


def test_an_assumption_about_another_corpus_is_refused(study):
    with pytest.raises(ConfigError, match="there is no corpus video; there is films, acted, calls"):
        measure_corpora(*study, parse_assumptions(["video=3"]))


def test_runs_and_jobs_are_counted(study):
    rows = plan_study(study[0], measure_corpora(*study, parse_assumptions(["calls=30:1h:6s"])))
    low = find(rows, name="emotions", start="original", subset="2")
    assert (low.runs, low.jobs) == (4 * 3 * 2, 6), "folds x draws x seeds, four a job"
    full = find(rows, name="emotions", start="adapted", subset="full")
    assert (full.runs, full.jobs, full.needs) == (4 * 2, 2, "needs corpus films")
    assert find(rows, name="loso", start="original").runs == 6 * 2, "a fold for each speaker"
    assert find(rows, stage="stage1").jobs == 1
    assert find(rows, name="audio", corpus="acted").jobs == 3


def test_folds_that_only_a_missing_corpus_could_tell_are_unknown(study):
    rows = plan_study(study[0], measure_corpora(*study, {}))
    row = find(rows, name="loso", start="original")
    assert (row.runs, row.jobs, row.needs) == (None, None, "needs corpus calls")
    assert any("Trainings of 2 settings are not known" in line for line in summarise_plan(study[0], rows, None, 1))


def test_finished_runs_are_counted_by_their_files(study):
    folder = Path("results/runs/emotions/tiny.original/2")
    for batch, names in (
        ("b000", ("predictions", "embeddings", "curves", "training_clips")),
        ("b001", ("predictions",)),
    ):
        (folder / batch).mkdir(parents=True)
        for name in names:
            (folder / batch / f"{name}.parquet").touch()
    rows = plan_study(study[0], measure_corpora(*study, {}))
    row = find(rows, name="emotions", start="original", subset="2")
    assert (row.jobs_done, row.runs_done) == (1, 4), "a job without all of its files is not done"


def test_hours_follow_from_sizes_and_speeds(study):
    study, missing = study
    speed = {"train": 10.0, "evaluate": 100.0}
    speeds = {"device": "CPU", "torch": "2", "startup": 3.0,
              "backbones": {"tiny": {"settings": describe_calibrated(study, "tiny"), "stand_in": False, "frontend": 50.0, "layers": 20.0,
                                     "cached": {"train": 40.0, "evaluate": 400.0}, "whole": speed}}}  # fmt: skip
    rows = plan_study(study, measure_corpora(study, missing, parse_assumptions(["films=100:0.5h"])), speeds)
    stage1 = find(rows, stage="stage1")
    # 1,800 s, a fifth held out: ten epochs of training, eleven evaluations; an untrained CNN is trained.
    assert stage1.hours == pytest.approx((3 + 1440 * 10 / 10 + 360 * 11 / 100) / 3600)
    assert stage1.media_hours == pytest.approx((14400 + 3960) / 3600)
    full = find(rows, name="emotions", start="original", subset="full")
    # 16 s in four folds: two quarters are trained on, one is dev, one test; five epochs, six evaluations of dev, two of test.
    run = 8 * 5 / 10 + (4 * 6 + 4 * 2) / 100
    assert full.hours == pytest.approx((2 * 3 + 8 * run) / 3600)
    assert full.hours_left == pytest.approx(full.hours)
    low = find(rows, name="emotions", start="adapted", subset="2")
    # Two of eight clips are 4 s; the adapted CNN is frozen and cached.
    assert low.hours == pytest.approx((6 * 3 + 24 * (4 * 5 / 40 + 32 / 400)) / 3600)
    text = " ".join(summarise_plan(study, rows, speeds, 2))
    assert "3 of 9 lines have no hours" in text


def test_a_calibration_with_other_settings_does_not_count(study):
    study, _ = study
    other = read_plan_study_with(study, batch_size=7)
    assert describe_calibrated(study, "tiny") != describe_calibrated(other, "tiny")


def read_plan_study_with(study, **finetuning):
    Path("other.yaml").write_text(
        yaml.safe_dump(values(finetunings={"default": {"seeds": [0, 1], "epochs": 5} | finetuning}))
    )
    return read_plan_study(["other.yaml"])[0]


def test_csv_has_a_line_per_row(study):
    rows = plan_study(study[0], measure_corpora(*study, {}))
    lines = list(csv.DictReader(write_csv(rows).splitlines()))
    assert len(lines) == len(rows)
    assert {line["stage"] for line in lines} == {"feature", "stage1", "stage2"}
    assert next(line for line in lines if line["name"] == "loso")["runs"] == ""


def test_the_papers_study_is_planned_without_any_corpus(capsys, monkeypatch):
    for variable in ("MSP_FACE", "CREMA_D", "MSP_IMPROV", "MSP_PODCAST"):
        monkeypatch.delenv(variable, raising=False)
    study, missing = read_plan_study([ROOT / "studies/goncalves2025.yaml"])
    assert set(missing) == set(study.corpora)
    sizes = measure_corpora(study, missing, {})
    rows = plan_study(study, sizes)
    print_plan(study, sizes, rows, None, 1)
    text = capsys.readouterr().out
    runs = sum(row.runs for row in rows if row.stage == "stage2")
    assert f"Stage 2: {runs:,} trainings" in text
    assert "needs corpus crema_d" in text and "CREMA_D is not set" in text and "Not calibrated" in text


def test_the_study_of_2022_has_a_run_for_each_partition_and_a_value_of_the_paper_in_each_cell(monkeypatch):
    for variable in ("MSP_FACE", "CREMA_D"):
        monkeypatch.delenv(variable, raising=False)
    study, missing = read_plan_study([ROOT / "studies/goncalves2022.yaml"])
    sizes = measure_corpora(study, missing, parse_assumptions(["crema_d=7442:5h:91s", "msp_face=136000:76h"]))
    rows = [row for row in plan_study(study, sizes) if row.stage == "stage2"]
    assert len(rows) == 7 and {row.runs for row in rows} == {20}
    for table in study.tables.values():
        for part in table.parts:
            for name in part.models:
                model = Model.parse(name)
                value = find_in_tables(study, table.paper, "crema_d", "crema_d", [model], "full", table.metric)
                assert value is not None, (table.title, name)


def test_the_study_of_2024_has_ten_runs_of_each_system_and_the_paper_s_value_in_each_cell(monkeypatch):
    for variable in ("IEMOCAP", "MSP_IMPROV", "EMODB", "MSP_PODCAST"):
        monkeypatch.delenv(variable, raising=False)
    study, missing = read_plan_study([ROOT / "studies/ahn2024.yaml"])
    assumed = ["iemocap=5531:7h:10s", "msp_improv=7798:9h:12s", "emo_db=339:0.3h:10s", "msp_podcast=30000:45h"]
    rows = [
        row
        for row in plan_study(study, measure_corpora(study, missing, parse_assumptions(assumed)))
        if row.stage == "stage2"
    ]
    assert len(rows) == 25 and {row.runs for row in rows} == {10}
    assert study.list_kept("stage2", "ast", "original") == {}, "AST is trained whole, its projection of patches too"
    found = {}
    for name, table in study.tables.items():
        for model in (model for part in table.parts for model in part.models):
            place = table.tasks[0], table.test_on[0], [Model.parse(model)], "full", table.metric
            value = find_in_tables(study, table.paper, *place)
            assert value is not None, (table.title, model)
            found[name, model] = value.mean
    assert (
        found["table_11", "ast.original.without_target"] == 0.456
        and found["table_6", "ast.original.six_times"] == 0.595
    )
    assert (
        found["table_13", "ast.original.both"] == 0.460
        and found["table_12", "bert.original.text_without_contrast"] == 0.398
    )


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_is_planned_without_any_corpus(path, capsys, monkeypatch):
    for variable in re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")):
        monkeypatch.delenv(variable, raising=False)
    study, missing = read_plan_study([path])
    sizes = measure_corpora(study, missing, {})
    print_plan(study, sizes, plan_study(study, sizes), None, 1)
    said = capsys.readouterr().out
    assert all(str(setting.model) in said and setting.task in said for setting in study.list_settings())


@pytest.mark.parametrize(("visible", "device"), [("", "CPU"), ("0", "GPU")])
def test_hours_are_those_of_the_machine_that_is_here(study, capsys, monkeypatch, visible, device):
    """Symptom: on a laptop the plan said `GPU hours: unknown`."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    config = study[0].model_copy(update={"device": "auto"})
    sizes = measure_corpora(config, study[1], {})
    print_plan(config, sizes, plan_study(config, sizes), None, 1)
    said = capsys.readouterr().out
    assert f"{device} hours of training are not known. `emoadapt plan --calibrate` measures" in said
    assert {"CPU": "GPU", "GPU": "CPU"}[device] not in said


def test_parts_that_only_a_missing_corpus_could_tell_are_unknown(study, tmp_path):
    """Symptom: the plan of a study with an absent IEMOCAP ended with `is not a folder`."""
    over = values()
    over["tasks"]["loso"]["split"] = {"by": "leave_one_part_out"}
    Path("study.yaml").write_text(yaml.safe_dump(over, sort_keys=False))
    study = read_plan_study(["study.yaml"])
    rows = plan_study(study[0], measure_corpora(*study, parse_assumptions(["calls=30:1h:6s"])))
    assert find(rows, name="loso", start="original").runs is None


def test_corpora_that_are_no_mapping_are_a_sentence(tmp_path):
    (tmp_path / "list.yaml").write_text("study: small\ncorpora: [a]\n")
    with pytest.raises(ConfigError, match="corpora: found"):
        read_plan_study([tmp_path / "list.yaml"])


def test_a_damaged_calibration_is_left_aside(tmp_path, caplog):
    path = tmp_path / "calibration.json"
    path.write_bytes(bytes(50))
    assert read_calibration(path) is None
    assert f"{path} is damaged, and left aside" in caplog.text


def test_a_study_without_backbone_is_not_told_to_calibrate(study, capsys):
    baselines = values(backbones={}, adaptations={}, finetunings={}, tasks={})
    Path("baselines.yaml").write_text(yaml.safe_dump(baselines, sort_keys=False))
    config, missing = read_plan_study(["baselines.yaml"])
    sizes = measure_corpora(config, missing, {})
    print_plan(config, sizes, plan_study(config, sizes), None, 1)
    said = capsys.readouterr().out
    assert "calibrat" not in said.lower()
    assert said.index("done: the files exist") < said.index("Stage 2")


def find_all(rows, **wanted):
    return [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]


def plan(**changes):
    """Rows of the study with these changes, and with made-up speeds."""
    Path("changed.yaml").write_text(yaml.safe_dump(values(**changes), sort_keys=False))
    study, missing = read_plan_study(["changed.yaml"])
    kinds = {"train": 10.0, "evaluate": 100.0}
    tiny = {"stand_in": False, "frontend": 50.0, "layers": 20.0, "cached": kinds, "whole": kinds}
    tiny["settings"] = describe_calibrated(study, "tiny")
    speeds = {"device": "CPU", "torch": "2", "startup": 3.0, "backbones": {"tiny": tiny}}
    sizes = measure_corpora(study, missing, parse_assumptions(["films=100:0.5h,calls=30:1h:6s"]))
    return plan_study(study, sizes, speeds)


def test_each_fine_tuning_has_lines_of_its_own(study):
    finetunings = {
        "default": {"seeds": [0, 1], "epochs": 5, "tasks": ["loso"]},
        "probe": {
            "method": "probe",
            "seeds": [0, 1],
            "starts": ["original"],
            "tasks": ["emotions"],
            "subsets": ["full"],
        },
        "machine": {
            "method": "svm",
            "seeds": [0, 1, 2],
            "starts": ["original"],
            "tasks": ["emotions"],
            "subsets": ["full"],
        },
    }
    rows = plan(finetunings=finetunings)
    probe, machine = (find(rows, name="emotions", finetuning=name) for name in ("probe", "machine"))
    assert (probe.runs, machine.runs) == (4 * 2, 4), "a machine is deterministic: one run a fold, whatever the seeds"
    # What trains no backbone costs its start; its layers are computed once for each clip.
    assert probe.hours == pytest.approx(2 * 3 / 3600) and machine.hours == pytest.approx(3 / 3600)
    assert find(rows, name="layers.tiny", corpus="acted").hours == pytest.approx(16 / 3600 / 20)
    assert not find_all(rows, name="layers.tiny", corpus="films")
    assert {row.finetuning for row in find_all(rows, name="loso")} == {"default"}


def test_partitions_multiply_the_runs(study):
    tasks = values()["tasks"]
    tasks["emotions"]["partitions"] = 3
    row = find(plan(tasks=tasks), name="emotions", start="original", subset="full")
    assert row.runs == 3 * 4 * 2


def test_paired_trials_add_the_runs_up(study):
    tasks = values()["tasks"]
    tasks["emotions"] |= {"partitions": 2, "trials": "paired", "resamplings": 2}
    rows = plan(tasks=tasks)
    assert find(rows, name="emotions", start="original", subset="full").runs == 2 * 4
    assert find(rows, name="emotions", start="original", subset="2").runs == 2 * 4, "draw i with partition i and seed i"


def test_partitions_are_listed_with_their_speakers(study, tmp_path):
    acted = {"importer": "folder", "root": "acted", "label_from": "parent", "speaker_pattern": r"(?P<speaker>\w+)\.wav"}
    corpora = values()["corpora"] | {"acted": acted}
    named = [
        {"dev": ["low1", "high1"], "test": ["low2", "high2"]},
        {"dev": ["low0", "high0"], "test": ["low1", "high1"]},
    ]
    emotions = {"corpus": "acted", "classes": ["low", "high"], "split": {"by": "speakers", "partitions": named}}
    Path("study.yaml").write_text(
        yaml.safe_dump(values(corpora=corpora, tasks=values()["tasks"] | {"emotions": emotions}))
    )
    lines = list(describe_partitions(*read_plan_study(["study.yaml"])))
    assert lines == [
        "task emotions: 2 partitions",
        "  partition 0, train: 4 clips by 4 speakers: high0, high3, low0, low3",
        "  partition 0, dev: 2 clips by 2 speakers: high1, low1",
        "  partition 0, test: 2 clips by 2 speakers: high2, low2",
        "  partition 1, train: 4 clips by 4 speakers: high2, high3, low2, low3",
        "  partition 1, dev: 2 clips by 2 speakers: high0, low0",
        "  partition 1, test: 2 clips by 2 speakers: high1, low1",
        "task loso: unknown, needs corpus calls",
    ]


def test_hours_of_so_many_steps_follow_from_the_epochs_that_they_take(study):
    """Four of eight clips in batches of one are four steps an epoch; 6 steps are 1.5, evaluated twice and before training."""
    rows = plan(finetunings={"default": {"seeds": [0, 1], "epochs": 50, "steps": 6, "batch_size": 1}})
    full = find(rows, name="emotions", start="original", subset="full")
    run = 8 * 1.5 / 10 + (4 * 3 + 4 * 2) / 100
    assert full.hours == pytest.approx((2 * 3 + 8 * run) / 3600)
    # 1,440 s of 80 clips in batches of 60 s are 24 batches, so 12 steps of two batches.
    adaptation = values()["adaptations"]["adapted"] | {"steps": 30, "batch_seconds": 60.0, "accumulate": 2}
    stage1 = find(plan(adaptations={"adapted": adaptation}), stage="stage1")
    assert stage1.hours == pytest.approx((3 + 1440 * 2.5 / 10 + 360 * 4 / 100) / 3600)
