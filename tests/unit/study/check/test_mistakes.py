"""The mistakes that newcomers make: `emoadapt check` and Snakemake answer each with the same sentence, and it says what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from emoadapt.cli import main
from emoadapt.config import load_study, merge_study
from emoadapt.errors import EmoadaptError
from emoadapt.machine.owner import claim_results, refuse_other_study
from emoadapt.storage.disk import refuse_files
from emoadapt.study.check.passed import check_before_run
from emoadapt.study.graph import Graph
from emoadapt.terminal.configfiles import explain_unreadable

EMOTIONS = ["anger", "happiness", "neutral", "sadness"]
HEAD = "file,speaker,emotion"
ROWS = [f"{number}.wav,s{number // 8},{EMOTIONS[number % 4]}" for number in range(80)]
"""Ten speakers with two clips of each emotion."""


def study(**changes: Any) -> dict[str, Any]:
    """A study on descriptors; `tasks__emotions__corpus="x"` changes one key, None removes it."""
    columns = {"media": "file", "speaker": "speaker", "label": "emotion"}
    values: dict[str, Any] = {
        "study": "mine",
        "device": "cpu",
        "corpora": {"mine": {"importer": "csv", "root": "media", "file": "labels.csv", "columns": columns}},
        "backbones": {"egemaps": {"architecture": "vector", "reads": "egemaps_functionals"}},
        "tasks": {"emotions": {"corpus": "mine", "classes": EMOTIONS, "split": {"by": "fractions"}}},
    }
    for path, value in changes.items():
        section, (*keys, last) = values, path.split("__")
        for key in keys:
            section = section.setdefault(key, {})
        section.pop(last, None) if value is None else section.update({last: value})
    return values


WAV2VEC2 = {"architecture": "wav2vec2", "untrained": {"layers": 1}}
TEACHER = {"teacher": {"keep": "embeddings"}}


def teach(**condition: Any) -> dict[str, Any]:
    return {**TEACHER, "student": {"method": "student", "teacher": "w.original.teacher", **condition}}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOADAPT_STUDY", raising=False)
    (tmp_path / "media").mkdir()
    for number in range(80):
        (tmp_path / f"media/{number}.wav").write_bytes(bytes([number]))
    write_labels(ROWS)
    return tmp_path


def write_labels(rows: Sequence[str], head: str = HEAD) -> None:
    Path("media/labels.csv").write_text("\n".join([head, *rows]) + "\n")


def write_study(values: Mapping[str, Any] | str) -> None:
    Path("study.yaml").write_text(values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False))


def read_like_snakemake(path: str) -> dict[str, Any]:
    """Snakemake's own reading of a configuration file, which comes before the Snakefile."""
    from snakemake.common.configfile import load_configfile

    return explain_unreadable(load_configfile)(path)


def start_snakemake(files: Sequence[str]) -> None:
    """What the Snakefile does before any job, dry runs included."""
    for file in files:
        read_like_snakemake(file)
    refuse_files(Path.cwd())
    graph = Graph(load_study(merge_study(files)))
    refuse_other_study(Path("results"), graph.study.study, chosen=bool(files))
    check_before_run(graph)


