"""Segments of a corpus: where they lie, what they inherit, and what is read again."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml
from pydantic import ValidationError

from emoadapt.config import Segments
from emoadapt.corpora.base import parent_of
from emoadapt.corpora.csv import Config as CsvCorpus
from emoadapt.corpora.demo import Config as DemoCorpus
from emoadapt.corpora.folder import Config as FolderCorpus
from emoadapt.errors import CorpusError
from emoadapt.listing import segments
from emoadapt.listing.manifests import find_state, list_label_rows, list_manifest
from emoadapt.listing.reading import read_clips, read_utterances
from emoadapt.listing.segments import cut_clips, place_segments
from emoadapt.study.check.corpora import check_corpus
from emoadapt.study.check.listings import Listings

TWO = {"seconds": 2.0, "overlap": 0.5}


def write(path: str, seconds: float) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(len(path)).uniform(-0.5, 0.5, round(seconds * 16000)), 16000)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of clips of 5, 4.2, 2 and 0.5 s in folders named by label, and one that cannot be read."""
    monkeypatch.chdir(tmp_path)
    for name, seconds in {"joy/a": 5.0, "joy/b": 4.2, "fear/c": 2.0, "fear/d": 0.5}.items():
        write(f"data/{name}.wav", seconds)
    Path("data/fear/broken.wav").write_text("no sound")
    return tmp_path / "data"


def folder(root: Path, **values: object) -> FolderCorpus:
    return FolderCorpus.model_validate(
        {"importer": "folder", "root": str(root), "label_from": "parent", "shards": 8, "segments": TWO, **values}
    )


@pytest.mark.parametrize(
    ("end", "values", "parts", "left_out"),
    [
        (5000, {}, [(0, 2000), (1500, 3500), (3000, 5000)], 0),
        (1999, {}, [(0, 1999)], 0),
        (2000, {}, [(0, 2000)], 0),
        # The rest is 1.5 s of a segment, of which 0.5 s are shared: long enough.
        (4500, {}, [(0, 2000), (1500, 3500), (3000, 4500)], 0),
        (4000, {}, [(0, 2000), (1500, 3500), (3000, 4000)], 0),
        (3999, {}, [(0, 2000), (1500, 3500)], 499),
        (3999, {"shortest": 0.9}, [(0, 2000), (1500, 3500), (3000, 3999)], 0),
        # Nothing is left, although a third segment would begin at 3 s.
        (3500, {"shortest": 0.0}, [(0, 2000), (1500, 3500)], 0),
        (4200, {"overlap": 0.0}, [(0, 2000), (2000, 4000)], 200),
        (6000, {"overlap": 0.0}, [(0, 2000), (2000, 4000), (4000, 6000)], 0),
    ],
)
def test_segments_lie_at_equal_steps_and_a_short_rest_is_left_out(end, values, parts, left_out):
    assert place_segments(0, end, Segments(**{**TWO, **values})) == (parts, left_out)


def test_segments_of_a_part_of_a_file_stay_within_it():
    assert place_segments(1200, 5200, Segments(seconds=2)) == ([(1200, 3200), (3200, 5200)], 0)


@pytest.mark.parametrize("overlap", [2.0, 3.0, 1.995])
def test_segments_that_do_not_advance_are_refused(overlap):
    with pytest.raises(
        ValidationError, match=r"overlap \(.* s\) must be less than seconds \(2 s\) by 0\.01 s at least"
    ):
        Segments(seconds=2.0, overlap=overlap)


def test_a_file_that_is_named_like_a_segment_of_another_is_refused(root):
    write("data/joy/a#0.00-2.00.wav", 1.0)
    with pytest.raises(CorpusError, match=r"corpus c: 1 utterance id is not unique: c/joy/a#0\.00-2\.00 \("):
        read_utterances("c", folder(root))


def test_segments_have_the_speaker_and_the_label_of_their_clip(root):
    config = folder(root, speaker_pattern="^(?P<speaker>[^/]+)/")
    utterances = read_utterances("c", config)
    assert [u.utterance_id for u in utterances] == [
        "c/fear/broken",
        "c/fear/c",
        "c/fear/d",
        "c/joy/a#0.00-2.00",
        "c/joy/a#1.50-3.50",
        "c/joy/a#3.00-5.00",
        "c/joy/b#0.00-2.00",
        "c/joy/b#1.50-3.50",
        "c/joy/b#3.00-4.20",
    ]
    assert [(u.start, u.end) for u in utterances][2:5] == [(None, None), (0.0, 2.0), (1.5, 3.5)]
    assert {u.media for u in utterances if u.speaker == "joy"} == {"joy/a.wav", "joy/b.wav"}
    labels = {row["utterance_id"]: row["label"] for row in list_label_rows("c", config)}
    assert labels == {u.utterance_id: u.speaker for u in utterances}
    assert {parent_of(u.utterance_id) for u in utterances} == {u.utterance_id for u in read_clips("c", config)}


