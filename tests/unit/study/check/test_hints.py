"""`emoadapt check --fix-hints` writes YAML that fixes the study, and the verdict says what to do first."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from emoadapt.cli import main
from emoadapt.config import load_study, merge_study
from emoadapt.config.problems import _find_sections
from emoadapt.config.reading import _merge
from emoadapt.errors import Change, Command, EmoadaptError, Fix, Problem, Removal
from emoadapt.study.check.estimates import estimate_study
from emoadapt.study.check.hints import NO_LINES, explain_fixes, write_hint
from emoadapt.study.check.listings import Listings
from emoadapt.study.check.study import NotReadyError, print_check
from emoadapt.study.graph import Graph

from .test_mistakes import EMOTIONS, HEAD, MISTAKES, ROWS, WAV2VEC2, study, workplace, write_labels, write_study  # noqa: F401


def find_error() -> EmoadaptError:
    with pytest.raises(EmoadaptError) as error:
        print_check(load_study(merge_study(["study.yaml"])), [Path("study.yaml")])
    return error.value


FIXED_BY_THE_FIRST = [
    "seeds are text",
    "a number is text",
    "a column is misspelt",
    "a subset is larger than the training set",
    "a task names a corpus that is not there",
]
"""Mistakes whose first hint fixes the study without a word of the user's."""


