"""Sentences of ours stand alone in Snakemake's log."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from emoadapt.terminal.wording import refuse, word_plainly

ROOT = Path(__file__).parents[3]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("test.wording")
    found.setLevel(logging.INFO)
    yield found
    found.filters.clear()


def test_a_refusal_is_its_sentence_alone(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    error = refuse(logger, "corpus c: 2 problems:\n  one\n  two")
    logger.error(
        f'WorkflowError in file "/a/Snakefile", line 64:\n{error}\n  File "/a/Snakefile", line 64, in <module>'
    )
    logger.error("KeyError: something else")
    assert caplog.messages == ["corpus c: 2 problems:\n  one\n  two", "KeyError: something else"]


def test_a_refusal_without_words_hides_no_other_line(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """Symptom: each error of a run became an empty line."""
    error = refuse(logger, OSError())
    logger.error("KeyError: something else")
    assert str(error) == "OSError" and caplog.messages == ["KeyError: something else"]


def test_what_changed_is_said_without_advice_that_does_not_apply(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """Symptom: `Rules with provenance triggered jobs: train`, and advice to wipe metadata, which decide nothing."""
    word_plainly(logger)
    logger.info("Some jobs were triggered by provenance information, see ... '--rerun-triggers mtime'")
    logger.info("Rules with provenance triggered jobs: train\n")
    logger.info("None", extra={"reason": "Params have changed since last execution: finetunings.svm.c: 1.0 -> 2.0"})
    logger.info("Reasons:\n    params have changed since last execution:\n        train")
    assert caplog.messages == ["None", "Reasons:\n    changed settings, code, libraries or inputs:\n        train"]
    assert caplog.records[0].reason == "changed: finetunings.svm.c: 1.0 -> 2.0"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("study", "options", "sentence"),
    [
        ("study: x\ncorpora:\n  c: {importer: folder, root: none}\nfeatures: {also: [audio]}\n", [], "corpus c: its root "),
        ("study: x\ncorpora: {c: {importer: foldre, root: a}}\n", [], "the configuration cannot be used:\n  corpora.c.importer: "),
        ("study: x\n  bad: [\n", [], "study.yaml is not valid YAML: "),
        ("study: x\ncorpora: {c: {importer: folder, root: media}}\n", ["--rerun-triggers", "mtime"], "outputs say themselves what they are made from"),
    ],
)  # fmt: skip
def test_snakemake_in_a_pipe_ends_with_the_sentence(
    study: str, options: list[str], sentence: str, tmp_path: Path
) -> None:
    """Symptom: WorkflowError, a line of the Snakefile and the class of an exception stood around it."""
    (tmp_path / "study.yaml").write_text(study)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml", "-n", *options]  # fmt: skip
    done = subprocess.run([*command, "--cores", "1"], cwd=tmp_path, capture_output=True, text=True, check=False)
    said = f"{done.stderr}\n{done.stdout}"  # a dry run logs to stdout
    assert done.returncode == 1 and f"\n{sentence}" in said, said
    assert not any(word in said for word in ("Error", 'Snakefile", line', "Traceback"))
