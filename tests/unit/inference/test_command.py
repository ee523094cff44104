"""`emoadapt predict` and what it writes."""

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from emoadapt.errors import ConfigError, ModelError
from emoadapt.inference.command import run_predict
from emoadapt.inference.output import list_files, open_output, show_progress, write_predictions
from emoadapt.inference.predict import Prediction

from .conftest import CLASSES, make_classifier, write_noise

ROWS = [
    Prediction(Path("a b.wav"), 0.0, 1.23456, label="x", probabilities={"x": 0.75, "y, z": 0.25}),
    Prediction(Path("Müller.wav"), status="failed", reason='undecodable: "x", y'),
]


def test_json_lines_hold_the_known_fields() -> None:
    file = io.StringIO()
    assert write_predictions(ROWS, file, ["x", "y, z"]) == {"ok": 1, "failed": 1}
    assert [json.loads(line) for line in file.getvalue().splitlines()] == [
        {"file": "a b.wav", "start": 0.0, "end": 1.23456, "status": "ok", "label": "x",
         "probabilities": {"x": 0.75, "y, z": 0.25}},
        {"file": "Müller.wav", "status": "failed", "reason": 'undecodable: "x", y'},
    ]  # fmt: skip
    assert "Müller" in file.getvalue()


def test_csv_has_a_column_per_class() -> None:
    file = io.StringIO()
    write_predictions(ROWS, file, ["x", "y, z"], as_csv=True)
    empty = dict.fromkeys(["start", "end", "label", "p_x", "p_y, z"], "")
    assert list(csv.DictReader(io.StringIO(file.getvalue()))) == [
        {"file": "a b.wav", "start": "0.0", "end": "1.23456", "status": "ok", "label": "x",
         "p_x": "0.75", "p_y, z": "0.25", "reason": ""},
        {"file": "Müller.wav", "status": "failed", "reason": 'undecodable: "x", y'} | empty,
    ]  # fmt: skip


def test_rows_are_written_as_soon_as_they_are_ready() -> None:
    file = io.StringIO()

    def predict():
        for number, row in enumerate(ROWS):
            assert file.getvalue().count("\n") == number
            yield row

    write_predictions(predict(), file, [])


def test_name_that_is_no_utf8_can_be_written(tmp_path: Path) -> None:
    """A file name of another system's encoding ended the command."""
    path = tmp_path / "out.jsonl"
    with path.open("w", encoding="utf-8") as file:
        write_predictions([Prediction(Path("a\udcff.wav"), status="failed", reason="x: y")], file, [])
    assert json.loads(path.read_text())["file"] == "a\ufffd.wav"


def test_reason_with_a_name_that_is_no_utf8_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with path.open("w", encoding="utf-8") as file:
        write_predictions([Prediction(Path("x"), status="failed", reason="x: a\udcff")], file, [], as_csv=True)
    assert "x: a\ufffd" in path.read_text()


def test_progress_counts_files_and_passes_all_on() -> None:
    terminal = io.StringIO()
    assert list(show_progress(iter(ROWS), 2, terminal)) == ROWS
    assert terminal.getvalue().endswith("\rfile 2 of 2, 1 predictions\n")


def test_files_folders_and_lists(tmp_path: Path) -> None:
    for name in ("b.wav", "a.MP4", "notes.txt", "sub/c.flac", ".hidden.wav"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "list.txt").write_text("x.wav\n\n/y z.mp3\n")
    found = list_files([Path("first.xyz"), tmp_path / "in"], recursive=True, listed=tmp_path / "list.txt")
    folder = tmp_path / "in"
    assert found == [Path("first.xyz"), folder / "a.MP4", folder / "b.wav", folder / "sub/c.flac", Path("x.wav"), Path("/y z.mp3")]  # fmt: skip


