from __future__ import annotations

import sys
from types import ModuleType

import pytest

from emoadapt.corpora.base import Utterance, make_utterance_id
from emoadapt.corpora.crema_d import Config as CremaDCorpus
from emoadapt.corpora.demo import Config as DemoCorpus
from emoadapt.corpora.folder import Config as FolderCorpus
from emoadapt.errors import CorpusError
from emoadapt.listing.folders import find_media
from emoadapt.listing.reading import annotation_files, check_utterances, read_labels, read_utterances


def folder(root, **values):
    return FolderCorpus(importer="folder", root=str(root), **values)


@pytest.mark.parametrize(
    ("media", "start", "end", "expected"),
    [
        ("a.wav", None, None, "c/a"),
        ("x/y.z/a.b.flac", None, None, "c/x/y.z/a.b"),
        ("no_extension", None, None, "c/no_extension"),
        ("a.wav", 1.2, 3.45, "c/a#1.20-3.45"),
        ("a.wav", 1.205, 3.0, "c/a#1.205-3.00"),
        ("a.wav", None, 2.0, "c/a#0.00-2.00"),
        ("a.wav", 61.5, None, "c/a#61.50-end"),
    ],
)
def test_utterance_id_is_path_stem_and_times(media, start, end, expected):
    assert make_utterance_id("c", media, start, end) == expected


def test_find_media_keeps_media_in_any_case_and_skips_hidden_files(make_tree):
    root = make_tree(["b.WAV", "a/deep/x.mp4", "a/notes.txt", ".hidden/y.wav", "a/._z.wav", "a.flac"])
    assert find_media(root) == ["a.flac", "a/deep/x.mp4", "b.WAV"]
    assert find_media(root, {".mp4"}) == ["a/deep/x.mp4"]


def test_find_media_ends_on_link_loops_and_follows_other_links(make_tree):
    root = make_tree(["a/x.wav", "b/y.wav"])
    elsewhere = make_tree(["z.wav"], "elsewhere")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "b").symlink_to(root / "b")
    (root / "b" / "a").symlink_to(root / "a")
    (root / "b" / "self").symlink_to("self")
    (root / "linked").symlink_to(elsewhere)
    assert find_media(root) == ["a/b/y.wav", "a/x.wav", "b/a/x.wav", "b/y.wav", "linked/z.wav"]


def test_dangling_link_is_missing_media_and_not_passed_over(make_tree):
    root = make_tree(["a.wav"])
    (root / "b.wav").symlink_to(root / "nowhere.wav")
    with pytest.raises(CorpusError, match=r"corpus c: 1 media file is missing under .*: b\.wav; correct"):
        read_utterances("c", folder(root))


def test_a_link_to_itself_is_a_clip_that_cannot_be_read(make_tree):
    """One such link does not stop a study; extraction sets it aside."""
    root = make_tree(["a.wav"])
    (root / "b.wav").symlink_to("c.wav")
    (root / "c.wav").symlink_to("b.wav")
    assert [u.media for u in read_utterances("c", folder(root))] == ["a.wav", "b.wav", "c.wav"]


def test_utterances_are_sorted_and_a_stated_language_is_left_to_those_who_read_it(make_tree):
    root = make_tree(["b.wav", "a/b.wav", "a.wav"])
    utterances = read_utterances("c", folder(root, language="pl"))
    assert [u.utterance_id for u in utterances] == ["c/a", "c/a/b", "c/b"]
    assert {u.language for u in utterances} == {None}


def test_speakers_filter_keeps_labels_in_step(make_tree):
    root = make_tree(["anger/s1_a.wav", "anger/s2_a.wav", "fear/s1_b.wav"])
    config = folder(root, label_from="parent", speaker_pattern=r"/(?P<speaker>s\d)_", speakers=("s1",))
    assert [u.media for u in read_utterances("c", config)] == ["anger/s1_a.wav", "fear/s1_b.wav"]
    assert [(x.utterance_id, x.label) for x in read_labels("c", config)] == [
        ("c/anger/s1_a", "anger"),
        ("c/fear/s1_b", "fear"),
    ]


