"""YAML that reads differently from how it looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emoadapt.config.yaml_files import read_file
from emoadapt.errors import ConfigError


def read(folder: Path, text: str, name: str = "study.yaml") -> dict[str, Any]:
    (folder / name).write_text(text)
    return read_file(folder / name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("study: x\na: 1\nstudy: y\n", "lines 1 and 3: key `study` is given twice; keep one"),
        ("a:\n  b: {c: 1,\n      c: 2}\n", "lines 2 and 3: key `c` is given twice; keep one"),
        ('a:\n  "7": 1\n  7: 2\n', "lines 2 and 3: key `7` is given twice; keep one"),
        ("names:\n  010: ten\n", 'line 2: YAML reads `010` as the number 8; quote it if it is text: "010"; else write 8'),
        ("names:\n  yes: y\n", 'line 2: YAML reads the key `yes` as True; quote it: "yes"'),
        ("names:\n  on: y\n", 'line 2: YAML reads the key `on` as True; quote it: "on"'),
        ("names:\n  null: y\n", 'line 2: YAML reads the key `null` as None; quote it: "null"'),
        ("speakers: [0006]\n", 'line 1: YAML reads `0006` as the number 6; quote it if it is text: "0006"; else write 6'),
        ("shards: 0x10\n", 'YAML reads `0x10` as the number 16'),
        ("begin: 1:30\n", 'YAML reads `1:30` as the number 90'),
        ("begin: 1:30.5\n", 'line 1: YAML reads `1:30.5` as the number 90.5; quote it if it is text: "1:30.5"'),
        ("rate: 0_0.005\n", "line 1: YAML reads `0_0.005` as the number 0.005"),
        ("speaker: 2024-01-02\n", 'line 1: YAML reads `2024-01-02` as a date; quote it: "2024-01-02"'),
        ("a: &a {x: 1}\nb: &b {y: 1}\nc:\n  <<: *a\n  <<: *b\n", "lines 4 and 5: key `<<` is given twice; write `<<: [*first, *second]`"),
        ("a:\n\tb: 1\n", "line 2 holds a tab; indent with spaces"),
        ("__use_yte__: true\n", "`__use_yte__` is not supported"),
    ],
)  # fmt: skip
def test_values_that_yaml_misreads_are_refused_with_their_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert "study.yaml" in str(error.value) and sentence in str(error.value)


@pytest.mark.parametrize("quoted", ['"010"', "'010'"])
def test_quotes_make_text(tmp_path: Path, quoted: str) -> None:
    assert read(tmp_path, f"names: {{{quoted}: a}}\nspeakers: [{quoted}]\n") == {
        "names": {"010": "a"},
        "speakers": ["010"],
    }


def test_numbers_as_keys_are_text_and_other_numbers_stay(tmp_path: Path) -> None:
    text = "names: {1000: 1K, -3: minus}\na: [0, 12, -7, 1.0e-3, 0.5]\nb: yes\nc: null\n"
    assert read(tmp_path, text) == {
        "names": {"1000": "1K", "-3": "minus"}, "a": [0, 12, -7, 0.001, 0.5], "b": True, "c": None,
    }  # fmt: skip


def test_a_merged_mapping_may_give_a_key_again(tmp_path: Path) -> None:
    text = "a: &all {x: 1, y: 2}\nb: {<<: *all, y: 3}\n"
    assert read(tmp_path, text)["b"] == {"x": 1, "y": 3}
    # `c` is read before `b`, which lies deeper.
    text = "a: &a {x: 1}\np: {q: {b: &b {<<: *a, x: 2}}}\nc: {<<: *b, y: 3}\n"
    assert read(tmp_path, text)["c"] == {"x": 2, "y": 3}


def test_json_is_read_as_json(tmp_path: Path) -> None:
    assert read(tmp_path, '{\n\t"study": "x"\n}', "study.json") == {"study": "x"}
    with pytest.raises(ConfigError, match="key `study` is given twice in one mapping"):
        read(tmp_path, '{"study": "x", "study": "y"}', "study.json")


def test_a_file_below_the_working_folder_is_named_by_its_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake hands over absolute paths."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^study\.yaml, line 1"):
        read(tmp_path, "a: 00\n")


STUDY = """\
# A study.
study: mine
device: cpu   # no GPU
corpora:
  one: {importer: emodb, root: "one, two", shards: 4}
  mine:
    importer: csv
    root: 'media # 2'
    columns: {media: file,
              label: emotion}

  other: &other {importer: emodb, root: "other"}