def test_files_passed_over_in_folders_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Symptom: `--recursive` passed over .amr, .mts and others without a word, and whatever else lay there."""
    for name in ("a.amr", "b.m2ts", "c.sph", "d.txt", "e.txt", "f"):
        (tmp_path / name).touch()
    assert [path.name for path in list_files([tmp_path], recursive=True)] == ["a.amr", "b.m2ts", "c.sph"]
    assert capsys.readouterr().err == (
        f"emoadapt: {tmp_path}: 3 files are passed over: .txt 2, no extension 1 (a file that is named is read all the same)\n"
    )


@pytest.mark.parametrize(
    "content",
    ["\ufeffMüller 1.wav\r\nb.wav\r\n".encode(), "Müller 1.wav\0b.wav\0".encode(), "Müller 1.wav\nb.wav".encode()],
    ids=["Windows", "find -print0", "without a last line end"],
)
@pytest.mark.parametrize("stdin", [True, False])
def test_lists_of_any_making(content: bytes, stdin: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: of `find -print0 | emoadapt predict --list -` only the first file was told, without a word."""
    (tmp_path / "list").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert list_files([], listed=Path("-") if stdin else tmp_path / "list") == [Path("Müller 1.wav"), Path("b.wav")]


def test_names_that_are_no_utf8_or_too_long_are_left_to_their_rows(tmp_path: Path) -> None:
    """Symptom: one such name in a list ended the command, the second with a traceback."""
    (tmp_path / "list").write_bytes(b"M\xfcller.wav\n" + b"a" * 5000 + b".wav\n")
    assert list_files([], listed=tmp_path / "list") == [Path("M\udcfcller.wav"), Path("a" * 5000 + ".wav")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": ["."]}, r"\. is a folder; name files, or add --recursive"),
        ({"paths": []}, "no file is named"),
        ({"paths": [], "listed": "no/list"}, "the list no/list cannot be read"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(options: dict, message: str) -> None:
    listed = options.get("listed")
    with pytest.raises(ConfigError, match=message):
        list_files([Path(path) for path in options["paths"]], listed=None if listed is None else Path(listed))


def test_wrong_options_leave_the_output_alone(tmp_path: Path) -> None:
    make_classifier().save(tmp_path / "model", {})
    (tmp_path / "out.csv").write_text("earlier")
    with pytest.raises(ConfigError, match="do not fit"):
        run_predict(tmp_path / "model", [Path("a.wav")], tmp_path / "out.csv", window=1, hop=2)
    assert (tmp_path / "out.csv").read_text() == "earlier"
    with pytest.raises(ConfigError, match="cannot be written"):
        run_predict(tmp_path / "model", [Path("a.wav")], tmp_path / "no" / "out.csv")


@pytest.mark.parametrize("kept", ["a.wav", "link.wav", "list"])
def test_inputs_are_not_overwritten(tmp_path: Path, kept: str) -> None:
    """Symptom: `predict MODEL a.wav --output a.wav` emptied the recording and then called it undecodable."""
    make_classifier().save(tmp_path / "model", {})
    write_noise(tmp_path / "a.wav", 0.5)
    (tmp_path / "link.wav").hardlink_to(tmp_path / "a.wav")
    (tmp_path / "list").write_text(str(tmp_path / "a.wav"))
    before = (tmp_path / kept).read_bytes()
    with pytest.raises(ConfigError, match="would be overwritten"):
        run_predict(tmp_path / "model", [], tmp_path / kept, listed=tmp_path / "list")
    assert (tmp_path / kept).read_bytes() == before


def test_a_table_of_languages_and_transcripts_beside_recordings_are_not_overwritten(
    saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "codes.csv").write_text(f"file,language\n{saved / 'a.wav'},en\n")
    with pytest.raises(ConfigError, match="would be overwritten"):
        predict(saved, "a.wav", output=tmp_path / "codes.csv", form="csv", language=str(tmp_path / "codes.csv"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.txt").write_text("what is said\n")
    with pytest.raises(ConfigError, match="holds no audacity labels"):
        predict(saved, "a.wav", output=tmp_path / "out", form="audacity")
    assert (tmp_path / "out/a.txt").read_text() == "what is said\n"
    assert predict(saved, "a.wav", output=tmp_path / "out/a.txt", form="audacity"), "a file that is named"
    assert predict(saved, "a.wav", output=tmp_path / "out", form="audacity"), "labels are replaced"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no file that is always full")
@pytest.mark.parametrize("path", [Path("/dev/full"), None])
def test_full_disk_is_explained(path: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.TextIOWrapper(io.FileIO("/dev/full", "w"))
    monkeypatch.setattr("sys.stdout", stdout)
    place = path or "the standard output"
    with pytest.raises(ConfigError, match=f"{place} cannot be written .*No space left"), open_output(path) as file:
        write_predictions(ROWS, file, ["x", "y, z"])
    with suppress(OSError):
        stdout.close()


def test_output_is_utf8_on_any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: a label that the terminal's encoding lacks ended the command with a traceback."""
    content = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(content, encoding="latin-1"))
    with open_output(None) as file:
        write_predictions([Prediction(Path("高.wav"), label="高")], file, [])
    assert json.loads(content.getvalue().decode("utf-8"))["label"] == "高"


@pytest.mark.parametrize("head", ["mlp", "hf", "challenge"])
def test_good_files_are_predicted_and_bad_ones_counted(head: str, tmp_path: Path, capsys) -> None:
    make_classifier(head=head).save(tmp_path / "model", {})
    good = [write_noise(tmp_path / f"{i}.wav", 0.5, seed=i) for i in range(3)]
    files = [good[0], tmp_path / "missing.wav", *good[1:]]
    assert run_predict(tmp_path / "model", good, tmp_path / "good.jsonl")
    assert not run_predict(tmp_path / "model", files, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["file"], row["status"]) for row in rows] == [
        (str(file), "failed" if file.stem == "missing" else "ok") for file in files
    ]
    assert all(
        sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4) for row in rows if "probabilities" in row
    )
    assert "1 of 4 rows have the status failed" in capsys.readouterr().err


def test_two_outputs_of_one_name_add_up_to_one(tmp_path: Path) -> None:
    """The second output of that name took the place of the first, and the rest of the probability was lost."""
    make_classifier().save(tmp_path / "model", {})
    (tmp_path / "model/contents.json").unlink()
    config = tmp_path / "model/config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"id2label": {"0": "calm", "1": "angry", "2": "Calm"}})
    )
    write_noise(tmp_path / "a.wav", 1.0)
    assert run_predict(tmp_path / "model", [tmp_path / "a.wav"], tmp_path / "out.jsonl")
    found = json.loads((tmp_path / "out.jsonl").read_text())["probabilities"]
    assert list(found) == ["calm", "angry"] and sum(found.values()) == pytest.approx(1, abs=1e-5)


def test_command_line_ends_without_a_traceback(tmp_path: Path) -> None:
    make_classifier().save(tmp_path / "model", {})
    write_noise(tmp_path / "a.wav", 0.5)
    (tmp_path / "b.wav").write_text("x")
    command = [sys.executable, "-m", "emoadapt", "predict", "model", "--recursive", ".", "--format", "csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert [row["status"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["ok", "failed"]
    passed_over = "5 files are passed over: .json 3, .md 1, .safetensors 1 (a file that is named is read all the same)"
    assert done.stderr.splitlines() == [
        f"emoadapt: .: {passed_over}",
        "emoadapt: 1 of 2 rows have the status failed, with a reason",
    ]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and three recordings beside it."""
    folder = tmp_path_factory.mktemp("saved")
    make_classifier().save(folder / "model", {})
    for name, seconds in (("a", 5.0), ("b", 1.0), ("c", 2.0)):
        write_noise(folder / f"{name}.wav", seconds, seed=ord(name))
    return folder


def predict(saved: Path, *names: str, **options) -> bool:
    return run_predict(saved / "model", [saved / name for name in names], **options)


@pytest.mark.slow
def test_several_processes_write_the_bytes_of_one(saved: Path, tmp_path: Path) -> None:
    names = ["a.wav", "missing.wav", "b.wav", "c.wav", "b.wav", "a.wav"]
    for jobs in (1, 2):
        assert not predict(saved, *names, output=tmp_path / f"{jobs}", window=1, hop=0.5, batch_size=1, jobs=jobs)
    one, two = ((tmp_path / f"{jobs}").read_text() for jobs in (1, 2))
    assert one == two
    assert [json.loads(line)["file"] for line in one.splitlines()] == [
        str(saved / name) for name, times in zip(names, (9, 1, 1, 3, 1, 9), strict=True) for _ in range(times)
    ]


def test_option_that_does_not_fit_is_refused_by_the_first_process(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("earlier")
    with pytest.raises(ConfigError, match="the model reads audio and no text; leave --language out"):
        predict(saved, "a.wav", output=tmp_path / "out", jobs=2, language="en")
    with pytest.raises(ConfigError, match="reads audio and no output of other models; leave --models-dir out"):
        predict(saved, "a.wav", output=tmp_path / "out", models_dir=tmp_path)
    assert (tmp_path / "out").read_text() == "earlier"


def test_parquet_has_the_columns_and_rows_of_csv(saved: Path, tmp_path: Path) -> None:
    names = ["a.wav", "missing.wav"]
    for form in ("csv", "parquet"):
        assert not predict(saved, *names, output=tmp_path / form, form=form, segments=True, window=1)
    frame = pl.read_parquet(tmp_path / "parquet")
    types = {"start": pl.Float64, "end": pl.Float64, "windows": pl.Int32} | {
        f"p_{name}": pl.Float64 for name in CLASSES
    }
    assert dict(frame.schema) == {name: types.get(name, pl.String) for name in frame.columns}
    assert frame["windows"].sum() == 9 and frame["end"][-2] == 5.0
    assert frame.equals(pl.read_csv(tmp_path / "csv", schema=frame.schema))


def test_labels_are_one_file_for_each_recording(saved: Path, tmp_path: Path, capsys) -> None:
    for folder in ("out", "pictures"):
        (tmp_path / folder).mkdir()
    (tmp_path / "out/missing.txt").write_text("0.0\t1.0\tanger 0.90\n")
    out, pictures = tmp_path / "out", tmp_path / "pictures"
    assert not predict(saved, "a.wav", "missing.wav", output=out, form="audacity", window=1, plot=pictures)
    lines = [line.split("\t") for line in (tmp_path / "out/a.txt").read_text().splitlines()]
    assert (lines[0][0], lines[-1][1]) == ("0.00000", "5.00000")
    assert all(before[1] == after[0] for before, after in pairwise(lines))
    assert {text.split()[0] for *_, text in lines} <= set(CLASSES)
    assert [path.name for path in (*out.iterdir(), *pictures.iterdir())] == ["a.txt", "a.png"], "not of what failed"
    missing, said = saved / "missing.wav", capsys.readouterr().err
    assert f"emoadapt: {missing}: file_missing: {missing} does not exist" in said
    assert f"written: {out}/a.txt, {pictures}/a.png\n" in said


def test_label_of_a_pipe_is_written_to_the_terminal(saved: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    samples = (1000 * np.random.default_rng(0).standard_normal(2 * 8000)).astype("<i2")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes(32_000) + samples.tobytes())))
    assert run_predict(saved / "model", [Path("-")], form="webvtt", rate=8000, window=1.0, hop=1.0, quietest=-50)
    out, err = capsys.readouterr()
    assert out.startswith("WEBVTT\n\n00:00:02.000 --> 00:00:") and "00:00:04.000\n" in out
    assert err == "emoadapt: 2 segments have no label (2.0 s): silent 1, quiet 1\n"


def test_every_window_is_a_row_whether_it_is_quiet_or_not(saved: Path, tmp_path: Path) -> None:
    assert predict(saved, "a.wav", output=tmp_path / "out", window=1, hop=1, quietest=0.0)
    rows = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [(row["start"], row["status"], row["reason"][:6]) for row in rows] == [
        (i, "absent", "quiet:") for i in range(5)
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": "parquet"}, "a Parquet file is no text for a terminal; name a file with --output"),
        ({"form": "webvtt"}, "webvtt labels are one file for each of 2 recordings; name a folder with --output"),
        ({"form": "webvtt", "output": Path("a.vtt")}, "2 recordings, and a.vtt is one file; name a folder"),
        ({"form": "csv", "output": Path()}, ". is a folder, and csv is one file of all recordings; name a file"),
        ({"plot": Path("a.png")}, "pictures are one file for each of 2 recordings, and a.png is one file; name a folder"),
        ({"rate": 16_000}, "--rate is of raw samples on the standard input; name - as a file, or leave --rate out"),
        ({"quietest": 20.0}, "a level of 20 dB cannot be: full scale is 0 dB"),
        ({"device": "gpu"}, "there is no device 'gpu'; write auto, cpu, cuda"),
    ],
)  # fmt: skip
def test_wrong_call_is_one_sentence(saved: Path, options: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        predict(saved, "a.wav", "b.wav", **options)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: a wrong --format was refused, then a wrong --plot, then the model."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        run_predict(
            Path("nowhere"), [Path("a.wav"), Path("b.wav")], form="parquet", plot=Path("a.png"), rate=8000, device="gpu"
        )
    first, *problems = str(refused.value).splitlines()
    assert first == "5 problems:" and [line.split()[0] for line in problems] == [
        "nowhere",
        "a",
        "there",
        "--rate",
        "pictures",
    ]


def test_a_model_that_does_not_exist_is_answered_by_those_that_do(
    tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Symptom: `has no config.json, so it is no model folder`, of a folder that does not exist."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"^results/x does not exist; a study with `keep_models: best` keeps the best"):
        run_predict(Path("results/x"), [Path("a.wav")])
    best = Path("results/classifiers/urdu")
    best.parent.mkdir(parents=True)
    best.symlink_to(saved.absolute() / "model")
    (tmp_path / "file").touch()
    for wrong, said in (("nowhere", "nowhere does not exist; "), ("file", "file is a file; name the folder of a model: "),
                        ("results", "results has no config.json, so it is no model folder; ")):  # fmt: skip
        with pytest.raises(ModelError) as refused:
            run_predict(Path(wrong), [Path("a.wav")])
        assert str(refused.value) == f"{said}the best classifier of each task is results/classifiers/urdu"


def test_what_was_written_is_named(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Symptom: a command that wrote a table and pictures ended without a word."""
    predict(saved, "a.wav", output=tmp_path / "a.json", plot=tmp_path / "a.png")
    assert f"written: {tmp_path}/a.json, {tmp_path}/a.png\n" in capsys.readouterr().err
    predict(saved, "a.wav", "b.wav", form="webvtt", output=tmp_path / "labels", plot=tmp_path / "pictures")
    assert f"written: 2 files in {tmp_path}/labels, 2 pictures in {tmp_path}/pictures\n" in capsys.readouterr().err
    predict(saved, "a.wav")
    assert "written" not in capsys.readouterr().err


def test_picture_of_an_unknown_format_is_refused(saved: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"--plot a\.jpg is in no format that is drawn; name a file that ends in \.png"
    ):
        predict(saved, "a.wav", plot=Path("a.jpg"))


def test_standard_input_is_read_once_and_not_from_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="the standard input is named twice"):
        list_files([Path("-")], listed=Path("-"))
    stdin = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", stdin)
    for given in ({"paths": [Path("-")]}, {"paths": [], "listed": Path("-")}):
        with pytest.raises(
            ConfigError, match="- is the standard input, which is this terminal; write a command before it"
        ):
            list_files(**given)


@pytest.mark.parametrize(
    "option", [{"form": "parquet", "output": "out"}, {"plot": "a.png"}, {"form": "webvtt", "output": "a.vtt"}]
)
def test_place_that_cannot_be_written_is_named(saved: Path, tmp_path: Path, option: dict) -> None:
    (tmp_path / "file").touch()
    places = {name: tmp_path / "file" / value for name, value in option.items() if name != "form"}
    with pytest.raises(ConfigError, match=r"file.* cannot be written \(.*\); name another one"):
        predict(saved, "b.wav", form=option.get("form", "json"), **places)


def test_pipe_with_a_name_is_refused(tmp_path: Path) -> None:
    """Symptom: a worker waited for it until it was `stalled`, or called it missing."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe is a pipe; the standard input alone is read as one"):
        list_files([tmp_path / "pipe"])