def test_listed_parts_of_a_file_are_divided_within_their_bounds_and_keep_apart(root):
    """Two rows that begin alike would otherwise give the same segment."""
    rows = [
        "file,from,to,said",
        "joy/a.wav,1,5,yes",
        "joy/a.wav,1,2.5,no",
        "fear/d.wav,0,0.5,oh",
        "joy/b.wav,1.2,,well",
    ]
    (root / "t.csv").write_text("\n".join(rows))
    columns = {"media": "file", "start": "from", "end": "to", "transcript": "said"}
    config = CsvCorpus(importer="csv", root=str(root), file="t.csv", columns=columns, segments=Segments(seconds=2))
    utterances = {u.utterance_id: u for u in read_utterances("c", config)}
    assert list(utterances) == [
        "c/fear/d#0.00-0.50#0.00-0.50",
        "c/joy/a#1.00-2.50#1.00-2.50",
        "c/joy/a#1.00-5.00#1.00-3.00",
        "c/joy/a#1.00-5.00#3.00-5.00",
        "c/joy/b#1.20-end#1.20-3.20",
        "c/joy/b#1.20-end#3.20-4.20",
    ]
    # A clip that stays whole keeps its words; those of another are not said in each of its segments.
    assert [u.transcript for u in utterances.values()] == ["oh", "no", None, None, None, None]
    assert {parent_of(name) for name in utterances} == {u.utterance_id for u in read_clips("c", config)}


def test_numbers_of_clips_and_left_out_seconds_are_described(root):
    config = folder(root, segments={"seconds": 2.0})
    found = cut_clips("c", config, read_clips("c", config))
    assert (found.clips, found.unknown, found.seconds, found.left_out) == (5, 1, 11.7, 0.2)
    assert found.describe(config.segments) == [
        "8 segments of 2 s, of 5 clips; 0.2 s of 11.7 s are left out (rests shorter than 1 s)",
        "note: clips that stay whole, since their lengths cannot be read: 1",
    ]


def test_lengths_are_read_once_and_one_more_for_a_clip_that_is_added(root, monkeypatch):
    read: list[str] = []
    measure = segments._measure
    monkeypatch.setattr(segments, "_measure", lambda path: read.append(path.name) or measure(path))
    read_utterances("c", folder(root))
    assert sorted(read) == ["a.wav", "b.wav", "broken.wav", "c.wav", "d.wav"]
    read.clear()
    read_utterances("c", folder(root, segments={"seconds": 1}))
    write("data/fear/e.wav", 3.5)
    read_utterances("c", folder(root))
    assert read == ["e.wav"]


def test_a_clip_that_is_added_touches_one_shard_and_one_that_changes_its_length_another(root):
    """All segments of a clip are in its shard, so that one job reads its file."""
    before = find_state("c", folder(root)).shards
    write("data/fear/e.wav", 6.5)
    after = find_state("c", folder(root)).shards
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
    write("data/joy/a.wav", 9.0)
    assert sum(old != new for old, new in zip(after, find_state("c", folder(root)).shards, strict=True)) == 1
    holding = [{parent_of(row["utterance_id"]) for row in shard} for shard in list_manifest("c", folder(root))]
    assert sum("c/joy/a" in shard for shard in holding) == 1


def test_an_unchanged_corpus_with_segments_is_not_listed_again(root, monkeypatch):
    state = find_state("c", folder(root))
    monkeypatch.setattr(segments, "cut_clips", lambda *_: pytest.fail("was listed"))
    assert find_state("c", folder(root)) == state
    assert find_state("c", folder(root, segments=None)) != state


def test_media_that_are_made_later_cannot_be_divided(tmp_path):
    config = DemoCorpus(importer="demo", root=str(tmp_path), segments=Segments(seconds=2))
    with pytest.raises(
        CorpusError, match=r"corpus c: the importer demo makes its media later.*remove corpora\.c\.segments"
    ):
        read_utterances("c", config)


def test_check_prints_what_the_documentation_shows(root, capsys):
    page = (Path(__file__).parents[3] / "docs/corpora.md").read_text()
    section, shown = re.search(r"## Segments\n.*?```yaml\n(.*?)```.*?```\n(.*?)```", page, re.DOTALL).groups()
    section = yaml.safe_load(section)["corpora"]["speech"]
    config = FolderCorpus.model_validate({**section, "speaker_pattern": "^(?P<speaker>[^/]+)/"})
    Path("data/fear/broken.wav").unlink()
    write("data/joy/b.wav", 3.8)
    Path("data").rename("speech")
    Path("data").mkdir()
    Path("speech").rename("data/speech")
    problems: list[str] = []
    assert check_corpus(Listings(SimpleNamespace(corpora={"speech": config})), "speech", problems) and not problems
    assert capsys.readouterr().out.startswith(shown)
    segments = place_segments(0, 5000, config.segments)[0]
    assert all(f"`speech/a#{start / 1000:.2f}-{end / 1000:.2f}`" in page for start, end in segments)


def test_a_file_replaced_while_its_length_is_read_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: the length of another file was remembered as that of the first one's content."""
    measure = segments._measure
    first = (root / "joy/a.wav").read_bytes()

    def replace_before(path: Path) -> float | None:
        if path.name == "a.wav":
            write(str(path), 3.0)
        return measure(path)

    config = folder(root)
    with monkeypatch.context() as context:
        context.setattr(segments, "_measure", replace_before)
        with pytest.raises(
            CorpusError, match=r"joy/a\.wav changed while its length was read; run the same command again"
        ):
            read_utterances("c", config)
    (root / "joy/a.wav").write_bytes(first)
    ends = [utterance.end for utterance in read_utterances("c", config) if "joy/a" in utterance.utterance_id]
    assert ends == [2.0, 3.5, 5.0]
