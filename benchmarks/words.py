"""Word errors of recognisers on real clips whose words are known: RAVDESS's two statements, and GRID's commands.

The clips are decoded, transcribed in shards of 32 as in a study, and counted by `emoadapt.evaluation.word_errors`. Texts stay in memory:
only counts are printed. CPU seconds are those of this process, with one thread, after the model was loaded.

    python benchmarks/words.py --data DATA --models MODELS [--engines whisper pocketsphinx] [--actors 01 02]
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import argparse
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from emoadapt import schema
from emoadapt.corpora.ravdess import Config as Ravdess
from emoadapt.corpora.ravdess import list_utterances
from emoadapt.evaluation.word_errors import collect_word_errors
from emoadapt.features.base import Context
from emoadapt.features.transcript import Config, TranscriptExtractor
from emoadapt.media import decode_audio
from emoadapt.storage.tables import read_table, write_table

WHISPER = "whisper_converted/tiny.en.pt"
"""Checkpoint in the folder of weights."""

GRID = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(
        zip("z123456789", ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True)
    ),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
"""Letter of a clip's name -> word, for each of the six words of a command (Cooke et al. 2006)."""

CHUNK = 32
"""Clips that are given to a recogniser at once."""

Known = tuple[str, Path, str]
"""Name of a clip, its file, and its words."""


def spell_command(name: str) -> str | None:
    """The words of a GRID clip, `set white with p two soon` of `id2_vcd_swwp2s`; None of another name."""
    found = re.search(r"(?:^|_)([a-z]{4}[z1-9][anps])$", name)
    words = [table.get(letter) for table, letter in zip(GRID, found[1], strict=True)] if found else [None]
    return None if None in words else " ".join(map(str, words))


def find_known(data: Path, actors: Sequence[str] = ()) -> dict[str, list[Known]]:
    """Clips with known words, by corpus.

    Args:
        data: folder with `ravdess/`, `clips/` and `formats/`.
        actors: of RAVDESS; none: all.
    """
    utterances = list_utterances("ravdess", Ravdess(importer="ravdess", root=str(data / "ravdess")))
    files = sorted([*(data / "clips").glob("*.mp4"), *(data / "formats").glob("*.mpg")])
    return {
        "ravdess": [
            (u.utterance_id, data / "ravdess" / u.media, str(u.transcript))
            for u in utterances
            if not actors or u.speaker in actors
        ],
        "grid": [(f"grid/{f.stem}{f.suffix[1:]}", f, words) for f in files if (words := spell_command(f.stem))],
    }


def transcribe(known: Sequence[Known], extractor: TranscriptExtractor) -> Iterator[dict[str, Any]]:
    """Rows of the table of transcripts."""
    for begin in range(0, len(known), CHUNK):
        chunk = known[begin : begin + CHUNK]
        rows = [
            {"utterance_id": name, "audio": decode_audio(file).tobytes(), "language": "en", "transcript": None}
            for name, file, _ in chunk
        ]
        for (name, _, _), result in zip(chunk, extractor.extract(rows), strict=True):
            yield {"utterance_id": name, "key": "k", "status": "ok", "reason": None, **result}


def count_errors(known: Sequence[Known], transcripts: Sequence[dict[str, Any]], engine: str) -> dict[str, Any]:
    """The row of the table of word errors; clips of one corpus."""
    empty = dict.fromkeys(("start", "end", "speaker", "sex", "split"))
    said = [
        {**empty, "utterance_id": name, "media": file.name, "language": "en", "transcript": words, "fingerprint": name}
        for name, file, words in known
    ]
    with tempfile.TemporaryDirectory() as folder:
        manifest, shard, output = (Path(folder, f"{name}.parquet") for name in ("manifest", "transcript", "errors"))
        write_table(manifest, said, schema.MANIFEST)
        write_table(shard, transcripts, schema.feature_table("transcript"))
        collect_word_errors([manifest], [shard], engine, None, "en", output)
        (row,) = read_table(output, schema.WORD_ERRORS).to_pylist()
    return row


def main() -> None:
    """Print a line for each corpus and recogniser."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOADAPT_DATA"))
    parser.add_argument("--models", type=Path, default=os.environ.get("EMOADAPT_MODELS"))
    parser.add_argument("--engines", nargs="+", default=["whisper", "pocketsphinx"])
    parser.add_argument("--actors", nargs="*", default=[], help="of RAVDESS, e.g. 01 02; default: all 24")
    options = parser.parse_args()
    if options.data is None or options.models is None:
        parser.error("name --data and --models, or set EMOADAPT_DATA and EMOADAPT_MODELS")
    columns = ("clips", "wordless", "words", "substitutions", "deletions", "insertions", "word_error_rate")
    print("corpus", "engine", *columns, "cpu_s_per_clip", sep="\t", flush=True)
    for corpus, known in find_known(options.data, options.actors).items():
        for engine in options.engines:
            extractor = TranscriptExtractor(Config(engine=engine, model=WHISPER), Context(options.models))
            begin = time.process_time()
            transcripts = list(transcribe(known, extractor))
            seconds = (time.process_time() - begin) / max(1, len(known))
            row = count_errors(known, transcripts, engine)
            shown = [f"{row[name]:.4f}" if name == "word_error_rate" else row[name] for name in columns]
            print(corpus, engine, *shown, f"{seconds:.2f}", sep="\t", flush=True)


if __name__ == "__main__":
    main()
