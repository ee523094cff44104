"""Division of Stage 1's clips into training and held-out parts."""

from itertools import count
from pathlib import Path

import polars as pl
import pytest

from emoadapt import schema
from emoadapt.data.held_out import assign_parts, describe_common, draw_parts
from emoadapt.errors import DataError
from emoadapt.storage.tables import read_table, write_table

MANIFEST = dict(pl.DataFrame(schema.MANIFEST.empty_table()).schema)


def manifest(*rows, corpus="c"):
    """MANIFEST rows from (name, speaker, changes); every clip is a recording of its own unless changed."""
    own = count()
    filled = [
        dict.fromkeys(MANIFEST)
        | {"utterance_id": f"{corpus}/{name}", "media": "m", "speaker": who, "fingerprint": f"{corpus}{next(own)}"}
        | changes
        for name, who, changes in rows
    ]
    return pl.DataFrame(filled, schema=MANIFEST)


def list_clips(speakers):
    return [(f"{number:03d}", speaker, {}) for number, speaker in enumerate(speakers)]


def parts_of(*frames, seed=0, held_out=0.15):
    """Utterance -> part."""
    named = {frame["utterance_id"][0].split("/")[0]: frame for frame in frames}
    return dict(draw_parts(named, held_out, seed).select("utterance_id", "part").rows())


def parts_of_speakers(speakers, **settings):
    return parts_of(manifest(*list_clips(speakers)), **settings)


def test_speakers_are_not_divided():
    speakers = [f"s{i % 10}" for i in range(100)]
    parts = parts_of_speakers(speakers)
    held = {speakers[int(name[2:])] for name, part in parts.items() if part == "held_out"}
    trained = {speakers[int(name[2:])] for name, part in parts.items() if part == "train"}
    assert len(held) == 2 and not held & trained  # ceil(.15 * 10)


def test_the_draw_without_copies_is_that_of_earlier_versions():
    """Sorted by `printf 0/c/s14 | sha256sum`, s14 and s13 come first."""
    held = {
        name for name, part in parts_of_speakers([f"s{i}" for i in range(20)], held_out=0.1).items() if part != "train"
    }
    assert held == {"c/014", "c/013"}


def test_clips_are_drawn_where_speakers_are_unknown():
    assert list(parts_of_speakers([None] * 40).values()).count("held_out") == 6


def test_a_new_clip_of_a_known_speaker_moves_no_clip():
    speakers = [f"s{i % 10}" for i in range(100)]
    before = parts_of_speakers(speakers)
    after = parts_of_speakers([*speakers, "s3"])
    assert {name: after[name] for name in before} == before


def test_the_draw_depends_on_the_seed():
    speakers = [f"s{i % 20}" for i in range(40)]
    assert len({tuple(parts_of_speakers(speakers, seed=seed).values()) for seed in range(5)}) > 1


def test_a_single_speaker_cannot_be_held_out():
    with pytest.raises(DataError, match="corpus c has 1 speaker"):
        parts_of_speakers(["one"] * 5)


@pytest.mark.parametrize("seed", range(5))
def test_copies_under_other_names_stay_on_the_side_of_the_recording(seed):
    """`007 (1).wav` beside `007.wav`; without the grouping, one of 30 copies would lie apart in nearly every draw."""
    clips = [(f"{number:03d}", None, {"fingerprint": f"r{number}"}) for number in range(30)]
    copies = [(f"{name} (1)", None, changes) for name, _, changes in clips]
    before, after = (parts_of(manifest(*rows), seed=seed, held_out=0.3) for rows in (clips, [*clips, *copies]))
    assert {name: after[name] for name in before} == before
    assert all(after[f"{name} (1)"] == part for name, part in before.items())
    assert list(after.values()).count("held_out") == 18


@pytest.mark.parametrize("seed", range(5))
def test_a_link_to_the_folder_of_a_speaker_is_drawn_with_that_speaker(seed):
    """Speakers named after folders: `s3-link` has the clips of `s3`."""
    clips = [(f"s{n}/{take}", f"s{n}", {"fingerprint": f"{n}.{take}"}) for n in range(10) for take in range(3)]
    link = [(f"s3-link/{take}", "s3-link", {"fingerprint": f"3.{take}"}) for take in range(3)]
    before, after = (parts_of(manifest(*rows), seed=seed, held_out=0.4) for rows in (clips, [*clips, *link]))
    assert {name: after[name] for name in before} == before
    assert {after[f"c/s3-link/{take}"] for take in range(3)} == {before["c/s3/0"]}


