"""The classical baseline against an outside figure, through the whole chain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml
from project import ROOT
from sklearn.metrics import recall_score
from small_study import STUDY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("EMOADAPT_DATA"), reason="EMOADAPT_DATA names no real corpora"),
]


def test_emodb_leave_one_speaker_out_as_others_found_it(tmp_path: Path) -> None:
    """339 clips of four classes, ComParE_2016 functionals, standardised, SVC(gamma="auto"): pooled UAR .841 elsewhere.

    (A published notebook gives .771 on all seven classes.)
    """
    corpus = STUDY["corpora"]["emodb"] | {"root": "${EMOADAPT_DATA}/emodb"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY | {"corpora": {"emodb": corpus}}))
    target = "results/runs/emodb/compare.original.svm/full/b000/predictions.parquet"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", target, "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
        + ["--profile", str(ROOT / "profiles/default"), "--configfile", "study.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = pl.read_parquet(tmp_path / target)
    assert found.height == 339 == found["utterance_id"].n_unique() and found["fold"].n_unique() == 10
    assert recall_score(found["label"], found["predicted"], average="macro") == pytest.approx(0.841, abs=0.02)
