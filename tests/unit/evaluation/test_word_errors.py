"""Word errors: counted by hand on sentences whose only errors are words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from emoadapt import schema
from emoadapt.cli import app
from emoadapt.evaluation.word_errors import collect_word_errors, find_normaliser
from emoadapt.storage.tables import read_table, write_table

EMPTY = dict.fromkeys(("start", "end", "speaker", "sex", "split"))


def clip(number: int, said: str | None, language: str | None = "en", corpus: str = "c") -> dict[str, Any]:
    name = f"{corpus}/deep/{number}"
    return {
        **EMPTY, "utterance_id": name, "media": f"{number}.wav", "language": language, "transcript": said, "fingerprint": name,
    }  # fmt: skip


def heard(
    number: int, text: str | None, language: str | None = "en", corpus: str = "c", reason: str | None = None
) -> Any:
    status = "ok" if text is not None else "absent"
    own = {"text": text, "language": language if text is not None else None}
    return {"utterance_id": f"{corpus}/deep/{number}", "key": "k", "status": status, "reason": reason, **own}


def count(folder: Path, pairs: list[tuple[dict[str, Any], Any]], **values: Any) -> list[dict[str, Any]]:
    """Rows of the table over two shards of each kind."""
    paths: dict[str, list[Path]] = {"manifests": [], "transcripts": []}
    for shard in (0, 1):
        for kind, table, column in (
            ("manifests", schema.MANIFEST, 0),
            ("transcripts", schema.feature_table("transcript"), 1),
        ):
            paths[kind].append(folder / kind / f"{shard}.parquet")
            write_table(paths[kind][-1], [pair[column] for pair in pairs[shard::2]], table)
    arguments = {"engine": "whisper", "model": "small", "language": None} | values
    collect_word_errors(paths["manifests"], paths["transcripts"][::-1], output=folder / "out.parquet", **arguments)
    return read_table(folder / "out.parquet", schema.WORD_ERRORS).to_pylist()


NAMES = ("clips", "wordless", "unheard", "words", "substitutions", "deletions", "insertions", "word_error_rate")


def numbers(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in NAMES)


def test_errors_are_counted_over_all_clips(tmp_path: Path) -> None:
    pairs = [
        (clip(1, "Kids are talking by the door."), heard(1, "kids are walking by the door")),
        (clip(2, "Dogs are sitting by the door."), heard(2, "dogs sitting by the old door")),
        (clip(3, "Dogs are sitting by the door."), heard(3, "Dogs are sitting by the door!")),
    ]
    (row,) = count(tmp_path, pairs)
    # 18 words: one substituted, one left out, one too many.
    assert numbers(row) == (3, 0, 0, 18, 1, 1, 1, pytest.approx(3 / 18))
    assert (row["corpus"], row["language"], row["engine"], row["model"]) == ("c", "en", "whisper", "small")


def test_a_clip_without_words_is_all_deletions_and_one_not_transcribed_is_none(tmp_path: Path) -> None:
    pairs = [
        (clip(1, "dogs sit there"), heard(1, None, reason="no_words: the recogniser found no words")),
        (clip(2, "kids talk"), heard(2, "kids talk")),
        (clip(3, "yes"), heard(3, None, reason="upstream audio: silent: all 9 samples are zero")),
        (clip(4, "no"), heard(4, None, reason="language_not_supported: the recogniser does not know xx")),
        (clip(5, None), heard(5, "said without a transcript")),
        (clip(6, "  "), heard(6, "said without a transcript")),
    ]
    (row,) = count(tmp_path, pairs)
    assert numbers(row) == (2, 1, 2, 5, 0, 3, 0, pytest.approx(3 / 5))


def test_rejected_words_are_deletions_and_noted_ones_count(tmp_path: Path) -> None:
    pairs = [
        (clip(1, "dogs sit there"), heard(1, None, reason="repetition: the text's compression ratio is 26.3")),
        (clip(2, "kids talk"), heard(2, None, reason="low_confidence: the words' mean log-probability is -1.7")),
        (clip(3, "yes"), heard(3, "yes", reason="low_confidence: the words' mean log-probability is -1.7")),
        (clip(4, "oh no"), heard(4, None, reason="no_speech: the probability that nobody speaks is 0.94")),
    ]
    (row,) = count(tmp_path, pairs)
    assert numbers(row) == (4, 3, 0, 8, 0, 7, 0, pytest.approx(7 / 8))


def test_languages_and_corpora_are_counted_apart(tmp_path: Path) -> None:
    pairs = [
        (clip(1, "yes"), heard(1, "yes")),
        (clip(2, "ja", "de"), heard(2, "nein", "de")),
        (clip(3, "yes", "en-GB"), heard(3, "no")),
        (clip(4, "yes", None), heard(4, "yes", "en")),
        (clip(5, "ja", None), heard(5, None, reason="no_words: the recogniser found no words")),
        (clip(1, "yes", corpus="d"), heard(1, None, corpus="d", reason="upstream audio: decode_error: x")),
    ]
    rows = {(row["corpus"], row["language"]): numbers(row) for row in count(tmp_path, pairs)}
    assert rows == {
        ("c", None): (1, 1, 0, 1, 0, 1, 0, 1.0),
        ("c", "de"): (1, 0, 0, 1, 1, 0, 0, 1.0),
        ("c", "en"): (3, 0, 0, 3, 1, 0, 0, pytest.approx(1 / 3)),
        ("d", "en"): (0, 0, 1, 0, 0, 0, 0, None),
    }


def test_the_configured_language_stands_in_for_the_manifests(tmp_path: Path) -> None:
    pairs = [
        (clip(1, "Über uns", None), heard(1, None, reason="no_words: x")),
        (clip(2, "It's", "en"), heard(2, "it is")),
    ]
    rows = count(tmp_path, pairs, language="DE-at")
    assert [(row["language"], row["word_error_rate"]) for row in rows] == [("de", 1.0), ("en", 0.0)]


def test_transcripts_without_any_word_have_no_rate(tmp_path: Path) -> None:
    (row,) = count(tmp_path, [(clip(1, "[laughter]"), heard(1, "ha ha"))])
    assert numbers(row) == (1, 0, 0, 0, 0, 0, 2, None)


@pytest.mark.parametrize(
    ("language", "said", "same", "other"),
    [
        ("en", "It's Mr. Grey's colour, isn't it? [noise]", "it is mister gray is color is not it", "it was"),
        # Symptom: a printed apostrophe made an error of each contraction.
        ("en", "I don’t; it’s late", "i do not it is late", "i don t it s late"),
        ("de", "Das „schöne“ Mädchen, heißt es!", "das schöne mädchen heißt es", "das schone madchen heisst es"),
        (None, "Ça va?", "ça va", "ca va"),
    ],
)
def test_texts_are_normalised_and_umlauts_survive(language: str | None, said: str, same: str, other: str) -> None:
    normalise = find_normaliser(language)
    assert normalise(said).split() == same.split() == normalise(same).split()
    assert normalise(other).split() != same.split()


def test_decomposed_umlauts_are_the_same_letters() -> None:
    normalise = find_normaliser("de")
    assert normalise("scho\u0308n") == normalise("schön") == "schön"


def test_languages_without_spaces_are_counted_by_character(tmp_path: Path) -> None:
    (row,) = count(tmp_path, [(clip(1, "你好吗", "zh"), heard(1, "你好", "zh"))])
    assert numbers(row) == (1, 0, 0, 3, 0, 1, 0, pytest.approx(1 / 3))


def test_the_command_takes_corpora_and_finds_their_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: with their shards in its arguments, those of a large study did not fit into a command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOADAPT_STUDY", "study.yaml")
    one = "{importer: folder, root: media, shards: 2}"
    Path("study.yaml").write_text(
        f"study: s\ncorpora: {{c: {one}, d: {one}, e: {one}}}\nfeatures: {{transcript: {{engine: pocketsphinx}}}}\n"
    )
    for corpus in ("c", "d", "e"):
        for shard in (0, 1):
            name = f"{corpus}/{shard:03d}.parquet"
            write_table(Path("results/manifests", name), [clip(shard, "yes", corpus=corpus)], schema.MANIFEST)
            row = heard(shard, "yes" if shard else "no", corpus=corpus)
            write_table(Path("results/features/transcript", name), [row], schema.feature_table("transcript"))
    done = CliRunner().invoke(app, ["word-errors", "c", "e", "--output", "out.parquet"])
    assert done.exit_code == 0, done.output
    rows = read_table(Path("out.parquet"), schema.WORD_ERRORS).to_pylist()
    assert [(row["corpus"], row["engine"], row["model"], *numbers(row)) for row in rows] == [
        (corpus, "pocketsphinx", None, 2, 0, 0, 2, 1, 0, 0, 0.5) for corpus in ("c", "e")
    ]
