"""Studies that `emoadapt new-study` writes for folders of different kinds."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from emoadapt.errors import ConfigError, CorpusError
from emoadapt.study.new import machine
from emoadapt.study.new.command import run_new_study
from emoadapt.study.new.drafts import Wishes

RAVDESS = [
    f"Actor_{actor:02}/03-01-{emotion:02}-{intensity:02}-{statement:02}-01-{actor:02}.wav"
    for actor in range(1, 7)
    for emotion in range(1, 9)
    for intensity in (1, 2)
    for statement in (1, 2)
    if (emotion, intensity) != (1, 2)
]
STATES = {"happy": 20, "sad": 20, "angry": 20, "neutral": 20, "fearful": 3, "disgusted": 2}
CLASSES = [
    f"{folder}/{who}_{take}.wav"
    for folder in ("angry", "happy", "calm")
    for who in ("anna", "ben", "cem", "dora")
    for take in range(4)
]


def film(path: Path, seed: int) -> None:
    """Write half a second of noise as a video without sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 48, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_odd_table(root: Path) -> None:
    """A table with odd columns and six labels, two of them rare; names lack their folder and their extension."""
    states = [state for state, number in STATES.items() for _ in range(number)]
    rows = [[f"r{i:03}", f"P{i % 5}", state, "fm"[i % 2], i / 7, "x"] for i, state in enumerate(states)]
    with (root / "liste.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows(
            [["Aufnahme", "Participant ID", "perceived state", "Geschlecht", "seconds", "notes"], *rows]
        )


def test_names_like_those_of_ravdess_give_its_importer_and_every_speaker_a_turn(fill, write):
    fill("data/rec", RAVDESS)
    study, text, printed = write("data/rec")
    assert (study.study, study.corpora["ravdess"].importer, study.corpora["ravdess"].root) == (
        "ravdess",
        "ravdess",
        "data/rec",
    )
    assert f"importer: ravdess   # {len(RAVDESS)} of {len(RAVDESS)} names match RAVDESS" in text
    task = study.tasks["ravdess"]
    assert (len(task.classes), task.split.by) == (8, "leave_one_speaker_out")
    assert "6 speakers" in printed and "LOOK AT THIS" not in printed
    assert "UNTRAINED" in text and study.untrained == ["encoder"] and "emoadapt models fetch whisper/tiny.en" in text


def test_a_table_with_odd_columns_is_read_and_rare_labels_are_left_out(fill, write):
    root = fill("talks", [f"wav/r{i:03}.wav" for i in range(sum(STATES.values()))])
    write_odd_table(root)
    study, text, printed = write("talks")
    corpus, task = study.corpora["talks"], study.tasks["talks"]
    assert (corpus.root, corpus.file, corpus.extension) == ("talks/wav", "../liste.csv", ".wav")
    assert corpus.columns == {
        "media": "Aufnahme",
        "speaker": "Participant ID",
        "label": "perceived state",
        "sex": "Geschlecht",
    }
    assert "Not read: seconds, notes" in text
    assert task.classes == ("anger", "happiness", "neutral", "sadness") and task.other_labels == "drop"
    assert task.class_map == {"happy": "happiness", "sad": "sadness", "angry": "anger"}
    assert "left out: fearful (3 clips, fewer than 10)" in printed and "left out: disgusted (2 clips" in printed
    assert "fearful: 3 clips" in text and task.split.by == "leave_one_speaker_out"


def test_folders_of_classes_with_speakers_in_the_names(fill, write):
    fill("acted", CLASSES)
    study, text, printed = write("acted")
    corpus, task = study.corpora["acted"], study.tasks["acted"]
    assert (corpus.importer, corpus.label_from) == ("folder", "parent")
    assert task.classes == ("anger", "calm", "happiness") and task.split.by == "leave_one_speaker_out"
    assert "LOOK AT THIS: acted: anna 12, ben 12, cem 12, dora 12 are taken for speakers" in printed
    assert "# * acted: anna 12" in text, "a guess stands at the head of the study"


