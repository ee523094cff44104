"""Lengths, levels, maps and outliers."""

import numpy as np
import pytest
import soundfile

from emoadapt.errors import ConfigError, DataError
from emoadapt.exploring.charts import draw_histogram
from emoadapt.exploring.decoding import measure_sound
from emoadapt.exploring.features import read_rows
from emoadapt.exploring.lengths import measure_lengths
from emoadapt.exploring.levels import Levels, measure_levels
from emoadapt.exploring.maps import Map, choose_features, draw_map, find_vectors
from emoadapt.exploring.outliers import find_outliers
from emoadapt.exploring.samples import choose_samples


def sound(samples):
    return {"audio": samples.astype("<i2").tobytes(), "n_samples": len(samples)}


NONE = (np.array([], np.int64), np.array([]))


def test_levels_of_a_sine_and_silence_are_those_of_the_formula():
    sine = np.round(16384 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.int16)
    levels = measure_levels(np.concatenate([sine, np.zeros(16000, np.int16)]))
    # Half of full scale, half of the time: -6.02 - 3.01 - 3.01 dB.
    assert levels.rms == pytest.approx(-12.04, abs=0.01) and levels.peak == pytest.approx(-6.02, abs=0.01)
    assert levels.silent == pytest.approx(0.5, abs=0.02) and levels.clipped == 0
    assert measure_levels(np.array([32767, 0, 0, -32768], np.int16)).clipped == 0.5
    assert measure_levels(np.zeros(0, np.int16)) is None
    assert measure_levels(np.zeros(700, np.int16)).rms == -100


def test_a_quiet_clip_keeps_its_level():
    assert measure_levels(np.tile([10, -10], 512).astype(np.int16)).rms == pytest.approx(
        20 * np.log10(10 / 32768), abs=1e-9
    )


def test_rows_are_read_from_their_shards(make_feature):
    feature = make_feature(
        "audio", [(name, "ok", None, sound(np.full(100 + i, i + 1))) for i, name in enumerate("abcde")]
    )
    found = {
        clip: row
        for clips, table in read_rows(feature, [0, 3, 4], ["n_samples"])
        for clip, row in zip(clips, table.to_pylist(), strict=True)
    }
    assert found == {0: {"n_samples": 100}, 3: {"n_samples": 103}, 4: {"n_samples": 104}}
    levels = measure_sound(feature, [1])
    assert list(levels) == [1] and levels[1].peak == pytest.approx(20 * np.log10(2 / 32768))
    with pytest.raises(DataError, match="no column loudness"):
        list(read_rows(feature, [0], ["loudness"]))


def test_lengths_are_those_of_decoded_sound(clips, make_feature, tmp_path):
    rows = [
        ("a", "ok", None, sound(np.ones(16000))),
        ("b", "failed", "truncated: x", {}),
        ("c", "ok", None, sound(np.ones(8000))),
    ]
    lengths = measure_lengths(clips, make_feature("audio", rows, ["n_samples"]), tmp_path, np.random.default_rng(0))
    assert lengths.seconds["seconds"].to_list() == [1.0, 0.5] and not lengths.exact
    assert lengths.total == pytest.approx(6 * 0.75 / 3600) and "2 clips" in lengths.source


def test_lengths_of_a_listed_corpus_come_from_headers_and_say_so(make_clips, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(24000), 16000)
    clips = make_clips([("a", None, None, None), ("b", None, None, None)])
    lengths = measure_lengths(clips, None, tmp_path, np.random.default_rng(0))
    assert lengths.seconds.rows() == [(0, 1.5)] and lengths.total == pytest.approx(2 * 1.5 / 3600)
    assert "no length is known of 1" in lengths.source and not lengths.exact


def test_stated_segments_need_no_file(make_clips, tmp_path):
    clips = make_clips([("a", None, None, None)], start=1.0, end=3.5)
    assert measure_lengths(clips, None, tmp_path, np.random.default_rng(0)).seconds["seconds"].to_list() == [2.5]