def test_unknown_speaker_in_the_filter_is_refused(make_tree):
    root = make_tree(["s1_a.wav", "s2_a.wav"])
    with pytest.raises(CorpusError, match=r"no clip of speaker s9; there are s1, s2; correct corpora\.c\.speakers"):
        read_utterances("c", folder(root, speaker_pattern=r"(?P<speaker>s\d)_", speakers=("s1", "s9")))


def test_missing_root_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"corpus c: its root .*/nowhere is not a folder; correct corpora\.c\.root"):
        read_utterances("c", folder(tmp_path / "nowhere"))


def test_missing_root_is_named_when_labels_are_asked_for():
    # The label tables are looked for below the root: this was a traceback.
    config = CremaDCorpus(importer="crema_d", root="/nowhere", labels="voice")
    with pytest.raises(CorpusError, match=r"corpus c: its root /nowhere is not a folder"):
        read_labels("c", config)


def test_empty_corpus_is_refused(make_tree):
    with pytest.raises(
        CorpusError, match=r"corpus c: the importer folder found no clips under .*\(1 file is passed over: \.txt 1\)"
    ):
        read_utterances("c", folder(make_tree(["readme.txt"])))


def test_files_that_differ_only_in_extension_are_refused(make_tree):
    root = make_tree(["a/x.wav", "a/x.mp4", "a/y.wav"])
    with pytest.raises(CorpusError, match=r"1 utterance id is not unique: c/a/x \(a/x\.mp4, a/x\.wav\); keep one file"):
        read_utterances("c", folder(root))


@pytest.mark.parametrize("media", ["../a.wav", "x/../../a.wav", "/etc/a.wav", "C:\\data\\a.wav"])
def test_media_outside_the_root_are_refused(tmp_path, media):
    with pytest.raises(CorpusError, match=r"corpus c: 1 media path is outside its root"):
        check_utterances("c", [Utterance("c/a", media)], tmp_path, media_on_disk=False)


def test_five_missing_files_are_named_and_the_rest_counted(make_tree):
    root = make_tree(["there.wav"])
    utterances = [Utterance(f"c/{i}", f"{i}.wav") for i in range(7)] + [Utterance("c/there", "there.wav")]
    with pytest.raises(
        CorpusError, match=r"7 media files are missing .*0\.wav, 1\.wav, 2\.wav, 3\.wav, 4\.wav and 2 more"
    ):
        check_utterances("c", utterances, root)


def test_a_folder_is_no_media_file(make_tree):
    root = make_tree(["take.wav/inside.txt"])
    with pytest.raises(CorpusError, match=r"missing under .*: take\.wav"):
        check_utterances("c", [Utterance("c/take", "take.wav")], root)


def test_file_names_that_are_no_unicode_are_refused_before_parquet_chokes(tmp_path):
    with pytest.raises(CorpusError, match=r"1 file name is not valid Unicode: a\ufffd\.wav; rename"):
        check_utterances("c", [Utterance("c/a", b"a\xff.wav".decode("utf-8", "surrogateescape"))], tmp_path)


def test_importer_that_makes_its_media_needs_neither_root_nor_files(tmp_path, monkeypatch):
    importer = ModuleType("emoadapt.corpora.demo")
    importer.list_utterances = lambda name, config: [Utterance(f"{name}/0", "0.mp4")]
    importer.list_labels = lambda name, config: []
    importer.fingerprints = lambda name, config: {"0.mp4": "f"}
    monkeypatch.setitem(sys.modules, "emoadapt.corpora.demo", importer)
    config = DemoCorpus(importer="demo", root=str(tmp_path / "not_yet"))
    assert [u.utterance_id for u in read_utterances("d", config)] == ["d/0"]
    assert [label.label for label in read_labels("d", config)] == [None]
    assert annotation_files(config) == []


def test_a_root_that_is_missing_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError) as error:
        read_utterances("c", folder("gone"))
    assert f"its root {tmp_path}/gone is not a folder" in str(error.value)