@pytest.mark.parametrize("seed", range(5))
def test_the_same_file_in_two_corpora_is_on_one_side(seed):
    first = manifest(*((f"{n}", None, {"fingerprint": f"r{n}"}) for n in range(20)), corpus="a")
    second = manifest(*((f"{n}", None, {"fingerprint": f"r{n}" if n < 10 else f"q{n}"}) for n in range(20)), corpus="b")
    parts = parts_of(first, second, seed=seed, held_out=0.3)
    assert {name: parts[name] for name in parts if name.startswith("a/")} == parts_of(first, seed=seed, held_out=0.3)
    assert all(parts[f"a/{n}"] == parts[f"b/{n}"] for n in range(10))
    assert [part for name, part in parts.items() if name.startswith("b/")].count("held_out") == 6


def test_a_corpus_that_another_settled_still_has_both_parts():
    """Of the two recordings of `b`, `a` holds out one or none; the other clip of `b` must balance it."""
    for seed in range(8):
        first = manifest(("0", None, {"fingerprint": "same"}), ("1", None, {}), corpus="a")
        second = manifest(("0", None, {"fingerprint": "same"}), ("1", None, {}), corpus="b")
        parts = parts_of(first, second, seed=seed, held_out=0.5)
        assert parts["a/0"] == parts["b/0"] != parts["b/1"]


def test_segments_that_overlap_stay_together_and_others_do_not():
    def cut(start, end):
        return {"fingerprint": "film", "start": start, "end": end}

    pairs = [
        (f"{n}.{half}", None, cut(10.0 * n + 1.5 * half, 10.0 * n + 2.0 + 1.5 * half))
        for n in range(20)
        for half in (0, 1)
    ]
    parts = parts_of(manifest(*pairs), held_out=0.3)
    assert all(parts[f"c/{n}.0"] == parts[f"c/{n}.1"] for n in range(20))
    assert list(parts.values()).count("held_out") == 12


def test_speakers_linked_by_copies_are_all_one_family():
    """s1 = s2 by one clip, s2 = s3 by another; unreadable files link nobody."""
    rows = [
        ("1", "s1", {"fingerprint": "x"}), ("2", "s2", {"fingerprint": "x"}), ("3", "s2", {"fingerprint": "y"}),
        ("4", "s3", {"fingerprint": "y"}), ("5", "s3", {"fingerprint": schema.UNREADABLE}),
        ("6", "s4", {"fingerprint": schema.UNREADABLE}),
    ]  # fmt: skip
    sides = {tuple(parts_of(manifest(*rows), seed=seed, held_out=0.5).values()) for seed in range(8)}
    held, train = "held_out", "train"
    assert sides == {(held,) * 5 + (train,), (train,) * 5 + (held,)}


def test_a_corpus_that_copies_link_wholly_is_refused_with_the_reason():
    rows = [(str(n), None, {"fingerprint": "film", "start": 2.0 * n, "end": 2.0 * n + 3.0}) for n in range(4)]
    with pytest.raises(DataError, match=r"corpus c: its 4 speakers or clips are linked by recordings that they share"):
        parts_of(manifest(*rows))


