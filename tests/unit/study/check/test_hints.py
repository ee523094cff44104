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
from emoadapt.config.reading import _merge
from emoadapt.errors import EmoadaptError
from emoadapt.study.check.estimates import estimate_study
from emoadapt.study.check.hints import explain_fixes, find_hints, write_hints
from emoadapt.study.check.listings import Listings
from emoadapt.study.check.study import NotReadyError, print_check
from emoadapt.study.graph import Graph

from .test_mistakes import MISTAKES, ROWS, WAV2VEC2, study, workplace, write_labels, write_study  # noqa: F401


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
    hint = explain_fixes(find_error(), [Path("study.yaml")]).split("# or\n")[0]
    fixed: dict[str, Any] = merge_study(["study.yaml"])
    _merge(fixed, yaml.safe_load(hint))
    print_check(load_study(fixed))
    assert "ready" in capsys.readouterr().out


def test_labels_that_seem_to_mean_a_class_are_mapped(capsys: pytest.CaptureFixture[str]) -> None:
    write_study(study())
    write_labels([row.replace("anger", "Anger") for row in ROWS])
    first, second = explain_fixes(find_error(), [Path("study.yaml")]).split("# or\n")
    fixed = merge_study(["study.yaml"])
    _merge(fixed, yaml.safe_load(first))
    print_check(load_study(fixed))
    assert yaml.safe_load(second) == {"tasks": {"emotions": {"other_labels": "drop"}}}


def test_each_way_that_a_sentence_names_is_a_block() -> None:
    write_study(study())
    write_labels([row.replace("anger", "Wut").replace("neutral", "Ruhe") for row in ROWS])
    text = explain_fixes(find_error(), [Path("study.yaml")])
    assert text.splitlines()[0].startswith("# task emotions: labels of corpus mine that are none of its classes")
    first, second = map(yaml.safe_load, text.split("# or\n"))
    assert first == {"tasks": {"emotions": {"class_map": {"Ruhe": "CLASS", "Wut": "CLASS"}}}}
    assert second == {"tasks": {"emotions": {"other_labels": "drop"}}}


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        ("study.yaml has no key `study`: it would change", ("study", "NAME", "at the top level")),
        ("tasks.emotions.splitt: this key is not known; did you mean `split`?",
         ("tasks.emotions.split", None, "instead of splitt")),
        ("device: this key is not known; it is a key of finetunings.<name>", ("finetunings.default.device", "cpu", "not device")),
        ("tasks.emotions.corpus: this key is required", ("tasks.emotions.corpus", "VALUE", "see docs/configuration.md")),
        ("corpus mine: its root /x is not a folder; correct corpora.mine.root", ("corpora.mine.root", "VALUE", 'now "media"')),
        ("task emotions: 1 of the 2 test clips; take it out, or accept it with tasks.emotions.leaks: {clips: report}",
         ("tasks.emotions.leaks", {"clips": "report"}, "")),
        ("finetunings.probe.layer: layer 9 is asked for, and backbone own has layers 0 to 4; choose another",
         ("finetunings.probe.layer", 4, "")),
    ],
)  # fmt: skip
def test_a_hint_names_key_and_value(problem: str, line: tuple[str, Any, str]) -> None:
    assert find_hints(problem, study())[0] == line


def test_missing_weights_ask_for_a_command() -> None:
    write_study(study(backbones={"h": {"architecture": "hubert", "weights": "not/here"}}))
    error = find_error()
    assert "# no key, but a command: emoadapt models fetch not/here" in explain_fixes(error, [Path("study.yaml")])
    assert write_hints(["the moon is not full"], {}).endswith("# no key of the study fixes this")


def test_hints_come_with_the_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(study(finetunings={"default": {"seeds": "0, 1, 2"}}))
    for option in ([], ["--fix-hints"]):
        monkeypatch.setattr(sys, "argv", ["emoadapt", "check", "--configfile", "study.yaml", *option])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert ("finetunings:\n  default:\n    seeds: [0, 1, 2]" in capsys.readouterr().err) == bool(option)


def test_the_verdict_names_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    write_study(study())
    print_check(load_study(merge_study(["study.yaml"])), [Path("study.yaml")])
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"ready, with 1 note above: no problems found\. Start it with: snakemake --snakefile \S+/Snakefile --cores \d+ --configfile study\.yaml",
        said[-1],
    )
    Path("study.yaml").rename("my study.yaml")
    print_check(load_study(merge_study(["my study.yaml"])), [Path("my study.yaml")])
    assert shlex.split(capsys.readouterr().out.splitlines()[-1].partition(": snakemake ")[2])[-1] == "my study.yaml"
    write_study(study(corpora__mine__root="/data/nowhere"))
    error = find_error()
    assert isinstance(error, NotReadyError) and len(error.problems) == 1
    assert str(error).startswith("not ready: 1 problem(s) would stop this study:\n  corpus mine: its root")
    assert str(error).endswith("\nFirst thing to do: corpus mine: correct corpora.mine.root")


def test_estimates_say_what_is_known_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emoadapt.study.plan.sizes._probe", lambda *_: 45.0)
    write_study(study())
    graph = Graph(load_study(merge_study(["study.yaml"])))
    media, training, disk = estimate_study(graph, Listings(graph.study))
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
    media, _, disk = estimate_study(graph, Listings(graph.study))
    assert "audio, hours unknown" in media and disk.startswith("disk: unknown; not known: corpus mine; ")
    adapted = {"adapted": {"corpora": ["mine"], "objectives": {"egemaps": 1.0}}}
    write_study(study(backbones={"w": WAV2VEC2}, adaptations=adapted))
    graph = Graph(load_study(merge_study(["study.yaml"])))
    assert "models of w" in estimate_study(graph, Listings(graph.study))[-1]