@pytest.mark.parametrize("mistake", FIXED_BY_THE_FIRST)
def test_the_first_hint_fixes_the_study(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    values, prepare, _ = MISTAKES[mistake]
    write_study(values)
    if prepare:
        prepare()
    hint = explain_fixes(find_error(), [Path("study.yaml")]).partition("\n\n")[2].split("# or\n")[0]
    fixed: dict[str, Any] = merge_study(["study.yaml"])
    _merge(fixed, yaml.safe_load(hint))
    print_check(load_study(fixed))
    assert "ready" in capsys.readouterr().out


def test_labels_that_seem_to_mean_a_class_are_mapped(capsys: pytest.CaptureFixture[str]) -> None:
    write_study(study())
    write_labels([row.replace("anger", "Anger") for row in ROWS])
    first, second = explain_fixes(find_error(), [Path("study.yaml")]).partition("\n\n")[2].split("# or\n")
    fixed = merge_study(["study.yaml"])
    _merge(fixed, yaml.safe_load(first))
    print_check(load_study(fixed))
    assert yaml.safe_load(second) == {"tasks": {"emotions": {"other_labels": "drop"}}}


def test_each_way_that_a_sentence_names_is_a_block() -> None:
    write_study(study())
    write_labels([row.replace("anger", "Wut").replace("neutral", "Ruhe") for row in ROWS])
    text = explain_fixes(find_error(), [Path("study.yaml")]).partition("\n\n")[2]
    assert text.splitlines()[0].startswith("# task emotions: labels of corpus mine that are none of its classes")
    first, second = map(yaml.safe_load, text.split("# or\n"))
    assert first == {"tasks": {"emotions": {"class_map": {"Ruhe": "CLASS", "Wut": "CLASS"}}}}
    assert second == {"tasks": {"emotions": {"other_labels": "drop"}}}


SPEAKERS = {"by": "speakers", "train": ["s0"], "dev": ["s3"], "test": ["s4"]}


@pytest.mark.parametrize(
    ("changes", "fixes"),
    [
        ({"tasks__emotions__splitt": {"by": "fractions"}}, [Change("tasks.emotions.split", {"by": "fractions"}, "instead of splitt")]),
        ({"seeds": [0]}, [Change("finetunings.NAME.seeds", [0], "instead of seeds")]),
        ({"tasks__emotions__corpus": None}, [Change("tasks.emotions.corpus", "VALUE", "see docs/configuration.md")]),
        ({"corpora__mine__importer": "cvs"}, [Change("corpora.mine.importer", "csv")]),
        ({"corpora__mine__root": "nowhere"}, [Change("corpora.mine.root", "FOLDER")]),
        ({"backbones__egemaps__architecture": "vectr"}, [Change("backbones.egemaps.architecture", "vector")]),
        ({"backbones__egemaps__reads": "egemap_functional"}, [Change("backbones.egemaps.reads", "egemaps_functionals")]),
        ({"backbones__w": WAV2VEC2 | {"pooling": "meen"}}, [Change("backbones.w.pooling", "mean")]),
        ({"finetunings": {"svm": {"method": "smv"}}}, [Change("finetunings.svm.method", "svm")]),
        ({"features__also": ["sentimnt"]}, [Change("features.also", ["sentiment"])]),
        ({"tasks__emotions__split": SPEAKERS | {"dev": ["s4", "s5"]}}, [Change("tasks.emotions.split.dev", ["s5"])]),
        ({"tasks__emotions__classes": [*EMOTIONS, "feer"]}, [Change("tasks.emotions.classes", EMOTIONS, "without feer")]),
        ({"report": {"baseline": "egemap.original"}}, [Change("report.baseline", "egemaps.original")]),
        ({"backbones__w": {"architecture": "hubert", "weights": "my/file.bin/x"}}, [Change("models_dir", "FOLDER", "that has them")]),
        ({"finetunings": {"mlp": {"branch": "x"}}}, [Removal("finetunings.mlp.branch"), Change("finetunings.mlp.method", "probe")]),
    ],
)  # fmt: skip
def test_a_problem_carries_its_fixes(changes: dict[str, Any], fixes: list[Fix]) -> None:
    write_study(study(**changes))
    (problem,) = find_error().problems
    assert list(problem.fixes) == fixes
    assert str(problem) == str(find_error()).splitlines()[-1].strip(), "the sentence is made of it"


ADAPTED = {"corpora": ["mine"], "objectives": {"egemaps": 1.0}}
MISSPELT = {
    "importer": ({"corpora__mine__importer": "foldr"}, "folder"),
    "column": ({"corpora__mine__columns__speaker": "speakr"}, "speaker"),
    "feature": ({"backbones__egemaps__reads": "egemaps_functional"}, "egemaps_functionals"),
    "also": ({"features__also": ["egemap"]}, "egemaps"),
    "section of a feature": ({"features__transcrpt": {}}, "transcript"),
    "architecture": ({"backbones__w": {"architecture": "wav2vec"}}, "wav2vec2"),
    "backbone": ({"finetunings": {"mlp": {"backbones": ["egmaps"]}}}, "egemaps"),
    "part of a fusion": ({"backbones__w": WAV2VEC2, "backbones__f": {"architecture": "fusion", "of": {"a": "w", "b": "egemap"}}}, "egemaps"),
    "pooling": ({"backbones__w": WAV2VEC2 | {"pooling": "attentve"}}, "attention"),
    "objective": ({"backbones__w": WAV2VEC2, "adaptations__a": ADAPTED | {"objectives": {"egemap": 1.0}}}, "egemaps"),
    "method": ({"finetunings": {"mlp": {"method": "prob"}}}, "probe"),
    "metric": ({"tables__t": {"tasks": ["emotions"], "metric": "makro_f1", "parts": [{"models": ["egemaps.original"]}], "rows": ["model"], "columns": ["task"]}}, "macro_f1"),
    "corpus": ({"backbones__w": WAV2VEC2, "adaptations__a": ADAPTED | {"corpora": ["mien"]}}, "mine"),
    "task": ({"finetunings": {"mlp": {"tasks": ["emotion"]}}}, "emotions"),
    "start": ({"finetunings": {"mlp": {"starts": ["orginal"]}}}, "original"),
    "model": ({"report__baseline": "egemaps.orignal"}, "egemaps.original"),
    "paper": ({"report__paper": "goncalves205"}, "goncalves2025"),
    "split": ({"tasks__emotions__split": {"by": "fraction"}}, "fractions"),
    "choice": ({"device": "cudda"}, "cuda"),
    "key": ({"tasks__emotions__clases": []}, "classes"),
    "weights": ({"backbones__w": {"architecture": "hubert", "weights": "facebook/hubert-base-ls96"}}, "facebook/hubert-base-ls960"),
    "speaker": ({"tasks__emotions__split": SPEAKERS | {"test": ["S4"]}}, "s4"),
}  # fmt: skip
"""Whatever a study names, by kind -> a misspelling of it, and what is meant."""


@pytest.mark.parametrize("kind", MISSPELT)
def test_a_misspelt_name_is_answered_with_the_nearest(kind: str) -> None:
    changes, meant = MISSPELT[kind]
    write_study(study(**changes))
    said = str(find_error())
    assert f"did you mean {meant}" in said.replace("`", "") or f"is {meant} meant?" in said
    assert said.count("egemap") == 0 or "only keep the model" not in said, "one fault is one sentence"


def _is_key(path: str) -> bool:
    """Whether a study can have a key there."""
    location = tuple(path.split("."))
    sections, _ = _find_sections(location)
    names = {name for section in sections for name in section.model_fields}
    above = {name for section in _find_sections(location[:-1])[0] for name in section.model_fields}
    return location[-1] in names or location[-2] in above


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_proposal_is_of_a_key_that_a_study_has(mistake: str) -> None:
    values, prepare, _ = MISTAKES[mistake]
    write_study(values)
    if prepare:
        prepare()
    try:
        print_check(load_study(merge_study(["study.yaml"])), [Path("study.yaml")])
    except EmoadaptError as error:
        keys = [fix.key for problem in error.problems for fix in problem.fixes if not isinstance(fix, Command)]
        assert all(map(_is_key, keys)), keys


def test_labels_are_not_dropped_where_no_two_classes_would_be_left() -> None:
    """Symptom: `other_labels: drop` was proposed for a corpus whose labels were all in another language."""
    german = {"anger": "Wut", "happiness": "Freude", "neutral": "Ruhe", "sadness": "Trauer"}
    for left in range(len(german)):
        write_study(study())
        words = dict(list(german.items())[left:])
        write_labels([",".join(words.get(cell, cell) for cell in row.split(",")) for row in ROWS])
        (problem,) = find_error().problems
        first = problem.fixes[0]
        assert isinstance(first, Change) and first.key == "tasks.emotions.class_map"
        drops = Change("tasks.emotions.other_labels", "drop", "leave these clips out") in problem.fixes
        assert drops == ("other_labels" in str(problem)) == (left > 1)


SHARES = {"train": 0.5, "dev": 0.25, "test": 0.25, "seed": 3}


@pytest.mark.parametrize("by", ["fractions", "all"])
@pytest.mark.parametrize("speakers", ["none", "one"])
def test_a_split_of_utterances_keeps_the_shares_and_the_seed(
    by: str, speakers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: the lines for the file had the default shares, or another kind of split."""
    split = {"by": by} | (SHARES if by == "fractions" else {"dev": 0.25, "seed": 3})
    other = study()["corpora"]["mine"]
    values = study(
        tasks__emotions__split=split, corpora__more=other, tasks__emotions__test_also=["more"] if by == "all" else []
    )
    for corpus in values["corpora"].values():
        corpus["columns"] = {
            key: value for key, value in corpus["columns"].items() if key != "speaker" or speakers == "one"
        }
    write_study(values)
    write_labels([re.sub(r"\bs\d\b", "s0", row) for row in ROWS])
    (problem,) = find_error().problems
    proposed = [fix for fix in problem.fixes if isinstance(fix, Change) and fix.value == "utterances"]
    assert [fix.key for fix in proposed] == ["tasks.emotions.split.unit"]
    assert not any("fractions" in str(fix) for fix in problem.fixes)


def test_a_class_without_any_clip_is_named_with_the_labels() -> None:
    """Symptom: `choose another split`, which could not help."""
    write_study(study(tasks__emotions__classes=[*EMOTIONS, "fear"]))
    counts = "anger 20, happiness 20, neutral 20, sadness 20"
    said = f"task emotions: no clip of corpus mine has the label fear; its labels are {counts}; take fear out of tasks.emotions.classes"
    assert str(find_error().problems[0]) == said
    write_study(study(tasks__emotions__classes=["angr", *EMOTIONS[1:]], tasks__emotions__other_labels="drop"))
    assert "; set tasks.emotions.class_map: {anger: angr}, or take angr out of tasks.emotions.classes" in str(
        find_error()
    )


SPELLED = {
    "anger": ["Angry", "angry", "ANGER", "anger "], "happiness": ["Happy", "happy", "joy"],
    "neutral": ["Neutral", "NEUTRAL", "neutral"], "sadness": ["SAD", "sad", "Sadness"],
}  # fmt: skip


def _spell(row: str, number: int) -> str:
    """A row of the table with its label in one of several spellings."""
    media, speaker, label = row.split(",")
    return f"{media},{speaker},{SPELLED[label][number % len(SPELLED[label])]}"


def _apply_first_hint() -> dict[str, Any]:
    """The study with the first block of each problem; the words in capitals must be none."""
    fixed = merge_study(["study.yaml"])
    for hint in explain_fixes(find_error(), [Path("study.yaml")]).split("\n\n")[1:]:
        _merge(fixed, yaml.safe_load(hint.split("# or\n")[0]))
    return fixed


@pytest.mark.parametrize("labels", ["error", "drop"])
@pytest.mark.parametrize("kept", [[], ["neutral"], ["neutral", "anger"]])
def test_one_block_maps_all_spellings(labels: str, kept: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Symptom: three alternatives with one spelling each; all three together dropped 22 of 60 clips."""
    write_study(study(tasks__emotions__other_labels=labels))
    write_labels([row if row.split(",")[2] in kept else _spell(row, number) for number, row in enumerate(ROWS)])
    (problem,) = find_error().problems
    mapping = problem.fixes[0]
    assert isinstance(mapping, Change) and mapping.key == "tasks.emotions.class_map" and str(mapping) in str(problem)
    fixed = load_study(_apply_first_hint())
    capsys.readouterr()
    print_check(fixed)
    said = capsys.readouterr().out
    assert "labels of mine: anger 20, happiness 20, neutral 20, sadness 20\n" in said and "dropped" not in said


def test_spellings_that_class_map_makes_one_class_are_not_noted(capsys: pytest.CaptureFixture[str]) -> None:
    """Symptom: `labels that differ by case alone count as different labels` of a study whose class_map merges them."""
    write_labels([row.replace("anger", ["anger", "ANGER"][number % 8 == 0]) for number, row in enumerate(ROWS)])
    for mapping, noted in (({"ANGER": "anger"}, False), ({}, True)):
        write_study(study(tasks__emotions__class_map=mapping, tasks__emotions__other_labels="drop"))
        print_check(load_study(merge_study(["study.yaml"])))
        assert ("differ by case alone" in capsys.readouterr().out) == noted


def test_a_class_that_no_label_means_is_a_problem_beside_the_spellings(capsys: pytest.CaptureFixture[str]) -> None:
    write_study(study(tasks__emotions__other_labels="drop", tasks__emotions__classes=[*EMOTIONS, "fear"]))
    write_labels([_spell(row, number) for number, row in enumerate(ROWS)])
    spelled, lacking = find_error().problems
    assert "no clip of corpus mine has one of the labels anger, happiness, sadness; its labels are" in str(spelled)
    assert str(lacking).endswith("; take fear out of tasks.emotions.classes")
    print_check(load_study(_apply_first_hint()))
    assert "anger 20, happiness 20, neutral 20, sadness 20" in capsys.readouterr().out
    write_study(study(tasks__emotions__other_labels="drop", tasks__emotions__classes=["neutral", "fear"]))
    (lacking,) = find_error().problems
    assert "or name other classes" in str(lacking), "without fear there would be one class"


def test_one_block_maps_the_spellings_of_all_test_corpora(capsys: pytest.CaptureFixture[str]) -> None:
    """Symptom: a block for each corpus, with its own spellings."""
    other = study()["corpora"]["mine"]
    values = study(tasks__emotions__test_also=["second", "third"])
    for place, name in enumerate(("second", "third")):
        values["corpora"][name] = other | {"root": name}
        Path(name).mkdir()
        for number in range(len(ROWS)):
            Path(name, f"{number}.wav").write_bytes(bytes([number, place]))
        rows = [row.replace("anger", "ANGER" if place else "Angry") for row in ROWS]
        Path(name, "labels.csv").write_text("\n".join([HEAD, *rows]))
    write_study(values)
    (problem,) = find_error().problems
    assert problem.fixes[0] == Change("tasks.emotions.class_map", {"ANGER": "anger", "Angry": "anger"})
    print_check(load_study(_apply_first_hint()))
    said = capsys.readouterr().out
    assert "labels of second: anger 20" in said and "labels of third: anger 20" in said


def test_missing_weights_ask_for_a_command() -> None:
    write_study(study(backbones={"h": {"architecture": "hubert", "weights": "not/here"}}))
    hint = explain_fixes(find_error(), [Path("study.yaml")])
    assert "# run: emoadapt models fetch not/here" in hint and "models_dir: FOLDER   # that has them" in hint


def test_every_line_of_a_problem_is_a_comment() -> None:
    """A library's error may have several lines, such as that of an ONNX file."""
    assert write_hint(Problem("", "network n.onnx: it fails:\n  in node 3"), {}).startswith(
        "# network n.onnx: it fails:\n#   in node 3\n"
    )


def test_what_no_key_fixes_refers_to_the_sentence() -> None:
    assert write_hint(Problem("", "the moon is not full; wait"), {}) == f"# the moon is not full; wait\n{NO_LINES}"


def test_each_problem_is_written_once_with_its_fixes() -> None:
    """Symptom: the sentence of a problem stood three times in the output."""
    write_study(
        study(corpora__mine__root="/data/nowhere", backbones__h={"architecture": "hubert", "weights": "not/here"})
    )
    error = find_error()
    hints = explain_fixes(error, [Path("study.yaml")])
    assert [hints.count(str(problem)) for problem in error.problems] == [1, 1]
    assert hints.startswith("not ready: 2 problems would stop this study:")


def test_hints_come_with_the_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(study(finetunings={"default": {"seeds": "0, 1, 2"}}))
    for option in ([], ["--fix-hints"]):
        monkeypatch.setattr(sys, "argv", ["emoadapt", "check", "--configfile", "study.yaml", *option])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert ("finetunings:\n  default:\n    seeds: [0, 1, 2]" in capsys.readouterr().err) == bool(option)


def test_check_leaves_no_folder_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: `results/.cache` in a folder where nothing had been run."""
    write_study(study(backbones={"w": WAV2VEC2}, adaptations={"adapted": ADAPTED}))
    monkeypatch.setattr(sys, "argv", ["emoadapt", "check", "--configfile", "study.yaml"])
    before = {path.name for path in Path().iterdir()}
    with pytest.raises(SystemExit):
        main()
    assert {path.name for path in Path().iterdir()} == before
    Path("results").mkdir()
    with pytest.raises(SystemExit):
        main()
    assert Path("results/.cache/fingerprints/mine.json").is_file(), "a folder that is there spares the next look"


def test_sections_that_nothing_uses_are_noted(capsys: pytest.CaptureFixture[str]) -> None:
    """Symptom: `features.transcript` was read by nothing, without a word."""
    idle = {"idle": ADAPTED | {"backbones": ["w"]}}
    write_study(
        study(backbones__w=WAV2VEC2, finetunings={"d": {"backbones": ["egemaps"]}}, features={"transcript": {}})
    )
    print_check(load_study(merge_study(["study.yaml"])), [Path("study.yaml")])
    said = capsys.readouterr().out
    assert "note: features.transcript: no backbone and no objective reads transcript" in said
    assert "note: backbones.w: no task and no adaptation trains it" in said
    write_study(study(adaptations={"idle": ADAPTED}))
    print_check(load_study(merge_study(["study.yaml"])), [Path("study.yaml")])
    said = capsys.readouterr().out
    assert "note: adaptations.idle: it is applied to no backbone" in said and "features" not in said
    write_study(study(backbones__w=WAV2VEC2, adaptations=idle))
    print_check(load_study(merge_study(["study.yaml"])), [Path("study.yaml")])
    assert "note: backbones" not in (said := capsys.readouterr().out) and "note: adaptations" not in said


def test_one_is_no_plural(capsys: pytest.CaptureFixture[str]) -> None:
    write_study(study(corpora__mine__shards=1, backbones={"w": WAV2VEC2}, adaptations={"adapted": ADAPTED}))
    print_check(load_study(merge_study(["study.yaml"])), [Path("study.yaml")])
    said = capsys.readouterr().out
    assert ", 1 shard\n" in said and ", 1 adaptation, " in said
    assert not re.search(r"\b1 (adaptations|shards|jobs|clips|speakers|notes)\b", said) and "(s)" not in said


def test_the_verdict_names_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    write_study(study())
    print_check(load_study(merge_study(["study.yaml"])), [Path("study.yaml")])
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"ready, with 1 note above: no problems found\. Start it with: (\S+/)?snakemake --snakefile \"\$\((\S+/)?emoadapt workflow\)\" --cores \d+ "
        r"--configfile study\.yaml",
        said[-1],
    )
    Path("study.yaml").rename("my study.yaml")
    print_check(load_study(merge_study(["my study.yaml"])), [Path("my study.yaml")])
    assert shlex.split(capsys.readouterr().out.splitlines()[-1].partition("snakemake ")[2])[-1] == "my study.yaml"
    write_study(study(corpora__mine__root="/data/nowhere"))
    error = find_error()
    assert isinstance(error, NotReadyError) and len(error.problems) == 1
    assert str(error).startswith("not ready: 1 problem would stop this study:\n  corpus mine: its root")


def test_estimates_say_what_is_known_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emoadapt.study.plan.sizes._probe", lambda *_: 45.0)
    write_study(study())
    graph = Graph(load_study(merge_study(["study.yaml"])))
    jobs, media, training, disk = estimate_study(graph, Listings(graph.study))
    assert jobs == "jobs: 8 extraction jobs, 0 adaptations, 5 trainings in 1 job"
    assert media == "media to extract from: 1.00 hours of audio; how long that takes is not estimated"  # 80 * 45 s
    assert training.startswith("training: CPU hours unknown; `emoadapt plan --calibrate` measures")
    # 3,600 s of 16,000 samples of two bytes; 88 functionals of four bytes a clip are less than a MB.
    assert disk.startswith("disk: about 115 MB (audio 115 MB); ") and "not known" not in disk
    asked: list[Path] = []
    usage = shutil.disk_usage(".")._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: asked.append(Path(place)) or usage)
    assert estimate_study(graph, Listings(graph.study))[-1].endswith("; 1 MB are free here, which is not enough")
    Path("results").mkdir()
    disk = estimate_study(graph, Listings(graph.study))[-1]
    assert disk.endswith("which is not enough, unless results holds the rest already")
    assert asked == [Path(), Path("results")], "which may be a link to another disk"
    monkeypatch.setattr("emoadapt.study.plan.sizes._probe", lambda *_: None)
    _, media, _, disk = estimate_study(graph, Listings(graph.study))
    assert "audio, hours unknown" in media and disk.startswith("disk: unknown; not known: corpus mine; ")
    adapted = {"adapted": {"corpora": ["mine"], "objectives": {"egemaps": 1.0}}}
    write_study(study(backbones={"w": WAV2VEC2}, adaptations=adapted))
    graph = Graph(load_study(merge_study(["study.yaml"])))
    assert "models of w" in estimate_study(graph, Listings(graph.study))[-1]
