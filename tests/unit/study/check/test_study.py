"""`emoadapt check` finds what would stop a run."""

from __future__ import annotations

import hashlib
import os
import re
import wave
from pathlib import Path
from typing import Any

import pytest

from emoadapt.config import load_study
from emoadapt.errors import CorpusError, EmoadaptError
from emoadapt.listing import accounts
from emoadapt.listing.reading import read_utterances
from emoadapt.study.check import listings
from emoadapt.study.check.corpora import advise_shards
from emoadapt.study.check.study import print_check

from ...transcription.text_models import save_encoder


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "speech").mkdir()
    rows = ["file,who,label"]
    for number in range(24):
        (tmp_path / f"speech/{number}.wav").write_bytes(bytes([number]))
        rows.append(f"{number}.wav,s{number // 4},{'ab'[number % 2]}")
    (tmp_path / "speech/labels.csv").write_text("\n".join(rows))
    return tmp_path


def study(**changes: Any) -> Any:
    columns = {"media": "file", "speaker": "who", "label": "label"}
    task = {"corpus": "speech", "classes": ["a", "b"], "split": {"by": "folds", "k": 3}, "subsets": [4]}
    return load_study(
        {
            "study": "checked",
            "corpora": {"speech": {"importer": "csv", "root": "speech", "file": "labels.csv", "columns": columns}},
            "backbones": {"egemaps": {"architecture": "vector", "reads": "egemaps"}},
            "tasks": {"t": task | changes.pop("task", {})},
            **changes,
        }
    )


def test_a_good_study_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    print_check(study())
    said = capsys.readouterr().out
    assert "corpus speech: 24 clips, 6 speakers, 4 shards" in said
    assert "task t, test: 8 clips of 2 speakers: a 4, b 4" in said
    assert "no problems found" in said