def test_a_host_who_overlaps_each_guest_a_little_links_no_speakers():
    def cut(number, start, end):
        return {"fingerprint": f"film{number}", "start": start, "end": end}

    turns = [(f"h{n}", "host", cut(n, 0.0, 10.01)) for n in range(9)]
    turns += [(f"g{n}", f"guest{n}", cut(n, 10.0, 20.0)) for n in range(9)]
    parts = parts_of(manifest(*turns), held_out=0.2)
    assert list(parts.values()).count("held_out") == 2 + 8 * (parts["c/h0"] == "held_out")
    assert describe_common({"c": manifest(*turns)}) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_clip_that_each_speaker_has_is_never_held_out(seed):
    """The same calibration clip in each folder would make all speakers one family; a pair of copies stays a family."""
    own = [(f"s{n}/{take}", f"s{n}", {}) for n in range(6) for take in range(3)]
    pair = [(f"{name}/pair", name, {"fingerprint": "pair"}) for name in ("s1", "s4")]
    calibration = [(f"s{n}/cal", f"s{n}", {"fingerprint": "cal"}) for n in range(6)]
    rows = manifest(*own, *pair, *calibration)
    parts = parts_of(rows, seed=seed, held_out=0.2)
    assert {part for name, part in parts.items() if name.endswith("cal")} == {"train"}
    without = parts_of(manifest(*own, *pair), seed=seed, held_out=0.2)
    assert {name: parts[name] for name in without} == without
    assert "held_out" in without.values() and without["c/s1/0"] == without["c/s4/0"]
    (note,) = describe_common({"c": rows})
    assert note.startswith(
        "corpus c: 6 clips are copies of recordings that would link all its speakers or clips (c/s0/cal, "
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_clip_that_nearly_each_speaker_has_makes_no_family_of_nearly_all(seed):
    """Symptom: 19 of 20 speakers were one family by their calibration clip, and 114 of 119 clips were held out."""
    own = [(f"s{n}/{take}", f"s{n}", {}) for n in range(20) for take in range(5)]
    calibration = [(f"s{n}/cal", f"s{n}", {"fingerprint": "cal"}) for n in range(19)]
    parts = parts_of(manifest(*own, *calibration), seed=seed, held_out=0.1)
    assert list(parts.values()).count("held_out") == 2 * 5
    assert {part for name, part in parts.items() if name.endswith("cal")} == {"train"}


def test_copies_of_a_whole_corpus_are_refused_and_named():
    clips = [(f"{who}/{take}", who, {"fingerprint": f"{take}"}) for who in ("s1", "s2") for take in range(2)]
    with pytest.raises(DataError, match=r"linked by recordings .* such as c/s1/0, c/s1/1, c/s2/0 and 1 more, so"):
        parts_of(manifest(*clips))


@pytest.mark.parametrize("seed", range(5))
def test_windows_of_one_file_stay_together_where_speakers_are_unknown(seed):
    """Windows of 2 s that overlap by .5 s are no copies, but the same people speak in them; one file alone is cut where it can be."""

    def cut(film, start):
        return {"fingerprint": f"film{film}", "start": start, "end": start + 2.0}

    windows = [(f"{film}.{n}", None, cut(film, 1.5 * n)) for film in range(5) for n in range(6)]
    parts = parts_of(manifest(*windows), seed=seed, held_out=0.2)
    assert list(parts.values()).count("held_out") == 6
    assert all(len({parts[f"c/{film}.{n}"] for n in range(6)}) == 1 for film in range(5))
    single = manifest(*((f"{n}", None, cut(9, 2.0 * n)) for n in range(10)), corpus="d")
    both = parts_of(manifest(*windows), single, seed=seed, held_out=0.2)
    assert {name: both[name] for name in parts} == parts
    assert [part for name, part in both.items() if name.startswith("d/")].count("held_out") == 2


def test_a_large_corpus_of_segments_of_one_file_is_divided():
    """As many rows as MSP-Podcast has, all of one content: pairs of them could not be listed."""
    n = 151_654
    frame = pl.DataFrame({"start": pl.arange(n, eager=True) * 2.0}).with_columns(
        utterance_id=pl.format("c/{}", pl.int_range(n)), speaker=pl.lit(None, pl.String), fingerprint=pl.lit("film"),
        end=pl.col("start") + 2.0,
    )  # fmt: skip
    parts = draw_parts({"c": frame}, 0.15, 0)
    assert parts.filter(part="held_out").height == 22_749  # ceil(.15 * n)


def test_parts_are_written_from_manifest_shards(tmp_path: Path):
    frame = manifest(*list_clips([f"s{i % 4}" for i in range(20)]))
    for shard, rows in enumerate((frame[:9], frame[9:])):
        write_table(tmp_path / f"c/{shard}.parquet", rows.to_arrow(), schema.MANIFEST)
    paths = [tmp_path / "c/0.parquet", tmp_path / "c/1.parquet"]
    assign_parts({"c": paths}, 0.3, 1, tmp_path / "parts.parquet")
    written = read_table(tmp_path / "parts.parquet", schema.PARTS).to_pylist()
    assert {row["utterance_id"]: row["part"] for row in written} == parts_of(frame, seed=1, held_out=0.3)
    assert {row["corpus"] for row in written} == {"c"}