tasks:
  emotions: &task
    corpus: mine
    classes: [anger, happiness]
    split: {by: folds, k: 3}
  again:
    <<: *task
    split:
      by: official
tables:
  scores:
    title: >
      Scores: of
        all models
    parts:
      - models: [a.original]
        baseline: a.original
      - models: ["b.original", c.original]
        baseline: b.original
    rows: [model, task]
"""
FAULTS: dict[str, tuple[Callable[[str], str], str]] = {
    "deeper": (lambda line: f" {line}", "fits no key above; indent it like its neighbours, with "),
    "shallower": (lambda line: line.removeprefix(" "), "fits no key above; indent it like its neighbours, with "),
    "no closing quotation mark": (lambda line: re.sub(r"""(["'])([^"']*)$""", r"\2", line), "is opened and not closed in this line; close it"),
    "no closing bracket": (lambda line: re.sub(r"\](?=[^\]]*$)", "", line), "its `[` is not closed"),
    "no closing brace": (lambda line: re.sub(r"(\{.*)\}(?=[^}]*$)", r"\1", line), "its `{` is not closed"),
    "no space behind the colon": (lambda line: re.sub(r"^( *\w+): (?! *[&>])", r"\1:", line), "a space is missing behind the colon; write `"),
    "no colon": (lambda line: re.sub(r"^( *\w+): (?! *[>])", r"\1 ", line), "it is no `key: value`; write a colon and a space behind the key"),
    "no comma": (lambda line: re.sub(r"(\w), (\w)", r"\1 \2", line, count=1), "a comma is missing between two entries"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_about_its_own_line(fault: str, tmp_path: Path) -> None:
    """Symptom: the parser's `while parsing a block mapping ... expected <block end>`, with a line behind the wrong one."""
    spoil, said = FAULTS[fault]
    assert read(tmp_path, STUDY)
    lines, found = STUDY.splitlines(), 0
    for number, line in enumerate(lines):
        spoiled = [*lines[:number], spoil(line), *lines[number + 1 :]]
        if line.startswith("#") or spoiled == lines:
            continue
        try:
            read(tmp_path, "\n".join(spoiled))
        except ConfigError as error:
            sentence, found = str(error), found + 1
            assert "\n" not in sentence and not re.search("while|block|token|<", sentence.replace(line.strip(), ""))
            if "not valid YAML" in sentence and f"line {number + 1}, " not in sentence:
                raise AssertionError(f"{number + 1}: {spoiled[number]!r}: {sentence}") from None
            assert said in sentence or "a comma is missing" in sentence, f"{spoiled[number]!r}: {sentence}"
    assert found > 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tasks:\n  mine:\n   corpus: mine\n    classes: [a, b]\n    split: {by: folds}\n",
         "line 3, `corpus: mine`: its indent of 3 spaces fits no key above; indent it like its neighbours, with 4 spaces"),
        ("study: x\n device: cpu\n",
         "line 2, `device: cpu`: its indent of 1 space fits no key above; indent it like its neighbours, with 0 spaces"),
        ("study: x\nplugins: @mine\n", "line 2, `plugins: @mine`: a value must not begin with '@'; quote it"),
        ("study: x\nplugins: *.py\n", "line 2, `plugins: *.py`: a value that begins with * must be quoted: '*.py'"),
        ("study: x\nplugins: a: b\n", "line 2, `plugins: a: b`: its value holds a colon with a space; quote the value"),
        ("study: [a}\n", "line 1, `study: [a}`: `}` does not close the `[`; write `]` first"),
        ("study:mine\ndevice: cpu\n", "line 1, `study:mine`: a space is missing behind the colon; write `study: mine`"),
    ],
)  # fmt: skip
def test_common_faults_say_what_to_write(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert str(error.value).endswith(f"study.yaml is not valid YAML: {sentence}")
