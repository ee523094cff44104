"""A study that only extracts features has a page of what was extracted."""

import pytest

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.reporting import write_all
from emoadapt.reporting.style import describe_feature
from emoadapt.reporting.tables import read_tidy
from emoadapt.storage.tables import write_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables, figures and page of a study of two features, of which a clip lacks one."""
    folder = tmp_path_factory.mktemp("extracted")
    corpus = {"importer": "folder", "root": "clips", "modalities": ["audio"], "shards": 2}
    study = load_study(
        {"study": "heard", "corpora": {"talks": corpus}, "features": {"also": ["audio", "egemaps_functionals"]}}
    )
    results, shards = folder / "results", []
    for number, ids in (("000", ["talks/a", "talks/b"]), ("001", ["talks/c"])):
        rows = [{"utterance_id": name, "media": f"{name}.wav", "fingerprint": name} for name in ids]
        write_table(results / f"manifests/talks/{number}.parquet", rows, schema.MANIFEST)
        for feature in study.features.also:
            shards.append(results / f"features/{feature}/talks/{number}.parquet")
            write_table(shards[-1], [make_row(feature, name) for name in ids], schema.feature_table(feature))
    broken = dict(
        corpus="talks", feature="audio", utterance_id="talks/c", status="failed", reason="decode_error: cut off"
    )
    write_table(results / "quarantine.parquet", [broken], schema.QUARANTINE)
    write_all(study, results, folder / "tables", folder / "figures", folder / "index.html", features=shards)
    return folder


def make_row(feature, name):
    base = {"utterance_id": name, "key": "k", "status": "ok", "reason": None}
    if feature == "egemaps_functionals":
        return base | {"egemaps_functionals": [0.0] * 88}
    if name == "talks/c":
        return base | {"status": "failed", "reason": "decode_error: cut off"}
    note = "narrow_band: recorded at 8000 Hz" if name == "talks/b" else None
    return base | {"reason": note, "audio": b"", "n_samples": 16_000 * 1800}


def test_clips_are_counted_by_feature_and_corpus(folder):
    table = read_tidy(folder / "tables/extracted.csv")
    counts = table.select("feature", "corpus", "clips", "ok", "noted", "absent", "failed", "seconds").rows()
    assert counts == [("audio", "talks", 3, 2, 1, 0, 1, 3600.0), ("egemaps_functionals", "talks", 3, 3, 0, 0, 0, None)]
    assert table["holds"][1] == "88 functionals of eGeMAPSv02, with its authors' windows"


def test_the_page_shows_what_was_extracted_and_no_empty_section(folder):
    """Symptom: the report of a study that only extracts was empty."""
    text = (folder / "index.html").read_text()
    assert "This study extracts features, and trains nothing." in text
    section = text[text.index('<section id="extracted">') : text.index('<section id="quarantine">')]
    assert "Audio of a clip: mono, 16 kHz, int16" in section and "features/egemaps_functionals/talks" in section
    assert '<td class="number">1.00</td>' in section, "hours of audio"
    assert [
        name
        for name in ("results", "classes", "data", "stage-1", "runs", "predict", "weights")
        if f'<section id="{name}">' in text
    ] == []
    assert "How to read these numbers" not in text and "data:image/svg" in text, "the picture of the quarantine"


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ("egemaps", "25 low-level descriptors of eGeMAPSv02, averaged over time"),
        ("sentiment", "Sentiment of the transcript: negative, neutral or positive"),
        ("landmark_motion", "Movement of the face: variance of the trace of the landmarks' centroid"),
    ],
)
def test_a_feature_is_described_by_its_module(feature, words):
    assert describe_feature(feature) == words
