"""Word error rates of a recogniser against a corpus's own transcripts.

Both texts are normalised as in the Whisper paper (Radford et al. 2023, appendix C; the package's own normalisers), or
spelling and punctuation would count as errors:

* English: lower case; no punctuation, nothing in brackets, no "uh" and "um"; contractions written out ("it's" = "it is"),
  numbers as digits, American spelling.
* Other languages: lower case; no punctuation, nothing in brackets; letters as they are, so that an umlaut told from its
  vowel counts, and numbers as they are written.
* Languages written without spaces (zh, ja, th, lo, my, yue): as the others, each character a word.

Marks of the Indic scripts part words in it, as in Whisper's published figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from emoadapt import schema
from emoadapt.flow.provenance import library_versions
from emoadapt.storage.agreement import refuse_missing
from emoadapt.storage.frames import read_frame
from emoadapt.storage.tables import write_table

UNUSABLE = ("no_words", "repetition", "low_confidence")
"""Codes of absent transcripts of clips that the recogniser was given."""

SPACELESS = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages written without spaces."""


def collect_word_errors(
    manifests: Sequence[Path],
    transcripts: Sequence[Path],
    engine: str,
    model: str | None,
    language: str | None,
    output: Path,
    stated: Mapping[str, str] | None = None,
) -> None:
    """Compare what was recognised with what was said, per corpus and language.

    A clip in which the recogniser found no words, or none that could be trusted (`UNUSABLE`), counts: all its words are deletions.
    One that it was not given (no audio, a language that it does not know) says nothing about it and does not count.

    Args:
        manifests: MANIFEST shards `<corpus>/<shard>.parquet`; clips without a transcript are left aside.
        transcripts: TRANSCRIPT shards of the same clips.
        engine: the recogniser.
        model: its model, if it has several.
        language: the recogniser's configured language, of clips whose manifest names none.
        output: WORD_ERRORS table to write.
        stated: corpus -> language that the study states of it, whatever its manifest says.

    Raises:
        DataError: a table cannot be read, or a clip has no row of a transcript.
    """
    said = read_frame(manifests, schema.MANIFEST, ["utterance_id", "language", "transcript"])
    recognised = read_frame(
        transcripts, schema.feature_table("transcript"), ["utterance_id", "status", "reason", "text", "language"]
    )
    refuse_missing(set(said["utterance_id"]) - set(recognised["utterance_id"]), said.height, transcripts)
    clips = said.filter(pl.col("transcript").str.contains(r"\S")).join(recognised, on="utterance_id", validate="1:1")
    corpus = pl.col("utterance_id").str.split("/").list.first()
    named = corpus.replace_strict(stated or {}, default=None, return_dtype=pl.String)
    clips = clips.with_columns(
        corpus=corpus,
        language=pl.coalesce(
            _code(named), _code(pl.col("language")), _code(pl.lit(language, pl.String)), pl.col("language_right")
        ),
        wordless=(pl.col("status") == "absent") & pl.col("reason").str.split(":").list.first().is_in(UNUSABLE),
    )
    groups = sorted(
        clips.partition_by("corpus", "language", as_dict=True).items(), key=lambda item: (item[0][0], item[0][1] or "")
    )
    rows = [
        {"corpus": corpus, "language": spoken, "engine": engine, "model": model, **_count(part, spoken)}
        for (corpus, spoken), part in groups
    ]
    write_table(output, rows, schema.WORD_ERRORS, library_versions())


def find_normaliser(language: str | None) -> Callable[[str], str]:
    """The function that both texts of a language are normalised with."""
    # Imported late: the package loads torch.
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

    if language != "en":
        return BasicTextNormalizer(split_letters=language in SPACELESS)
    english = EnglishTextNormalizer()
    # It knows contractions with a typewriter's apostrophe only, and takes a printed one for a space.
    return lambda text: english(text.replace("’", "'"))


def _count(clips: pl.DataFrame, language: str | None) -> dict[str, Any]:
    import jiwer

    normalise = find_normaliser(language)
    given = clips.filter((pl.col("status") == "ok") | pl.col("wordless"))
    references = [normalise(text) for text in given["transcript"]]
    hypotheses = [normalise(text or "") for text in given["text"]]
    found = jiwer.process_words(references, hypotheses) if references else None
    words = found.hits + found.substitutions + found.deletions if found else 0
    errors = {name: getattr(found, name) if found else 0 for name in ("substitutions", "deletions", "insertions")}
    return {
        "clips": given.height,
        "wordless": given["wordless"].sum(),
        "unheard": clips.height - given.height,
        "words": words,
        **errors,
        "word_error_rate": sum(errors.values()) / words if words else None,
    }


def _code(language: pl.Expr) -> pl.Expr:
    """`en` for `EN` and `en-GB`."""
    return language.str.extract(r"^([A-Za-z]+)").str.to_lowercase()
