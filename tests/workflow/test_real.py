"""The whole chain on real clips and corpora, where they are at hand (EMOADAPT_DATA and EMOADAPT_MODELS)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from project import ROOT
from sklearn.metrics import f1_score

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("EMOADAPT_DATA") or not os.environ.get("EMOADAPT_MODELS"),
        reason="EMOADAPT_DATA and EMOADAPT_MODELS name no real corpora and weights",
    ),
]


CLIPS = 12
"""The shortest of each of ten collections, a face in each; three are in Chinese."""
RECORDINGS = 18
"""Those of an actor's first statement that are neutral, happy, sad, angry or, to be dropped, surprised."""


def fill_short(folder: Path) -> None:
    """Rows of the films' table, and some recordings of six actors."""
    data = Path(os.environ["EMOADAPT_DATA"])
    for actor in ("01", "02", "03", "17", "23", "24"):
        (folder / f"ravdess/Actor_{actor}").mkdir(parents=True)
        for path in (data / f"ravdess/Actor_{actor}").glob("03-01-0[13458]-??-01-??-??.*"):
            shutil.copy(path, folder / f"ravdess/Actor_{actor}")
    films = pl.read_csv(data / "clips/clips.csv", infer_schema=False).sort(pl.col("seconds").cast(float), "file")
    wanted = pl.when(language="zh").then(3).otherwise(1)
    films.filter(pl.int_range(pl.len()).over("corpus") < wanted).write_csv(folder / "clips.csv")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    fill_short(folder / "short")
    configuration = [str(ROOT / "tests/workflow" / name) for name in ("real.yaml", "real_short.yaml")]
    options = ["--cores", "2", "--resources", "gpu=1", "--profile", str(ROOT / "profiles/default")]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
        + [*options, "--configfile", *configuration],
        env=os.environ | {"EMOADAPT_SHORT": str(folder / "short")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return folder / "results"


def feature(results: Path, name: str, corpus: str) -> pl.DataFrame:
    return pl.read_parquet(results / f"features/{name}/{corpus}/*.parquet")


def test_every_clip_is_a_row_of_every_feature(results: Path) -> None:
    for name in ("audio", "faces", "face_embedding", "egemaps", "transcript", "sentiment"):
        frame = feature(results, name, "clips")
        assert frame.height == CLIPS == frame["utterance_id"].n_unique()
        assert set(frame["status"]) <= {"ok", "absent", "failed"}
        assert frame.filter(pl.col("status") != "ok")["reason"].null_count() == 0
    assert feature(results, "faces", "clips").filter(status="ok").height == CLIPS
    assert feature(results, "egemaps", "clips").filter(status="ok").height == CLIPS


def test_masks_say_what_a_corpus_lacks(results: Path) -> None:
    clips = pl.read_parquet(results / "training/egemaps+face+sentiment/clips/*.parquet")
    speech = pl.read_parquet(results / "training/egemaps+face+sentiment/ravdess_unlabelled/*.parquet")
    assert clips["mask_face"].sum() == CLIPS and speech["mask_face"].sum() == 0
    assert speech["target_face"].null_count() == speech.height == 2 * RECORDINGS
    assert speech["mask_egemaps"].all() and speech["mask_sentiment"].all()
    assert 0 < clips["mask_sentiment"].sum() < CLIPS  # some are Chinese, which the recogniser does not know


def test_whisper_recognises_what_was_said(results: Path) -> None:
    """Pocketsphinx mistakes a quarter of these words."""
    errors = pl.read_csv(results / "tables/word_errors.csv", infer_schema_length=None)
    (row,) = errors.filter(corpus="ravdess_unlabelled").to_dicts()
    assert row["engine"] == "whisper" and row["clips"] == 2 * RECORDINGS and row["words"] == 6 * row["clips"]
    assert row["word_error_rate"] < 0.05


def test_no_test_clip_was_seen_in_stage_1(results: Path) -> None:
    splits = pl.read_parquet(results / "splits/ravdess/0.parquet")
    test = set(splits.filter(split="test", corpus="ravdess")["speaker"])
    seen = pl.read_parquet(results / "targets/adapted/parts.parquet").filter(corpus="ravdess_unlabelled")
    assert test == {"23", "24"} and not test & set(seen["speaker"])
    table = pl.read_csv(results / "tables/stage1_data.csv", infer_schema_length=None)
    assert "shared_clips" in pl.read_csv(results / "tables/data.csv", infer_schema_length=None).columns
    assert table.height > 0


def test_tables_are_what_the_predictions_say(results: Path) -> None:
    predictions = pl.read_parquet(results / "runs/*/*/*/*/predictions.parquet")
    sizes = {"ravdess": 28, "emodb": 81}
    for name in ("results", "cross_corpus"):
        rows = pl.read_csv(results / f"tables/{name}.csv", infer_schema_length=None).filter(metric="macro_f1")
        assert rows.height == 3  # original, adapted, eGeMAPS
        for row in rows.to_dicts():
            setting = {key: row[key] for key in ("backbone", "start", "test_corpus")} | {"subset": str(row["subset"])}
            runs = predictions.filter(**setting).partition_by("seed")
            scores = [f1_score(run["label"], run["predicted"], average="macro") for run in runs]
            assert row["mean"] == pytest.approx(sum(scores) / len(scores), abs=1e-9)
            assert row["n"] == sizes[row["test_corpus"]]


def test_stage_1_learns_on_held_out_speakers(results: Path) -> None:
    curves = pl.read_parquet(results / "curves/wav2vec2_small.adapted.parquet").filter(part="held_out")
    losses = curves.filter(metric="loss_egemaps").sort("epoch")["value"]
    assert losses.min() < losses[0]


def test_the_report_says_that_the_backbone_is_untrained(results: Path) -> None:
    page = (results / "report/index.html").read_text()
    text = re.sub(r"<(style|script)[\s\S]*?</\1>|<[^>]+>", " ", page)
    beginning = " ".join(text.split())[:1500]
    assert "untrained" in beginning.lower() and "wav2vec2_small" in beginning
    assert not re.search(r'(src|href)="https?://', page)


def test_the_adapted_model_loads_without_us(results: Path) -> None:
    code = (
        "import sys, torch\nfrom transformers import AutoModel\n"
        "model = AutoModel.from_pretrained(sys.argv[1]).eval()\n"
        "out = model(torch.randn(1, 16000)).last_hidden_state\n"
        "assert out.shape[-1] == 128 and out.isfinite().all() and 'emoadapt' not in sys.modules"
    )
    folder = results / "models/wav2vec2_small.adapted"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    card = (folder / "README.md").read_text().lower()
    assert "untrained" in card or "randomly initialised" in card