def test_unlabelled_videos_are_for_stage_1(tmp_path, write):
    for number in range(4):
        film(tmp_path / f"clips/{number}.mp4", number)
    study, text, printed = write("clips")
    assert study.corpora["clips"].modalities == ("audio", "video")
    assert study.adaptations["adapted"].corpora == ("clips",) and not study.tasks
    assert "without labels, for Stage 1" in printed and "#   face: 1.0" in text and "No corpus has labels" in text


def test_unlabelled_and_labelled_folders_make_both_stages(fill, write):
    fill("free", [f"{i}.wav" for i in range(20)])
    fill("rec", RAVDESS)
    study, _, _ = write("free", "rec")
    assert study.study == "free_ravdess" and study.adaptations["adapted"].corpora == ("free",)
    assert {model.start for model in study.list_models()} == {"original", "adapted"}


@pytest.mark.parametrize("second", ["acted", "acted/", "link", "acted/angry", "."])
def test_a_folder_that_is_named_twice_is_refused(fill, second):
    """Symptom: two corpora of one root, without a word."""
    fill("acted", CLASSES)
    Path("link").symlink_to("acted")
    for folders in (["acted", second], [second, "acted"]):
        with pytest.raises(ConfigError, match=r"(is the same folder as|lies in) .*; name each folder once"):
            run_new_study([Path(folder) for folder in folders], Wishes())
    assert not list(Path().glob("*.yaml"))


def test_a_folder_with_two_corpora_gives_two(fill, write):
    fill("data/one", RAVDESS)
    fill("data/two", CLASSES)
    study, _, _ = write("data")
    assert {name: corpus.root for name, corpus in study.corpora.items()} == {"ravdess": "data/one", "two": "data/two"}
    assert set(study.tasks) == {"ravdess", "two"}


@pytest.mark.parametrize(
    ("paths", "said"), [([], "is empty"), (["a.txt", "b.txt"], r"2 files are passed over: \.txt 2")]
)
def test_a_folder_without_media_is_refused(tmp_path, fill, paths, said):
    (tmp_path / "none").mkdir()
    fill("none", paths)
    with pytest.raises(CorpusError, match=rf"none holds no audio or video file \(.*{said}.*name the folder that holds"):
        run_new_study([Path("none")], Wishes())
    with pytest.raises(CorpusError, match="nowhere is not a folder"):
        run_new_study([Path("nowhere")], Wishes())


def test_an_unreadable_table_is_refused_and_can_be_done_without(fill, write):
    root = fill("talks", CLASSES)
    (root / "labels.csv").write_bytes(b"file,label\nangry/anna_0.wav,w\xfctend\n")
    with pytest.raises(CorpusError, match=r"labels\.csv, line 2: not UTF-8 .*--importer folder"):
        run_new_study([Path("talks")], Wishes())
    assert not Path("talks.yaml").exists()
    assert write("talks", wishes=Wishes(importer="folder"))[0].corpora["talks"].importer == "folder"


def test_media_that_only_other_tables_name_are_pointed_out(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(62)])
    for name, part in (("train", range(50)), ("test", range(50, 60))):
        (root / f"{name}.csv").write_text(
            "file,spk,emotion\n" + "".join(f"{i}.wav,s{i // 2 % 5},{'ab'[i % 2]}\n" for i in part)
        )
    _, _, printed = write("talks")
    assert "12 media files not named in train.csv, and left out: 50.wav," in printed
    assert "test.csv names others: join the tables, with a column for the part" in printed


def test_rows_without_a_file_are_refused_by_name(fill):
    root = fill("talks", [f"{i}.wav" for i in range(8)])
    (root / "t.csv").write_text("file,emotion\n" + "".join(f"{i}.wav,{'ab'[i % 2]}\n" for i in range(10)))
    with pytest.raises(
        CorpusError, match=r"t\.csv: 2 of its 10 rows name no media file .*: 8\.wav, 9\.wav; add the files"
    ):
        run_new_study([Path("talks")], Wishes())


@pytest.mark.parametrize("form", ["/old/place/{part}/{i}.wav", "{i}.wav"])
def test_rows_that_name_files_without_their_folder_are_told_where_these_are(fill, form):
    root = fill("talks", [f"{'ab'[i % 2]}/{i}.wav" for i in range(10)])
    rows = [f"{form.format(part='ab'[i % 2], i=i)},{'xy'[i // 5]}" for i in range(10)]
    (root / "t.csv").write_text("\n".join(["path,emotion", *rows]))
    with pytest.raises(
        CorpusError, match=r"rows name no media file .*; (a/0|b/1)\.wav.* is there: write paths with their folders"
    ):
        run_new_study([Path("talks")], Wishes())


