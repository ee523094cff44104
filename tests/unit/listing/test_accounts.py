"""Every row of a table is a clip or is left out by name; every media file below a root belongs to a clip or is counted."""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emoadapt.corpora.base import Label
from emoadapt.corpora.csv import Config as CsvCorpus
from emoadapt.corpora.demo import Config as DemoCorpus
from emoadapt.corpora.emodb import Config as EmodbCorpus
from emoadapt.corpora.folder import Config as FolderCorpus
from emoadapt.listing.accounts import Account, account_for, read_account, read_media_account, read_notes
from emoadapt.listing.folders import find_media
from emoadapt.listing.reading import read_labels, read_utterances
from emoadapt.plugins import list_plugins

# The corpora that these tests make are what the accounts are of.
from ..corpora.test_cmu_mosi import mosi  # noqa: F401
from ..corpora.test_crema_d import crema_d  # noqa: F401
from ..corpora.test_daic_woz import daic  # noqa: F401
from ..corpora.test_esd import esd  # noqa: F401
from ..corpora.test_iemocap import iemocap  # noqa: F401
from ..corpora.test_meld import meld  # noqa: F401
from ..corpora.test_msp_face import face  # noqa: F401
from ..corpora.test_msp_improv import improv  # noqa: F401
from ..corpora.test_msp_podcast import podcast  # noqa: F401
from ..corpora.test_nemo import nemo  # noqa: F401

IMPORTERS = list_plugins("corpora")
BY_FILES = {"folder", "ravdess", "emodb", "cafe", "urdu", "savee", "tess", "demo"}
"""Importers that read no table: names of files say all."""

NO_MEDIA = "no media file"


@pytest.fixture
def csv(make_tree: Callable[..., Path]) -> Callable[..., CsvCorpus]:
    root = make_tree(["a.wav", "b.wav", "x/c.wav"])
    (root / "t.csv").write_text("file,who,label\na.wav,s1,joy\n\nb.wav,s2,fear\n")
    columns = {"media": "file", "speaker": "who", "label": "label"}
    return lambda **values: CsvCorpus(importer="csv", root=str(root), file="t.csv", columns=columns, **values)


