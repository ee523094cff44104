"""The same recording twice, by content and time."""

import polars as pl

from emoadapt.corpora.overlap import find_shared_clips
from emoadapt.flow.fingerprints import UNREADABLE


def clips(*rows):
    kinds = {"utterance_id": pl.String, "fingerprint": pl.String, "start": pl.Float64, "end": pl.Float64}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def test_recordings_are_told_by_content_not_by_name():
    tested = clips(("b/1", "x", None, None), ("b/2", "y", None, None))
    heard = clips(("a/7", "x", None, None), ("a/2", "z", None, None))
    assert find_shared_clips(tested, heard) == {"b/1"}


def test_segments_of_one_recording_are_shared_where_they_overlap():
    tested = clips(("b/1", "x", 0.0, 2.0), ("b/2", "x", 2.0, 4.0), ("b/3", "x", 5.0, None))
    heard = clips(("a/1", "x", 1.5, 2.0), ("a/2", "x", 9.0, 9.5))
    assert find_shared_clips(tested, heard) == {"b/1", "b/3"}


def test_an_utterance_does_not_share_with_itself_nor_one_unreadable_file_with_another():
    same = clips(("a/1", "x", None, None), ("a/2", UNREADABLE, None, None))
    assert find_shared_clips(same, same) == set()
    assert find_shared_clips(same, clips(("b/2", UNREADABLE, None, None))) == set()