def test_clips_without_a_speaker_are_in_no_part(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(80)])
    make_table(root, [("NA" if i < 8 else f"s{i // 2 % 6}", "ab"[i % 2], "") for i in range(80)])
    study, _, printed = write("talks")
    assert study.tasks["talks"].split.by == "table" and "8 labelled clips without a speaker are in no part" in printed
    assert study.tasks["talks"].leaks.speakers == "refuse", "nobody is in two parts"
    assert len(Path(study.tasks["talks"].split.file).read_text().splitlines()) == 73


def test_two_speakers_cannot_be_divided_and_codes_can_be_classes(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(60)])
    make_table(root, [(f"s{i % 2}", "01"[i // 2 % 2], "") for i in range(60)])
    study, _, printed = write("talks")
    assert study.tasks["talks"].classes == ("0", "1")
    assert "since there are 2 speakers, and a split needs 3: people may be in train and test" in printed


def test_a_rare_label_that_seems_to_mean_a_class_is_asked_about(fill, write):
    """Symptom: `Hapy` was left out with the rare labels, and nobody looked at it."""
    root = fill("talks", [f"{i}.wav" for i in range(61)])
    words = [("happy", "sad")[i // 5 % 2] for i in range(60)] + ["Hapy"]
    make_table(root, [(f"s{i % 5}", word, "") for i, word in enumerate(words)])
    _, text, printed = write("talks")
    sentence = "label Hapy is left out (1 clip, fewer than 10), and seems to mean happiness: if it does, write {Hapy: happiness} into class_map"
    assert f"LOOK AT THIS: talks: {sentence}" in printed and sentence in " ".join(text.replace("#", "").split())


def test_too_few_clips_for_any_split_are_counted_and_nothing_is_written(fill, write):
    """Symptom: the advice was to edit a study that had not been written."""
    root = fill("one", [f"{i}.wav" for i in range(5)])
    make_table(root, [("s0", word, "") for word in ("angry", "Angry", "sad", "happy", "happy")])
    with pytest.raises(
        CorpusError, match=r"one has too few clips .*: anger 2, happiness 2, sadness 1, of 1 speaker; add clips"
    ):
        write("one", wishes=Wishes(label="emotion"))
    assert not list(Path().glob("*.yaml")) and not list(Path().glob("*.csv"))


def test_unknown_speakers_are_divided_clip_by_clip_and_said(fill, write):
    fill("voices", [f"{folder}/{i * 7919 % 1000:03}.wav" for folder in ("sad", "happy") for i in range(30)])
    study, text, printed = write("voices")
    split = study.tasks["voices"].split
    assert (split.by, split.file) == ("table", "mine_voices_parts.csv") and study.tasks[
        "voices"
    ].leaks.speakers == "report"
    warning = "Divided clip by clip, since the speakers of 60 clips are unknown: people may be in train and test"
    assert warning in " ".join(text.replace("#", "").split()) and f"LOOK AT THIS: voices: {warning}" in printed
    assert study.finetunings["svm"].choose_by == "dev"
    parts = [line.split(",") for line in Path(split.file).read_text().splitlines()[1:]]
    counts = {part: sum(p == part for _, p in parts) for part in ("train", "dev", "test")}
    assert all(abs(counts[part] - share * 60) <= 2 for part, share in (("train", 0.7), ("dev", 0.15), ("test", 0.15)))
    with pytest.raises(ConfigError, match=r"mine\.yaml is there already; add --force"):
        run_new_study([Path("voices")], Wishes(), output=Path("mine.yaml"))
    Path("mine.yaml").unlink()
    with pytest.raises(CorpusError, match=r"mine_voices_parts\.csv is there already; add --force"):
        run_new_study([Path("voices")], Wishes(), output=Path("mine.yaml"))
    write("voices", force=True)


def make_table(root: Path, rows: list[tuple[str, str, str]]) -> None:
    lines = [f"{i}.wav,{who},{label},{part}" for i, (who, label, part) in enumerate(rows)]
    (root / "t.tsv").write_text("\n".join(["file,who,emotion,usage", *lines]).replace(",", "\t"))


def test_parts_of_the_corpus_are_taken_whatever_their_names(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(60)])
    make_table(
        root, [(f"s{i // 6}", "ab"[i % 2], "Training" if i < 36 else "Val" if i < 48 else "TEST") for i in range(60)]
    )
    study, _, _ = write("talks")
    split = study.tasks["talks"].split
    assert (split.by, split.train, split.dev, split.test) == ("official", ("Training",), ("Val",), ("TEST",))


def test_parts_that_share_speakers_give_way_to_a_split_by_speaker(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(60)])
    make_table(root, [(f"s{i % 5}", "ab"[i // 5 % 2], ("train", "dev", "test")[i // 20]) for i in range(60)])
    study, text, _ = write("talks")
    assert study.tasks["talks"].split.by == "leave_one_speaker_out"
    assert "Refused before it: official:" in " ".join(text.replace("#", "").split())


@pytest.mark.parametrize("known", [True, False])
def test_dev_is_drawn_from_train_where_the_corpus_has_none(fill, write, known):
    root = fill("talks", [f"{i}.wav" for i in range(80)])
    make_table(root, [(f"s{i // 4}" if known else "", "ab"[i % 2], "train" if i < 60 else "test") for i in range(80)])
    study, _, printed = write("talks")
    parts = dict(line.split(",") for line in Path(study.tasks["talks"].split.file).read_text().splitlines()[1:])
    assert {clip for clip, part in parts.items() if part == "test"} == {f"talks/{i}" for i in range(60, 80)}
    assert 8 <= sum(part == "dev" for part in parts.values()) <= 13
    assert ("Dev was drawn from train file by file" in printed) != known


def test_parts_that_are_not_used_are_named(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(60)])
    make_table(root, [(f"s{i % 5}", "ab"[i // 5 % 2], "xy"[i % 2]) for i in range(60)])
    assert "the corpus's own parts (x, y) are not used" in write("talks")[2]


def test_labels_and_speakers_by_patterns_of_ones_own(fill, write):
    fill(
        "shemo", [f"{sex}0{n}{letter}{i:02}.wav" for sex in "FM" for n in (1, 2) for letter in "AHS" for i in range(4)]
    )
    wishes = Wishes(label=r"(?P<label>[A-Z])\d\d\.", speaker=r"(?P<speaker>[FM]\d\d)")
    study, _, _ = write("shemo", wishes=wishes)
    assert study.tasks["shemo"].classes == ("A", "H", "S") and study.tasks["shemo"].split.by == "leave_one_speaker_out"
    with pytest.raises(
        ConfigError, match=r"--label emotion: no table is read in shemo; write folders, none, or a regular"
    ):
        run_new_study([Path("shemo")], Wishes(label="emotion"))


def test_one_voice_behind_a_class_is_pointed_out(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(60)])
    make_table(root, [("s0" if i % 2 and i < 40 else f"s{i % 5}", "ab"[i % 2], "") for i in range(60)])
    _, _, printed = write("talks")
    assert "22 of 30 clips of b are of speaker s0: a model may learn the voice" in printed


def test_ratings_become_a_task_of_their_own(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(60)])
    lines = [f"{i}.wav,s{i % 6},{'ab'[i // 6 % 2]},{i % 7},{i % 5 / 2}" for i in range(60)]
    (root / "t.csv").write_text("\n".join(["file,spk,label,EmoAct,EmoVal", *lines]))
    study, _, _ = write("talks")
    assert study.tasks["talks"].classes == ("a", "b")
    assert study.tasks["talks_attributes"].attributes == ("arousal", "valence")
    assert study.finetunings["regression"].tasks == ("talks_attributes",)
    (root / "t.csv").write_text("\n".join(["file,spk,EmoVal", *(f"{i}.wav,s{i % 6},{i % 5}" for i in range(60))]))
    study, _, _ = write("talks", force=True)
    assert study.tasks["talks"].attributes == ("valence",) and {m.backbone for m in study.list_models()} == {
        "egemaps",
        "encoder",
    }


def test_names_of_a_corpus_whose_tables_are_missing_are_said(fill, write):
    fill(
        "crema",
        [
            f"10{who:02}_{s}_{e}_XX.wav"
            for who in range(1, 6)
            for s in ("IEO", "TIE", "IOM")
            for e in ("ANG", "HAP", "SAD")
        ],
    )
    study, _, printed = write("crema")
    assert (
        "45 of 45 names match CREMA-D, but it cannot be read as that" in printed
        and "VideoDemographics.csv is missing" in printed
    )
    assert study.corpora["crema"].importer == "folder", "emotion and speaker are in the names all the same"
    assert study.tasks["crema"].classes == ("anger", "happiness", "sadness") and "1001 9, 1002 9" in printed
    with pytest.raises(CorpusError, match="VideoDemographics"):
        write("crema", wishes=Wishes(importer="crema_d"), force=True)


@pytest.mark.skipif("EMOADAPT_DATA" not in os.environ, reason="EMOADAPT_DATA is not set")
def test_a_required_key_gets_a_value_and_says_what_else_is_allowed(fill, write):
    tables = Path(os.environ["EMOADAPT_DATA"], "crema_d_annotations")
    lines = (tables / "summaryTable.csv").read_text().splitlines()[1:400]
    root = fill("crema", [f"AudioWAV/{line.split(',')[1].strip(chr(34))}.wav" for line in lines])
    for table in tables.glob("*.csv"):
        shutil.copy(table, root)
    study, text, _ = write("crema")
    assert study.corpora["crema_d"].labels == "audiovisual"
    assert "Allowed: audiovisual, voice, face, acted." in " ".join(text.replace("#", "").split())


def test_wishes_replace_proposals(fill, write):
    root = fill("talks", [f"{i}.wav" for i in range(60)])
    lines = [f"{i}.wav,s{i % 6},{'ab'[i // 6 % 2]},{'xyz'[i % 3]}" for i in range(60)]
    (root / "t.csv").write_text("\n".join(["file,crew,emotion,topic", *lines]))
    study, _, _ = write("talks", wishes=Wishes(label="topic", speaker="crew"), name="other")
    assert study.study == "other" and study.tasks["talks"].classes == ("x", "y", "z")
    assert study.corpora["talks"].columns["speaker"] == "crew"
    with pytest.raises(
        ConfigError, match=r"--label mood: .*t\.csv has the columns file, crew, emotion, topic; name one"
    ):
        run_new_study([Path("talks")], Wishes(label="mood"))


@pytest.mark.parametrize(("column", "words", "doubted"), [("class", "1234", True), ("category", ["news", "talk"], True),
                                                          ("class", ["happy", "sad", "zzz"], False)])  # fmt: skip
def test_a_label_that_only_its_name_tells_is_doubted(fill, write, column, words, doubted):
    root = fill("talks", (f"{i:02}.wav" for i in range(60)))
    rows = [[f"{i:02}.wav", words[i % len(words)], f"p{i % 7}"] for i in range(60)]
    with (root / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", column, "speaker"], *rows])
    _, text, printed = write("talks")
    assert ("taken for the label by its name" in printed) == doubted == ("taken for the label by its name" in text)
    _, _, printed = write("talks", wishes=Wishes(label=column), force=True)
    assert "taken for the label" not in printed


def test_a_table_that_is_a_broken_link_is_said_to_be_unreadable(fill, write):
    root = fill("talks", CLASSES)
    (root / "old.csv").symlink_to("nowhere.csv")
    with pytest.raises(CorpusError, match=r"old\.csv: cannot be read \(No such file"):
        write("talks")
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "emotion"], *([path, path.partition("/")[0]] for path in CLASSES)])
    assert "labels.csv names" in write("talks")[2]


def test_a_folder_that_no_study_can_name_is_refused(fill, write):
    folder = os.fsdecode(b"talks\xff")
    fill("talks", ["happy/a.wav"]).rename(folder)
    with pytest.raises(CorpusError, match="name of this folder is not valid Unicode"):
        write(folder)


def test_what_is_to_be_copied_fits_a_shell(fill, capsys):
    fill("talks", (f"happy/{i:02}.wav" for i in range(3)))
    run_new_study([Path("talks")], Wishes(), output=Path("it's mine.yaml"))
    assert shlex.split(capsys.readouterr().out.splitlines()[-1])[-1] == "it's mine.yaml"
    commands = [line for line in Path("it's mine.yaml").read_text().splitlines() if "--configfile" in line]
    assert commands and all(shlex.split(line)[-1] == "it's mine.yaml" for line in commands if line.endswith("yaml'"))


def test_a_person_is_asked_what_is_in_doubt(fill, write):
    asked = []

    def ask(question, allowed, default):
        asked.append(question)
        return "mood" if "mood" in allowed else default

    root = fill("talks", [f"{i}.wav" for i in range(60)])
    lines = [f"{i}.wav,s{i % 6},{'ab'[i // 6 % 2]},{'xyz'[i % 3]}" for i in range(60)]
    (root / "t.csv").write_text("\n".join(["file,speaker,emotion,mood", *lines]))
    study, _, printed = write("talks", wishes=Wishes(ask=ask))
    assert (
        asked == ["Which column holds the label?"]
        and "LOOK AT THIS" not in printed
        and study.tasks["talks"].classes == ("x", "y", "z")
    )


def test_folders_of_unknown_words_are_classes_only_if_that_is_said(fill, write):
    fill("acted", [f"{folder}/spk{who}_{i}.wav" for folder in ("wut", "freude") for who in range(4) for i in range(4)])
    study, _, printed = write("acted")
    assert not study.tasks and "--label folders" in printed
    study, _, _ = write("acted", wishes=Wishes(label="folders"), force=True)
    assert study.tasks["acted"].classes == ("freude", "wut")


def test_commands_stand_below_next_and_not_in_the_list_of_guesses(fill, write):
    """Symptom: the commands were lines of the last item of LOOK AT THIS."""
    fill("acted", [f"{folder}/spk{who}_{i}.wav" for folder in ("anger", "fear") for who in range(2) for i in range(30)])
    _, text, _ = write("acted", wishes=Wishes(label="folders"))
    head = text[: text.index("\nstudy:")].splitlines()
    at = head.index("# Next:")
    first = next(number for number, line in enumerate(head) if line.startswith("# LOOK AT THIS")) + 1
    assert head[at - 1] == "#" and all(line.startswith(("# * ", "#   ")) for line in head[first : at - 1])
    assert head[first].startswith("# * ") and [line.split()[1] for line in head[at + 1 :]] == [
        "emoadapt",
        "snakemake",
    ]


def test_a_gpu_gets_a_finetuning_of_a_pretrained_encoder_alone(fill, write, monkeypatch):
    monkeypatch.setattr(machine, "list_devices", lambda: ["GPU-1"])
    fill("rec", RAVDESS)
    study, text, _ = write("rec")
    assert study.device == "auto" and "finetune" not in study.finetunings, "nothing is gained by tuning a random model"
    assert '$(emoadapt workflow)" --cores' in text and "--resources gpu=1 --configfile mine.yaml" in text


def test_a_pretrained_encoder_and_a_gpu_are_used_together(fill, write, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "list_devices", lambda: ["GPU-1"])
    fill("acted", CLASSES)
    (tmp_path / "weights/large").mkdir(parents=True)
    (tmp_path / "weights/large/config.json").write_text('{"model_type": "hubert"}')
    (tmp_path / "weights/large/model.safetensors").write_bytes(b"x")
    monkeypatch.setenv("EMOADAPT_MODELS", str(tmp_path / "weights"))
    study, text, _ = write("acted")
    assert study.backbones["large"].weights == "large" and not study.untrained
    assert study.finetunings["finetune"].backbones == ("large",) and study.keep_models == "best"
    assert 'models_dir: "${EMOADAPT_MODELS}"' in text and "export EMOADAPT_MODELS=..." in text


def test_results_of_another_study_are_pointed_out(fill, write, monkeypatch, tmp_path):
    fill("rec", RAVDESS)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/study.json").write_text('{"study": "theirs"}')
    _, _, printed = write("rec")
    assert "LOOK AT THIS: results/ belongs to study theirs" in printed


def test_nothing_to_ask_and_no_folder_is_one_sentence():
    with pytest.raises(ConfigError, match=r"^new-study needs the folder of your clips: emoadapt new-study FOLDER$"):
        run_new_study([], Wishes())