def test_rows_and_media_are_counted(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("extra.amr", "notes.txt", "more.txt", "README"):
        (workplace / "speech" / name).touch()
    print_check(study())
    assert capsys.readouterr().out.splitlines()[:4] == [
        "corpus speech: 24 clips, 6 speakers, 4 shards",
        "  table labels.csv: 25 lines: a header and 24 rows; 24 are clips",
        "  25 media files below speech; 1 of them belongs to no clip: extra.amr",
        "  3 files are passed over: .txt 2, no extension 1",
    ]
    corpus = study().corpora["speech"].model_dump() | {"speakers": ["s0", "s1", "s2"]}
    print_check(study(corpora={"speech": corpus}, task={"subsets": [2]}))
    said = capsys.readouterr().out
    assert "  table labels.csv: 25 lines: a header and 24 rows; 24 are clips" in said
    assert "  corpora.speech.speakers keeps 12 clips, of 3 speakers" in said


def test_folder_that_cannot_be_read_stops_no_corpus_of_a_table(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(root: str) -> None:
        raise CorpusError(f"the folder {root}/lost cannot be read")

    monkeypatch.setattr(accounts, "survey_folder", refuse)
    print_check(study())
    assert "  its media files are not counted: the folder speech/lost cannot be read" in capsys.readouterr().out


def test_rows_that_a_quotation_mark_would_swallow_are_said(workplace: Path) -> None:
    """Symptom: 12 of 16 clips, and "all is there"."""
    table = workplace / "speech/labels.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join([f"{row},{'text' if not i else QUOTED.get(i, '')}" for i, row in enumerate(rows)]))
    with pytest.raises(
        EmoadaptError, match=r"labels\.csv, lines 5 to 9: one cell spans .* set corpora\.speech\.quoting"
    ):
        print_check(study())


QUOTED = {4: '"Oh no', 8: 'she said "go away'}


def test_an_empty_table_is_refused(workplace: Path) -> None:
    """Symptom: `no column file, label, speaker; there are ;`."""
    (workplace / "speech/labels.csv").write_text("")
    with pytest.raises(EmoadaptError, match=r"corpus speech: speech/labels\.csv: the table is empty"):
        print_check(study())


def test_segments_in_milliseconds_are_said(workplace: Path) -> None:
    with wave.open(str(workplace / "speech/0.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(128000))
    (workplace / "speech/labels.csv").write_text("file,from,to\n0.wav,0,1500\n0.wav,1500,3000\n")
    columns = {"media": "file", "start": "from", "end": "to"}
    corpus = study().corpora["speech"].model_dump() | {"columns": columns}
    with pytest.raises(
        EmoadaptError,
        match=r"2 segments extend beyond their files: speech/labels\.csv, line 2 \(end 1500 s; 0\.wav ends at 4\.00 s; are these milli",
    ):
        print_check(study(corpora={"speech": corpus}))


def test_what_may_surprise_is_noted(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    corpora = {name: corpus.model_dump() for name, corpus in study().corpora.items()}
    corpora["idle"] = {"importer": "folder", "root": "speech"}
    corpora["away"] = {"importer": "folder", "root": "nowhere", "optional": True}
    print_check(
        study(
            corpora=corpora,
            device="cuda",
            task={"test_also": ["away"]},
            finetunings={"default": {"precision": "16-mixed"}},
            features={"transcript": {}},
        )
    )
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: corpora.away is left out: its root nowhere is missing",
        "note: tasks.t.test_also.away is left out: needs corpus away",
        "note: corpus idle is used by no task and no adaptation",
        "note: features.transcript: no backbone and no objective reads transcript, so that these keys change nothing",
        "note: finetunings.default, device: cuda needs a GPU, and this machine has none; the machines of the jobs need one",
    ]
    print_check(study())
    assert "note: " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ({"subsets": [4000]}, "4000"),
        ({"classes": ["a", "c"]}, "b"),
        ({"split": {"by": "speakers", "dev": ["s1"], "test": ["nobody"]}}, "nobody"),
    ],
)
def test_faults_of_later_jobs_are_refused_by_the_check(task: dict[str, Any], sentence: str) -> None:
    with pytest.raises(EmoadaptError, match="would stop this study") as error:
        print_check(study(task=task))
    assert sentence in str(error.value)


def test_labels_parts_and_names_are_said_with_their_counts(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A corpus in other words, a part that is misspelt, a speaker in two cases, one test speaker."""
    rows = ["file,who,label,part"]
    for number in range(8):
        part = ("Train", "Train", "dev", "test")[number // 2] if number != 7 else "tset"
        rows.append(f"{number}.wav,{('Ann', 'ann', 'Ben', 'Cleo')[number // 2]},{'ab'[number % 2]},{part}")
    (workplace / "speech/parts.csv").write_text("\n".join([*rows, "8.wav,Cleo,b,test"]))
    (workplace / "speech/other.csv").write_text("file,who,label\n10.wav,x,A\n11.wav,x,b\n12.wav,y,calm\n")
    columns = {"media": "file", "speaker": "who", "label": "label"}
    corpora = {
        "speech": {"importer": "csv", "root": "speech", "file": "parts.csv", "columns": {**columns, "split": "part"}},
        "other": {"importer": "csv", "root": "speech", "file": "other.csv", "columns": columns},
    }
    task = {"split": {"by": "official"}, "test_also": ["other"]}
    with pytest.raises(
        EmoadaptError,
        match=r"no clip of corpus other has the label a; its labels are A 1, b 1, calm 1; .*class_map: \{A: a\}",
    ):
        print_check(study(corpora=corpora, task=task))
    assert "task t, labels of other: a 0, b 1; dropped: A 1, calm 1" in capsys.readouterr().out
    print_check(study(corpora=corpora, task={**task, "missing_classes": "report"}))
    notes = [line.strip() for line in capsys.readouterr().out.splitlines() if "note: " in line]
    assert any("(Ann 2, ann 2)" in note for note in notes)
    assert any("left out: tset 1; is test meant by tset?" in note for note in notes)
    assert any("the test set of speech has one speaker (Cleo)" in note for note in notes)
    assert any("set tasks.t.class_map: {A: a}" in note for note in notes)


def test_a_misspelt_part_is_noted_before_the_refusal_that_it_causes(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{number}.wav,{'ab'[number % 2]},{('train', 'dev', 'test')[number // 2]}" for number in range(5)]
    (workplace / "speech/labels.csv").write_text("\n".join(["file,label,part", *rows, "5.wav,b,tset"]))
    columns = {"media": "file", "label": "label", "split": "part"}
    corpora = {"speech": {"importer": "csv", "root": "speech", "file": "labels.csv", "columns": columns}}
    with pytest.raises(EmoadaptError, match=r"no test clip of corpus speech is of class b"):
        print_check(study(corpora=corpora, task={"split": {"by": "official"}, "subsets": ["full"]}))
    assert "left out: tset 1; is test meant by tset?" in capsys.readouterr().out


def test_clips_without_a_speaker_are_counted(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same unknown person may be in train and in test, who cannot be looked for."""
    rows = [
        f"{number}.wav,{'NA' if number % 3 == 0 else f's{number // 4}'},{'ab'[number % 2]},{('train', 'dev', 'test')[number // 4]}"
        for number in range(12)
    ]
    (workplace / "speech/labels.csv").write_text("\n".join(["file,who,label,part", *rows]))
    columns = {"media": "file", "speaker": "who", "label": "label", "split": "part"}
    corpora = {"speech": {"importer": "csv", "root": "speech", "file": "labels.csv", "columns": columns}}
    print_check(study(corpora=corpora, task={"split": {"by": "official"}}))
    said = capsys.readouterr().out
    assert "corpus speech: 12 clips, 3 speakers (4 clips without a speaker), 4 shards" in said
    assert "note: 4 speaker cells hold NA, which means unknown" in said
    assert "task t, train: 4 clips of 1 speaker (2 clips without a speaker): a 2, b 2" in said
    assert "note: 4 clips of speech have no speaker: whether these people are in more than one part is unknown" in said


def test_weights_are_checked_by_content(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {"backbones": {"own": {"architecture": "hubert", "weights": "own"}}}
    (workplace / "models/own").mkdir(parents=True)
    (workplace / "models/own/model.safetensors").write_bytes(b"weights")
    print_check(study(**own))
    digest = hashlib.sha256(b"weights").hexdigest()
    assert f"backbone own: own (sha256:{digest[:16]})" in capsys.readouterr().out
    with pytest.raises(EmoadaptError, match=r"backbone hub: .*lacks revision v2; `emoadapt models fetch no/where@v2"):
        print_check(
            study(
                backbones={"hub": {"architecture": "hubert", "weights": "no/where", "revision": "v2"}}
                | own["backbones"]
            )
        )


def test_a_text_encoder_that_reads_the_tokens_of_another_is_refused(workplace: Path) -> None:
    """Symptom: ids of a smaller vocabulary are ids of other words in a larger one, and nothing fails."""
    for name, model_type in (("first", "bert"), ("same", "bert"), ("other", "roberta")):
        save_encoder(workplace / "models" / name, model_type)

    def check(weights: str, architecture: str) -> None:
        backbone = {"architecture": architecture, "weights": weights}
        features = {"text_tokens": {"model": "first"}, "transcript": {"engine": "corpus"}}
        print_check(study(backbones={"own": backbone}, features=features))

    check("first", "bert")
    check("same", "bert")
    sentence = "backbone own: other does not know the tokens of first; set features.text_tokens.model: other"
    with pytest.raises(EmoadaptError, match=sentence):
        check("other", "roberta")
    (workplace / "models/first/tokenizer.json").unlink()
    with pytest.raises(EmoadaptError, match=r"features\.text_tokens\.model: .*first has no tokenizer\.json"):
        check("first", "bert")


def test_a_checkpoint_that_is_cut_off_is_refused(workplace: Path) -> None:
    """Symptom: `check` found no problem, and every job of the backbone failed."""
    import torch

    (workplace / "models").mkdir(exist_ok=True)
    file = workplace / "models/own.pt"
    torch.save({"values": torch.zeros(1000)}, file)
    whole, backbone = file.read_bytes(), {"own": {"architecture": "whisper", "weights": "own.pt"}}
    print_check(study(backbones=backbone))
    file.write_bytes(whole[:-100])
    with pytest.raises(EmoadaptError, match=r"backbone own: .*own\.pt is cut off; copy or fetch it again"):
        print_check(study(backbones=backbone))


def test_missing_corpora_and_weights_are_said_together() -> None:
    broken = study(
        corpora={"speech": {"importer": "folder", "root": "nowhere"}, "clips": {"importer": "folder", "root": "gone"}},
        task={"corpus": "speech"},
        backbones={"own": {"architecture": "hubert", "weights": "not/here/at/all"}},
    )
    with pytest.raises(EmoadaptError, match=r"3 problems") as error:
        print_check(broken)
    assert all(name in str(error.value) for name in ("nowhere", "gone", "not/here/at/all"))


def test_leaks_are_said_before_anything_is_computed(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clip 20 is a copy of clip 0, of another speaker: in each fold they are in two of train, development and test."""
    (workplace / "speech/20.wav").write_bytes((workplace / "speech/0.wav").read_bytes())
    heard = {
        "backbones": {"h": {"architecture": "hubert", "untrained": {}}},
        "adaptations": {"adapted": {"corpora": ["speech"], "objectives": {"egemaps": 1.0}}},
    }
    with pytest.raises(EmoadaptError, match=r"3 problems would stop this study") as error:
        print_check(study(**heard))
    for part, kind, text in (
        ("dev", "clips", "that are in train too"),
        ("test", "clips", "that are in train too"),
        ("test", "development", "of the development part"),
    ):
        found = re.search(
            rf"task t: 1 of the 24 {part} clips of speech are recordings {text}.*leaks: \{{{kind}: report\}}",
            str(error.value),
        )
        assert found, error.value
    said = capsys.readouterr().out
    assert "leak: 24 of the 24 test clips of speech are recordings that Stage 1 of adapted used" in said
    assert (
        "leak: 6 of the 6 test speakers of speech are people whose clips Stage 1 of adapted used (s0, s1, s2, ...)"
        in said
    )
    print_check(study(task={"leaks": {"clips": "report", "development": "report"}}))
    said = capsys.readouterr().out
    assert "leak: 1 of the 24 test clips of speech are recordings that are in train too" in said
    assert "; only reported (tasks." in said


@pytest.mark.parametrize("leaks", [False, True])
@pytest.mark.parametrize("spelled", [False, True])
@pytest.mark.parametrize("noted", [False, True])
def test_the_verdict_counts_the_lines_above_it(
    leaks: bool, spelled: bool, noted: bool, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symptom: `1 note` above two lines with `note:`, and `1 note` above a line with `leak:`."""
    if leaks:
        (workplace / "speech/20.wav").write_bytes((workplace / "speech/0.wav").read_bytes())
    table = workplace / "speech/labels.csv"
    if spelled:
        table.write_text(table.read_text().replace("9.wav,s2,b", "9.wav,s2,B"))
    task = {"other_labels": "drop", "leaks": {"clips": "report", "development": "report"}}
    print_check(study(task=task, features={"transcript": {}} if noted else {}))
    *lines, last = capsys.readouterr().out.splitlines()
    numbers = {kind: sum(line.lstrip().startswith(f"{kind}: ") for line in lines) for kind in ("note", "leak")}
    assert (numbers["leak"] > 0) == leaks and numbers["note"] >= 2 * spelled + noted
    said = [f"{number} {kind}{'s' * (number > 1)}" for kind, number in numbers.items() if number]
    assert last.startswith(f"ready, with {' and '.join(said)} above: no problems" if said else "ready: no problems")


def test_copies_in_stage1_and_labels_that_contradict_are_noted(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clips 0 and 1 have different labels and the same content; clip 3 has a link beside it."""
    (workplace / "speech/1.wav").write_bytes((workplace / "speech/0.wav").read_bytes())
    (workplace / "speech/3 (1).wav").symlink_to("3.wav")
    with (workplace / "speech/labels.csv").open("a") as table:
        table.write("\n3 (1).wav,s0,b")
    print_check(
        study(
            backbones={"h": {"architecture": "hubert", "untrained": {}}},
            adaptations={"adapted": {"corpora": ["speech"], "objectives": {"egemaps": 1.0}, "held_out": 0.3}},
        )
    )
    said = capsys.readouterr().out
    assert (
        "  note: 2 of the 25 clips of speech are recordings that have another label too (speech/0 = speech/1: a vs b)\n"
        in said
    )
    assert "  note: 4 of the 25 test clips of speech are recordings that are in test more than once (speech/0, " in said
    assert re.search(
        r"adaptation adapted: 25 clips, [89] of them held out \(3[26]\.0%\)\n", said
    )  # two speakers of four or five clips
    assert "  note: 4 of the 25 clips of speech are recordings that are in Stage 1 of adapted more than once" in said


def test_a_corpus_without_video_is_named_for_the_objective_that_needs_it(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpora = {name: corpus.model_dump() for name, corpus in study().corpora.items()}
    corpora["films"] = corpora["speech"] | {"modalities": ["audio", "video"]}
    with pytest.raises(EmoadaptError, match="models fetch"):  # of the face network, which is not there
        print_check(
            study(
                corpora=corpora,
                backbones={"h": {"architecture": "hubert", "untrained": {}}},
                adaptations={"adapted": {"corpora": ["speech", "films"], "objectives": {"egemaps": 1.0, "face": 1.0}}},
            )
        )
    said = capsys.readouterr().out
    assert "  note: face is learned without corpus speech, which has no video (corpora.speech.modalities)" in said
    assert "egemaps is learned without" not in said
    assert "24 of the 24 clips of films are recordings that are in Stage 1 of adapted more than once" in said


CHOOSING = {"method": "svm", "c": [0.1, 1.0]}


@pytest.mark.parametrize(
    ("task", "choice", "sentence"),
    [
        ({}, {}, None),
        ({"subsets": ["full"], "split": {"by": "speakers", "train": ["s0"], "dev": ["s1"], "test": ["s2", "s3"]}}, {}, "one speaker"),
        ({"subsets": ["full"], "split": {"by": "speakers", "train": ["s0"], "dev": ["s1"], "test": ["s2", "s3"]}}, {"train_on_dev": True}, None),
        ({"subsets": ["full"], "split": {"by": "speakers", "train": ["s0"], "dev": ["s1"], "test": ["s2", "s3"]}}, {"choose_by": "dev"}, None),
    ],
    ids=["two and more", "one", "one, and one of dev", "chosen by dev"],
)  # fmt: skip
def test_inner_folds_that_cannot_be_are_a_problem(task: dict, choice: dict, sentence: str | None) -> None:
    wanted = study(task=task, finetunings={"svm": CHOOSING | choice})
    if sentence is None:
        print_check(wanted)
        return
    place = r"task t: finetunings\.svm chooses c by inner folds over speakers, and the 4 training clips of partition 0, fold 0 \(full\) have "
    with pytest.raises(EmoadaptError, match=f"{place}{sentence}; set choose_by: dev"):
        print_check(wanted)


def test_clips_without_a_speaker_are_counted_where_vectors_are_normalised_by_speaker(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "more").mkdir()
    rows = "".join(f"\n{number}.wav,{'ab'[number % 2]}" for number in range(3))
    (workplace / "more/labels.csv").write_text(f"file,label{rows}")
    for number in range(3):
        (workplace / f"more/{number}.wav").write_bytes(b"more%d" % number)
    corpora = {name: corpus.model_dump() for name, corpus in study().corpora.items()}
    corpora["more"] = {
        "importer": "csv",
        "root": "more",
        "file": "labels.csv",
        "columns": {"media": "file", "label": "label"},
    }
    key = "note: finetunings.default.normalise"
    sentence = f"{key}: speaker: 3 of 27 clips have no speaker, and get the statistics of their corpus"
    for scope in ("speaker", "corpus"):
        print_check(study(corpora=corpora, task={"test_also": ["more"]}, finetunings={"default": {"normalise": scope}}))
        said = capsys.readouterr().out
        assert (sentence in said) == (scope == "speaker")
        named = {"speaker": "6 of 6 speakers have", "corpus": "1 of 2 corpora has"}[scope]
        assert f"{key}: {scope}: {named} fewer than 10 clips (" in said


def test_a_clip_that_links_all_speakers_of_stage1_is_named(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clips 0, 4, 8, ... are the same calibration clip, one of each speaker."""
    for number in range(4, 24, 4):
        (workplace / f"speech/{number}.wav").write_bytes((workplace / "speech/0.wav").read_bytes())
    print_check(
        study(
            backbones={"h": {"architecture": "hubert", "untrained": {}}},
            adaptations={"adapted": {"corpora": ["speech"], "objectives": {"egemaps": 1.0}, "held_out": 0.3}},
            task={"leaks": {"clips": "report", "development": "report"}},
        )
    )
    said = capsys.readouterr().out
    # ceil(.3 * 6) speakers, without their calibration clips.
    assert "adaptation adapted: 24 clips, 6 of them held out (25.0%)" in said
    assert (
        "  note: corpus speech: 6 clips are copies of recordings that would link all its speakers or clips (speech/0, "
        "speech/12, speech/16 and 3 more); they are never held out" in said
    )


def test_an_adaptation_that_cannot_be_divided_is_refused(workplace: Path) -> None:
    for number in range(1, 24):
        (workplace / f"speech/{number}.wav").write_bytes((workplace / "speech/0.wav").read_bytes())
    with pytest.raises(EmoadaptError, match=r"adaptation adapted: corpus speech: its 6 speakers or clips are linked"):
        print_check(
            study(
                backbones={"h": {"architecture": "hubert", "untrained": {}}},
                adaptations={"adapted": {"corpora": ["speech"], "objectives": {"egemaps": 1.0}}},
            )
        )


def test_shards_are_advised_by_the_number_of_clips(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Few enough that Snakemake plans the largest corpora in seconds, and none for nothing."""
    assert [advise_shards(n) for n in (1, 1000, 20_000, 151_654, 4_000_000)] == [1, 4, 18, 49, 128]
    corpus = study().corpora["speech"].model_dump() | {"shards": 5}
    print_check(study(corpora={"speech": corpus}))
    assert "advice: corpora.speech.shards: 1 (about 24 clips each)" in capsys.readouterr().out


def test_an_embedding_network_is_tried_on_an_image(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Symptom: a network of another input than declared passed, and the run died of it."""
    from emoadapt.faces.network_settings import UntrainedNetwork
    from emoadapt.faces.onnx_network import build_untrained_network

    (workplace / "models").mkdir()
    network = build_untrained_network(UntrainedNetwork(untrained="tiny_cnn", input_size=64))
    (workplace / "models/net.onnx").write_bytes(network)
    corpora = {name: corpus.model_dump() for name, corpus in study().corpora.items()}
    corpora["speech"]["modalities"] = ["audio", "video"]

    def features(**keys: Any) -> dict[str, Any]:
        faces = {"detector": "haar"}
        return {"also": ["face_embedding"], "faces": faces, "face_embedding": {"network": {"file": "net.onnx", **keys}}}

    print_check(study(corpora=corpora, features=features(output="embedding")))
    assert (
        "  note: features.face_embedding.network: the colour order RGB and ImageNet's mean and standard deviation are assumed, since "
        "neither the study nor net.onnx states them; if it was trained with another input, its vectors mean little: set colour, mean and std\n"
    ) in capsys.readouterr().out
    for side in (64, 96):
        print_check(study(corpora=corpora, features=features(input_size=side, output="embedding")))
        assert ("was exported for images of 64 x 64 and is run at 96 x 96" in capsys.readouterr().out) == (side == 96)
    grey = {"colour": "grey", "mean": [0.5], "std": [0.5]}
    for keys in ({"input_size": 64, "output": "embedding", **grey}, {"input_size": 64, "output": "smile"}):
        with pytest.raises(EmoadaptError, match=r"1 problem.*\n  features\.face_embedding\.network: .*net\.onnx"):
            print_check(study(corpora=corpora, features=features(**keys)))


@pytest.mark.skipif("EMOADAPT_MODELS" not in os.environ, reason="EMOADAPT_MODELS is not set")
def test_statistics_other_than_the_registry_s_are_noted(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpora = {name: corpus.model_dump() for name, corpus in study().corpora.items()}
    corpora["speech"]["modalities"] = ["audio", "video"]
    network = {"file": "mini_xception_fer2013", "mean": [0.0]}
    features = {"also": ["face_embedding"], "faces": {"detector": "haar"}, "face_embedding": {"network": network}}
    print_check(study(corpora=corpora, features=features, models_dir=os.environ["EMOADAPT_MODELS"]))
    out = capsys.readouterr().out
    assert "network.mean: [0.0] is declared; mini_xception_fer2013 was trained with [0.5]\n" in out
    assert "network.std" not in out and "assumed" not in out


@pytest.mark.parametrize(("crop", "side", "noted"), [(96, 96, False), (95, 96, True), (224, 96, False)])
def test_crops_that_are_enlarged_are_noted(
    workplace: Path, capsys: pytest.CaptureFixture[str], *, crop: int, side: int, noted: bool
) -> None:
    """Symptom: a network at 260 x 260 read crops of 224 x 224, and nothing said so."""
    corpora = {name: corpus.model_dump() for name, corpus in study().corpora.items()}
    corpora["speech"]["modalities"] = ["audio", "video"]
    network = {"untrained": "tiny_cnn", "input_size": side}
    features = {"faces": {"detector": "haar", "crop_size": crop}, "face_embedding": {"network": network}}
    sentence = (
        f"note: features.faces.crop_size: {crop} is smaller than features.face_embedding.network.input_size: {side}, so that crops are "
        f"enlarged and show no more detail than {crop} x {crop}; set crop_size: {side}\n"
    )
    print_check(study(corpora=corpora, features=features | {"also": ["face_embedding"]}))
    assert (sentence in capsys.readouterr().out) == noted
    print_check(study(corpora=corpora, features=features))
    assert "crop_size" not in capsys.readouterr().out


def test_each_corpus_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def count(name: str, config: Any) -> Any:
        read.append(name)
        return read_utterances(name, config)

    monkeypatch.setattr(listings, "read_utterances", count)
    task = {"corpus": "speech", "classes": ["a", "b"], "split": {"by": "folds", "k": 3}}
    print_check(study(tasks={"t": task, "u": task}))
    assert read == ["speech"]


TINY = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16}
GAIN = {"transform": "Gain", "probability": 0.5}


def augmented(*chains: dict[str, Any]) -> Any:
    return study(
        backbones={"ast": {"architecture": "ast", "untrained": TINY, "cnn": "frozen"}},
        finetunings={"robust": {"augment": list(chains)}, "plain": {}},
    )


def test_what_augmentation_costs_a_frozen_front_end_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_check(augmented({"chain": "ahn2024"}, {"chain": "audiomentations", "transforms": [GAIN]}))
    said = capsys.readouterr().out
    assert "note: finetunings.robust.augment: clips differ from epoch to epoch, so what is frozen of ast runs" in said
    assert "plain.augment" not in said


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (
            GAIN | {"parameters": {"min_gain_db": 5.0, "max_gain_db": -5.0}},
            "finetunings.robust.augment: audiomentations: Gain refuses .* change its parameters",
        ),
        ({"transform": "Shift", "probability": 0.1, "parameters": {"shift_unit": "beats"}}, "Shift refuses"),
        ({"transform": "Limiter", "probability": 0.1}, "robust.augment: audiomentations.* (fails|refuses)"),
    ],
)
def test_augmentation_that_cannot_be_done_is_found(transform: dict[str, Any], said: str) -> None:
    with pytest.raises(EmoadaptError, match=said):
        print_check(augmented({"chain": "audiomentations", "transforms": [transform]}))