# Fixture, options, rows of its tables counted by eye, reason -> number of rows left out.
ACCOUNTS: list[tuple[str, dict[str, Any], int, dict[str, int]]] = [
    ("csv", {}, 2, {}),
    ("csv", {"speakers": ("s1",)}, 2, {}),
    ("crema_d", {"labels": "voice"}, 4, {}),
    ("podcast", {}, 5, {NO_MEDIA: 1}),
    ("improv", {}, 4, {NO_MEDIA: 1}),
    ("improv", {"scenarios": ("natural",)}, 4, {"of a scenario that is not wanted": 3}),
    ("face", {}, 3, {NO_MEDIA: 1}),
    ("face", {"part": "unlabelled"}, 3, {"part: unlabelled is wanted": 3}),
    ("iemocap", {}, 4, {NO_MEDIA: 1}),
    ("iemocap", {"scenarios": ("scripted",)}, 4, {NO_MEDIA: 1, "of a scenario that is not wanted": 2}),
    ("meld", {}, 5, {NO_MEDIA: 1}),
    ("mosi", {}, 5, {NO_MEDIA: 1}),
    ("nemo", {}, 4, {NO_MEDIA: 1}),
    ("daic", {}, 20, {"a mark of synchronisation, or erased": 4, "of the interviewer": 5, "it ends before it begins": 2,
                      "during an interruption of the interview": 1}),
    ("esd", {}, 4, {}),
    ("esd", {"languages": ("zh",)}, 4, {"of a language that is not wanted": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("fixture", "options", "rows", "left_out"), ACCOUNTS)
def test_rows_read_are_clips_and_rows_left_out(fixture, options, rows, left_out, request):
    config = request.getfixturevalue(fixture)(**options)
    account = read_account("n", config)
    everybody = config.model_copy(update={"speakers": None})
    labelled = [label for label in read_labels("n", everybody) if label != Label(label.utterance_id)]
    assert (account.rows, account.clips) == (rows, len(labelled))
    assert {reason: len(names) for reason, names in account.left_out.items()} == left_out
    assert account.rows == account.clips + sum(map(len, account.left_out.values()))


def test_every_importer_that_reads_tables_accounts_for_their_rows():
    modules = {importer: importlib.import_module(f"emoadapt.corpora.{importer}") for importer in IMPORTERS}
    assert {importer for importer, module in modules.items() if not hasattr(module, "account_rows")} == BY_FILES
    tested = {fixture for fixture, *_ in ACCOUNTS}
    names = {
        "podcast": "msp_podcast",
        "improv": "msp_improv",
        "face": "msp_face",
        "mosi": "cmu_mosi",
        "daic": "daic_woz",
    }
    assert {names.get(fixture, fixture) for fixture in tested} == {*IMPORTERS} - BY_FILES


@pytest.mark.parametrize(
    ("fixture", "file", "row", "named"),
    [
        ("podcast", "Labels/labels_consensus.csv", "MSP-PODCAST_0002_0040.wav,A,1,1,1,12,Female,Train\n", "MSP-PODCAST_0002_0040"),
        ("nemo", "data.tsv", "SB0_anger_01.wav\tfear\tNie!\tnie\tSB0\tfemale\t21\n", "SB0_anger_01"),
        ("daic", "303_P/303_TRANSCRIPT.csv", "64.5\t67.25\tParticipant\tagain\n", "303 64.50"),
        ("esd", "0011/0011.txt", "0011_000001\tAgain.\tNeutral\n", "0011_000001"),
        ("mosi", "OpinionLevelSentiment.csv", "1.0,4.2,03bSnISJMiM,1,-2.4\n", "03bSnISJMiM_1"),
        ("meld", "dev_sent_emo.csv", '1,No!,Ross,anger,negative,0,0,4,7,"0","1"\n', "dev/dia0_utt0"),
        ("improv", "Evalution.txt", "\nUTD-IMPROV-S20N-F06-P-MF11.avi; A; A:4.0; V:3.0; D:3.0 ; N:4.0;\n", "MSP-IMPROV-S20N-F06-P-MF11"),
        ("iemocap", "Session1/dialog/EmoEvaluation/Ses01F_impro05.txt",
         "[1.0 - 2.0]\tSes01F_impro05_M001\tang\t[2.5, 2.5, 2.0]\n", "Ses01F_impro05_M001"),
    ],
)  # fmt: skip
def test_second_row_of_a_clip_is_named(fixture, file, row, named, request, tmp_path):
    """Symptom: the later of two rows of a clip replaced the earlier without a word."""
    config = request.getfixturevalue(fixture)()
    table = tmp_path / "corpus" / file
    before = read_account("n", config)
    table.write_text(table.read_text(encoding="utf-8") + row, encoding="utf-8")
    account = read_account("n", config)
    assert account.left_out["a later row names the same clip, and counts"] == [named]
    assert (account.rows, account.clips) == (before.rows + 1, before.clips)
    assert account.rows == account.clips + sum(map(len, account.left_out.values()))
    assert any(note.endswith(f"is left out (a later row names the same clip, and counts): {named}") for note in read_notes("n", config))  # fmt: skip


def test_part_without_any_media_is_counted(meld, tmp_path):  # noqa: F811
    """Symptom: with all media of a part away its table was not read, and nothing said so."""
    for path in (tmp_path / "corpus/dev/dev_splits_complete").iterdir():
        path.unlink()
    assert "2 of the 5 rows of the tables are left out (no media file): dev/dia0_utt0, train/dia125_utt3" in read_notes(
        "n", meld()
    )


def test_account_in_words():
    account = account_for("t.csv", ["a", "b", "c", "d", "a"], ["a"], {"sung": ["b"]})
    assert account == Account(
        "t.csv", 5, 1, {"sung": ["b"], NO_MEDIA: ["c", "d"], "a later row names the same clip, and counts": ["a"]}
    )
    assert account.describe() == "t.csv: 5 rows; 1 is a clip, 4 are left out"
    assert account.list_notes()[:2] == [
        "1 of the 5 rows of t.csv is left out (sung): b",
        "2 of the 5 rows of t.csv are left out (no media file): c, d",
    ]
    assert account_for("t.csv", ["a"], ["a"]).list_notes() == []


@pytest.mark.parametrize(
    "fixture", ["csv", "crema_d", "podcast", "improv", "face", "iemocap", "meld", "mosi", "nemo", "daic", "esd"]
)
def test_media_that_belong_to_no_clip_are_named(fixture, request):
    config = request.getfixturevalue(fixture)(**({"labels": "voice"} if fixture == "crema_d" else {}))
    account = read_media_account("n", config)
    media = {utterance.media for utterance in read_utterances("n", config)}
    assert account.media == len(media) + len(account.unnamed)
    assert set(account.unnamed) == set(find_media(config.root)) - media


def test_media_and_other_files_are_named_and_counted(csv, tmp_path):
    for name in ("x/d.AMR", "notes.TXT", "Makefile", ".hidden.wav", "more.txt"):
        (tmp_path / "corpus" / name).touch()
    account = read_media_account("n", csv())
    assert account.describe("corpus") == "4 media files below corpus; 2 of them belong to no clip: x/c.wav, x/d.AMR"
    # The table itself is read, and is not passed over.
    assert (account.others, account.hidden) == (["Makefile", "more.txt", "notes.TXT"], 1)
    # Clips of other speakers belong to the corpus.
    assert read_media_account("n", csv(speakers=("s1",))).unnamed == account.unnamed


@pytest.mark.parametrize("speakers", [None, ("s1",)])
def test_media_in_another_unicode_form_than_the_table_belong_to_their_clips(make_tree, speakers):
    """Symptom: with `speakers` set, files that the disk names in NFD and the table in NFC belonged to no clip."""
    names = [unicodedata.normalize("NFD", name) for name in ("José/é.wav", "ü.wav")]
    root = make_tree(names)
    (root / "t.csv").write_text("file,who\nJosé/é.wav,s1\nü.wav,s2\n", encoding="utf-8")
    columns = {"media": "file", "speaker": "who"}
    config = CsvCorpus(importer="csv", root=str(root), file="t.csv", columns=columns, speakers=speakers)
    assert read_media_account("n", config).unnamed == []


def test_importers_of_files_account_for_media_alone(make_tree):
    root = make_tree(["03a01Fa.wav", "readme.txt"])
    for config in (EmodbCorpus(importer="emodb", root=str(root)), FolderCorpus(importer="folder", root=str(root))):
        assert read_account("n", config) is None
        account = read_media_account("n", config)
        assert account.describe("r") == "1 media file below r; all belong to clips"
        assert account.others == ["readme.txt"]
    assert read_media_account("n", DemoCorpus(importer="demo", root="nowhere")) is None