def ask_both(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *files: str) -> tuple[str, str]:
    """What `emoadapt check` and Snakemake say."""
    options = ["--configfile", *files] if files else []
    monkeypatch.setattr(sys, "argv", ["emoadapt", "check", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    with pytest.raises(Exception) as refused:
        start_snakemake(files)
    return capsys.readouterr().err, str(refused.value)


def label(place: int, emotion: str) -> str:
    return ROWS[place].rpartition(",")[0] + f",{emotion}"


MISTAKES: dict[str, tuple[Mapping[str, Any] | str, Callable[[], Any] | None, str]] = {
    "the key study is forgotten": (
        study(study=None), None,
        "study.yaml has no key `study`: it would change the built-in demo; add `study: NAME` for a study of your own, or `study: demo` to "
        "change keys of the demo",
    ),
    "a class has two clips": (
        study(), lambda: write_labels([label(n, "sadness" if n in (0, 8) else EMOTIONS[n % 3]) for n in range(80)]),
        "task emotions, fold 0: no training clip of class sadness; take the class out of tasks.emotions.classes, merge it with class_map, "
        "or choose another split",
    ),
    "one speaker": (
        study(), lambda: write_labels([row.replace(f",s{n // 8},", ",s0,") for n, row in enumerate(ROWS)]),
        "task emotions, corpus mine: split.by: fractions needs at least 3 speakers with labelled clips (one each for train, dev and test); there is 1 (s0); "
        "choose another split",
    ),
    "a speaker is named twice": (
        study(tasks__emotions__split={"by": "speakers", "train": ["s0"], "dev": ["s3", "s4"], "test": ["s4", "s5"]}), None,
        "task emotions, corpus mine: more than one part names speaker s4 (split.dev, split.test); leave each in one part",
    ),
    "seeds are text": (
        study(finetunings={"default": {"seeds": "0, 1, 2"}}), None,
        "finetunings.default.seeds: found '0, 1, 2', allowed is a list, such as [0, 1, 2]",
    ),
    "a number is text": (
        study(finetunings={"default": {"learning_rate": "1e-3"}}), None,
        "finetunings.default.learning_rate: found '1e-3', allowed is a valid number; YAML reads this as text, write 0.001",
    ),
    "the table is empty": (
        study(), lambda: Path("media/labels.csv").write_text(""),
        "the table is empty; add a header and rows, or name another table",
    ),
    "the table has a header alone": (
        study(), lambda: write_labels([]),
        "the table is empty: it has a header and no row; add rows, or name another table",
    ),
    "labels are in another language": (
        study(), lambda: write_labels([row.replace("anger", "Wut") for row in ROWS]),
        "task emotions: labels of corpus mine that are none of its classes (anger, happiness, neutral, sadness): Wut 20; map them with "
        "tasks.emotions.class_map, add a class, or set tasks.emotions.other_labels: drop",
    ),
    "test is an empty list": (
        study(tasks__emotions__split={"by": "speakers", "train": ["s0"], "dev": ["s3"], "test": []}), None,
        "tasks.emotions.split: test must not be empty; name at least one, or list several divisions in partitions",
    ),
    "an indent of a space too few": (
        "study: mine\ncorpora:\n  mine:\n   importer: csv\n    root: media\n", None,
        "study.yaml is not valid YAML: line 4, `importer: csv`: its indent of 3 spaces fits no key above; indent it like its neighbours, "
        "with 4 spaces",
    ),
    "tabs in YAML": (
        "study: mine\ncorpora:\n\tmine: {importer: csv}\n", None,
        "study.yaml is not valid YAML: line 3 holds a tab; indent with spaces",
    ),
    "a column is misspelt": (
        study(corpora__mine__columns__speaker="speakr"), None,
        "no column speakr; did you mean speaker? There are file, speaker, emotion; correct corpora.mine.columns",
    ),
    "the folder is not there": (
        study(corpora__mine__root="/data/nowhere"), None,
        "corpus mine: its root /data/nowhere is not a folder; correct corpora.mine.root",
    ),
    "rows without files": (
        study(), lambda: write_labels([*ROWS, "80.wav,s9,anger"]),
        "corpus mine: 1 media file is missing under media: 80.wav; correct the paths or corpora.mine.root",
    ),
    "a subset is larger than the training set": (
        study(tasks__emotions__subsets=[500, "full"]), None,
        "task emotions, fold 0: a subset of 500 clips is larger than the 56 training clips; set at most 56, or full; correct "
        "tasks.emotions.subsets",
    ),
    "a task names a corpus that is not there": (
        study(tasks__emotions__corpus="mien"), None, "tasks.emotions.corpus: mien is not defined; did you mean mine?",
    ),
    "residual on classes": (
        study(backbones={"w": WAV2VEC2}, finetunings=teach(residual=2.0)), None,
        "finetunings.student: student cannot learn tasks of classes, and the study has no others; remove the fine-tuning, or add a task of "
        "attributes. Its key residual is for attributes: remove it, or for classes write correct_only: true",
    ),
    "correct_only on attributes": (
        study(backbones={"w": WAV2VEC2}, finetunings=teach(correct_only=True), tasks__emotions__classes=None,
              tasks__emotions__attributes=["valence"]), None,
        "finetunings.student: student cannot learn tasks of attributes, and the study has no others; remove the fine-tuning, or add a task "
        "of classes. Its key correct_only is for classes: remove it, or for attributes write residual: 2",
    ),
    "unlabelled clips of one speaker": (
        study(backbones={"w": WAV2VEC2}, tasks={}, adaptations={"adapted": {"corpora": ["mine"], "objectives": {"egemaps": 1.0}}}),
        lambda: write_labels([row.replace(f",s{n // 8},", ",s0,") for n, row in enumerate(ROWS)]),
        "adaptation adapted: ",
    ),
    "a file where a folder belongs": (
        study(), lambda: (Path("results").mkdir(), Path("results/.cache").touch()),
        "results/.cache is a file, and a run needs a folder there; move or delete the file",
    ),
    "a results folder of another study": (
        study(), lambda: claim_results(Path("results"), "other"),
        "results/ belongs to study other, and this is study mine. Name the configuration of other with --configfile; or work in another "
        "folder",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_both_answer_with_one_sentence(
    mistake: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values, prepare, sentence = MISTAKES[mistake]
    write_study(values)
    if prepare:
        prepare()
    for said in ask_both(capsys, monkeypatch, "study.yaml"):
        assert sentence in said and "Traceback" not in said


def test_a_configuration_file_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: a traceback of Snakemake."""
    sentence = "nosuch.yaml cannot be read (No such file or directory); name an existing configuration file"
    for said in ask_both(capsys, monkeypatch, "nosuch.yaml"):
        assert sentence in said


def test_the_forgotten_option_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    claim_results(Path("results"), "mine")
    for said in ask_both(capsys, monkeypatch):
        assert "belongs to study mine, and this is study demo (no --configfile is given, which means the demo)" in said


def test_a_layer_that_the_weights_lack(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: both found nothing, and the first training failed behind the extraction."""
    weights = Path("models/own")
    weights.mkdir(parents=True)
    (weights / "config.json").write_text(json.dumps({"model_type": "wav2vec2", "num_hidden_layers": 4}))
    backbone = {"architecture": "wav2vec2", "weights": "own"}
    probe = {"method": "probe", "classifier": "logistic", "layer": [4, 9]}
    write_study(study(backbones={"own": backbone}, finetunings={"probe": probe}))
    sentence = "finetunings.probe.layer: layer 9 is asked for, and backbone own has layers 0 to 4; choose another, or name other backbones"
    for said in ask_both(capsys, monkeypatch, "study.yaml"):
        assert sentence in said and "layer 4 is" not in said
    write_study(study(backbones={"own": backbone | {"train_layers": 5}}))
    for said in ask_both(capsys, monkeypatch, "study.yaml"):
        assert (
            "backbones.own.train_layers: 5 are to be trained, and backbone own has 4 layers; set `all` or at most 4"
            in said
        )


def test_inner_folds_of_one_speaker_are_seen_after_the_fine_tuning_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: a task that had passed was not looked at again when its fine-tunings changed."""
    split = {"by": "speakers", "train": ["s0"], "dev": ["s1"], "test": ["s2"]}
    write_study(study(tasks__emotions__split=split))
    start_snakemake(["study.yaml"])
    write_study(study(tasks__emotions__split=split, finetunings={"svm": {"method": "svm", "c": [1.0, 10.0]}}))
    with pytest.raises(EmoadaptError, match="svm chooses c by inner folds over speakers"):
        start_snakemake(["study.yaml"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("manifest mine 0 --output x.parquet", "this command is a job of a study, and EMOADAPT_STUDY names no configuration; let Snakemake run it"),
        ("report --tables t --figures f --page p", "or set EMOADAPT_STUDY=my_study.yaml"),
        ("manifest mien 0 --output x.parquet", "study mine has no mien among its corpora; did you mean mine?"),
        ("split emotion 0 --output x.parquet", "study mine has no emotion among its tasks; did you mean emotions?"),
        ("adapt egemaps adapted --output x --curves y", "study mine has no adapted among its adaptations; there is none"),
    ],
)  # fmt: skip
def test_a_job_by_hand(
    arguments: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: `KeyError: 'mine'`."""
    write_study(study())
    if "has no" in sentence:
        monkeypatch.setenv("EMOADAPT_STUDY", "study.yaml")
    monkeypatch.setattr(sys, "argv", ["emoadapt", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 1 and sentence in said and said.count("\n") == 1


def test_snakemake_finds_the_module_that_explains_files() -> None:
    """Snakemake imports modules of this name before it reads configuration files."""
    from snakemake.settings import types
    from snakemake_interface_logger_plugins.base import LogHandlerBase
    from snakemake_interface_logger_plugins.common import logger_plugin_module_prefix

    import snakemake_logger_plugin_emoadapt as plugin

    assert plugin.__name__.startswith(logger_plugin_module_prefix) and issubclass(plugin.LogHandler, LogHandlerBase)
    assert types.load_configfile.__module__ == "emoadapt.terminal.configfiles"
    plugin.LogHandler(common_settings=None, settings=None)  # type: ignore[arg-type]