def test_outliers_are_found_with_their_reason():
    seconds = np.array([*np.linspace(3, 4, 20), 30.0, 0.2])
    levels = {i: Levels(-20 - i / 10, -3, 0.0, 0.1 + i / 1000) for i in range(20)}
    levels |= {20: Levels(-60, -40, 0.0, 0.1), 21: Levels(-20, 0, 0.07, 0.1)}
    found = find_outliers((np.arange(22), seconds), levels, [])
    assert {(one.clip, one.kind) for one in found} == {(20, "length"), (21, "length"), (20, "level"), (21, "clipping")}
    why = {(one.clip, one.kind): one.why for one in found}
    assert why[20, "length"].startswith("30.00 s long; half of the clips have 3.")
    assert why[21, "clipping"] == "7.0 % of its samples are at full scale"


def test_equal_values_and_few_values_have_no_outliers():
    same = np.array([2.0] * 20 + [9.0])
    assert find_outliers((np.arange(21), same), {}, []) == []
    assert find_outliers((np.arange(3), np.array([1.0, 1.1, 99.0])), {}, []) == []


def test_a_far_vector_is_an_outlier_of_its_map(make_feature, clips):
    drawn = Map("rms", np.arange(30), np.zeros((30, 2)), np.array([*np.linspace(1, 1.2, 29), 9.0]), "")
    (one,) = find_outliers(NONE, {}, [drawn])
    assert one.clip == 29 and one.kind == "position" and "by rms are 8.2 times as far as usual" in one.why


def test_a_map_keeps_what_lies_on_a_line_on_its_first_axis(make_feature):
    line = np.outer([0.0, 1.0, 2.0, 3.0, 10.0], np.arange(1, 26))
    feature = make_feature("egemaps", [(name, "ok", None, {"egemaps": line[i]}) for i, name in enumerate("abcde")])
    drawn = draw_map(feature, 100, "pca", 0)
    assert isinstance(drawn, Map) and drawn.clips.tolist() == [0, 1, 2, 3, 4]
    first = drawn.points[:, 0] * np.sign(drawn.points[4, 0])
    assert np.argsort(first).tolist() == [0, 1, 2, 3, 4] and np.ptp(drawn.points[:, 1]) < 1e-6 * np.ptp(first)
    assert "100 % and 0 %" in drawn.note and "All 5" in drawn.note
    assert "3 of 5, drawn at random" in draw_map(feature, 3, "pca", 0).note


def test_a_map_of_too_few_or_equal_clips_says_why(make_feature):
    one = make_feature("egemaps", [("a", "ok", None, {"egemaps": [1.0] * 25}), ("b", "failed", "x: y", {})])
    assert "needs three clips" in draw_map(one, 10, "pca", 0)


def test_an_unknown_feature_and_a_missing_package_are_refused(make_feature):
    feature = make_feature(
        "egemaps", [(name, "ok", None, {"egemaps": np.arange(25) + i}) for i, name in enumerate("abcd")]
    )
    assert choose_features({"egemaps": feature}, []) == ["egemaps"]
    with pytest.raises(ConfigError, match="--feature faces: no vectors of this corpus; computed are egemaps"):
        choose_features({"egemaps": feature}, ["faces"])
    assert find_vectors("audio") is None and find_vectors("face_embedding") == "face_embedding"
    pytest.importorskip("sklearn")
    try:
        import umap  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match="umap-learn"):
            draw_map(feature, 10, "umap", 0)


def test_samples_are_the_same_for_a_seed_and_say_why():
    def draw(seed):
        return choose_samples(
            range(100),
            5,
            [(7, "audio: truncated")],
            [("shortest", [(3, 0.1)]), ("longest", [(4, 9.0)])],
            [],
            np.random.default_rng(seed),
        )

    assert draw(1) == draw(1) != draw(2)
    chosen = draw(1)
    assert "audio: truncated" in chosen[7] and "one of the shortest" in chosen[3]
    assert sum("drawn at random" in whys for whys in chosen.values()) == 5


def test_bars_of_a_histogram_add_up_and_name_what_they_count():
    picture = str(draw_histogram([1, 1, 1, 2, 5], "<s>"))
    counted = [int(part.split("</title>")[0].rsplit(": ", 1)[1]) for part in picture.split("<title>")[1:]]
    assert sum(counted) == 5 and "&lt;s&gt;" in picture and "<s>" not in picture
    assert ">0.1<" in str(draw_histogram([0.1] * 9 + [1000.0], "s")), "logarithmic"
    assert "<svg" in str(draw_histogram([3.0], "s"))
