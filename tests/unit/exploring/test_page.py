"""The whole page of small corpora, listed only and with results; no name becomes markup."""

import html
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from emoadapt import schema
from emoadapt.cli import main
from emoadapt.config import load_study
from emoadapt.errors import ConfigError
from emoadapt.exploring.explore import Wishes, explore_corpus
from emoadapt.storage.tables import write_table

EVIL = "<img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def write_tone(path: Path, seconds: float, level: float = 0.3) -> None:
    times = np.arange(round(seconds * 16000)) / 16000
    soundfile.write(path, level * np.sin(2 * np.pi * 200 * times), 16000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of one corpus: 12 clips of two speakers, one label named like markup, one file that is no sound."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "talks"
    root.mkdir()
    lines = ["file,speaker,label"]
    for number in range(12):
        name = f"{number} 'a&b'.wav" if number else f"{EVIL}.wav"
        write_tone(root / name, 1 + number / 10)
        lines.append(f'"{name}",{"ann" if number % 2 else EVIL},{EVIL if number < 3 else "joy"}')
    (root / "9 'a&b'.wav").write_bytes(b"no sound at all")
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def explore(folder: Path, **wishes) -> str:
    columns = {"media": "file", "speaker": "speaker", "label": "label"}
    corpus = {"importer": "csv", "root": str(folder / "talks"), "file": "t.csv", "columns": columns, "shards": 1}
    study = load_study({"study": "mine", "corpora": {"talks": corpus}})
    page = folder / "results" / "explore" / "talks.html"
    explore_corpus(study, "talks", folder / "results", page, Wishes(**{"samples": 4, **wishes}))
    return page.read_text(encoding="utf-8")


def text_of(page: str) -> str:
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def test_a_listed_corpus_says_what_is_not_computed_and_what_cannot_be_used(folder):
    page = explore(folder)
    text = text_of(page)
    assert "No feature is computed yet" in text
    assert (
        "12 clips were decoded for this page, and 1 of them cannot be used:" in text and "failed: undecodable" in text
    )
    assert "snakemake results/features/audio/talks/000.parquet --cores all" in text
    assert "This page stays on this machine" in text and str(folder / "talks") in text
    assert "Levels" in text and "11 of 12 clips" in text
    assert page.count('class="wave"') >= 4 and "data:image/webp" in page


def test_commands_fit_a_shell_and_nothing_but_a_page_is_written(folder, monkeypatch, capsys):
    page = explore(folder, configfiles=[Path("it's mine.yaml")])
    command = re.search(r"snakemake [^<]*audio[^<]*", html.unescape(page))[0]
    assert shlex.split(command)[-2:] == ["--configfile", "it's mine.yaml"]
    (folder / "s.yaml").write_text("study: mine\ncorpora: {talks: {importer: folder, root: talks, shards: 1}}\n")
    monkeypatch.setattr(sys, "argv", ["emoadapt", "explore", "talks", "--configfile", "s.yaml", "--output", "s.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1 and "a page is an HTML file; write s.html" in capsys.readouterr().err
    assert (folder / "s.yaml").read_text().startswith("study: mine")


def test_names_never_become_markup(folder):
    page = explore(folder)
    assert EVIL not in page and page.count(html.escape(EVIL)) > 10, "as file, speaker and label"
    sources = re.findall(r'<audio [^>]*src="([^"]+)"', page)
    assert "../../talks/%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E.wav" in sources
    assert not re.search(r'(src|href)="(https?:|//)', page), "offline"


def test_holes_of_speakers_and_labels_are_marked(folder):
    table = folder / "talks" / "t.csv"
    table.write_text(table.read_text().replace(f"ann,{EVIL}", "ann,joy"))
    page = explore(folder)
    assert "1 of 2 speakers lack a label: 1 hole," in text_of(page) and page.count('class="number hole"') == 1


def write_results(folder: Path, computed: int = 12) -> None:
    """Sound, faces, words and vectors of the first clips."""
    ids = sorted(f"talks/{EVIL if not number else f'{number} {chr(39)}a&b{chr(39)}'}" for number in range(12))
    crop = cv2.imencode(".jpg", np.full((8, 8, 3), 99, np.uint8))[1].tobytes()
    samples = np.round(3000 * np.sin(np.arange(8000) / 20)).astype("<i2")
    columns = {
        "audio": lambda i: {"audio": samples[: 4000 + 100 * i].tobytes(), "n_samples": 4000 + 100 * i},
        "faces": lambda i: {"n_frames": 9, "frame_seconds": [0.0], "boxes": [[0.0, 0, 8, 8]], "crops": [crop]},
        "transcript": lambda i: {"text": f"{EVIL} said {i}"},
        "egemaps": lambda i: {"egemaps": (np.arange(25) * i % 7).astype(float)},
    }
    for feature, make in columns.items():
        rows = [
            {"utterance_id": name, "key": "k", "status": "failed", "reason": f"truncated: {EVIL}"}
            if i == 5
            else {"utterance_id": name, "key": "k", "status": "ok", **make(i)}
            for i, name in enumerate(ids[:computed])
        ]
        write_table(folder / f"results/features/{feature}/talks/000.parquet", rows, schema.feature_table(feature))


def test_what_is_computed_is_shown(folder):
    write_results(folder)
    page = explore(folder)
    text = text_of(page)
    assert "Lengths of the 11 clips whose sound was decoded." in text and "No feature is computed yet" not in text
    assert f"truncated 1 {EVIL}" in text and "audio failed" in text
    assert "1 of 9 frames have a face" in text and f"recognised: {EVIL} said" in text and EVIL not in page
    # Symptom: "Of 11 of 12 clips, drawn at random", and the reason of a clip twice.
    assert "The 11 of 12 clips whose sound can be used; 16 kHz" in text and "audio: truncated" not in text
    assert "before any training" not in text
    assert 'id="drawn-map"' in page and '"feature":"egemaps"' in page
    assert "results/features/faces" not in page and "results/features/transcript" not in page
    with pytest.raises(ConfigError, match="--feature rms"):
        explore(folder, features=["rms"])


def test_clips_that_are_not_computed_yet_are_decoded(folder):
    write_results(folder, computed=3)
    page = explore(folder, samples=12)
    # All but the file that is no sound.
    assert page.count('class="wave"') == 11 and "failed: undecodable" in text_of(page)
    assert "audio 3 0 0 0 9" in text_of(page), "status by feature"


def test_a_damaged_table_is_named_and_the_rest_is_shown(folder):
    write_results(folder)
    table = folder / "results/features/egemaps/talks/000.parquet"
    table.write_bytes(table.read_bytes()[:-9])
    text = text_of(explore(folder))
    assert "000.parquet is not a readable Parquet file" in text and "1 of 9 frames have a face" in text


def test_one_clip_is_enough(folder):
    (folder / "talks" / "t.csv").write_text(f'file,speaker,label\n"{EVIL}.wav",ann,joy\n')
    text = text_of(explore(folder))
    assert "clips 1" in text and "None" in text


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_map_is_drawn_in_a_browser_without_an_error(folder, tmp_path):
    write_results(folder)
    explore(folder)
    address = (folder / "results/explore/talks.html").as_uri()
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'chromium'}",
    ]
    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count("<circle") == 11 and 'class="legend"' in done.stdout
    assert EVIL not in re.sub(r"<script.*?</script>", "", done.stdout, flags=re.S)
