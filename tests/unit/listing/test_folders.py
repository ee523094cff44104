"""Media are never dropped by their extension without a word."""

from __future__ import annotations

import av
import numpy as np
import pytest

from emoadapt.listing.extensions import (
    AMBIGUOUS_EXTENSIONS,
    AUDIO_EXTENSIONS,
    MEDIA_EXTENSIONS,
    PICTURE_EXTENSIONS,
    VIDEO_EXTENSIONS,
)
from emoadapt.listing.folders import count_extensions, describe_passed_over, find_media, survey_folder
from emoadapt.media import decode_audio
from emoadapt.media.containers import FORMATS

# What people hand in and FFmpeg lists no extension for, by its documentation of the formats.
UNLISTED = {
    "wav": ".wav", "w64": ".w64", "aiff": ".aif .aiff .aifc", "au": ".au .snd", "caf": ".caf", "amr": ".amr .awb", "voc": ".voc",
    "ogg": ".oga .ogv .opus .spx", "matroska,webm": ".weba", "asf": ".asf .wma .wmv", "mpeg": ".mpg .mpeg .vob",
    "mpegts": ".ts .mts .m2ts .m2t", "mxf": ".mxf", "rm": ".rm .ra .rmvb", "wtv": ".wtv", "wv": ".wv", "dsf": ".dsf", "ivf": ".ivf",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_extension_of_a_format_that_is_read_is_known(name):
    """Symptom: .amr, .mka, .mts, .sph, .caf and others were passed over in folders, though they are decoded."""
    listed = {f".{extension}" for extension in av.ContainerFormat(name, "r").extensions}
    listed |= set(UNLISTED.get(name, "").split())
    assert listed <= MEDIA_EXTENSIONS | PICTURE_EXTENSIONS | AMBIGUOUS_EXTENSIONS
    assert not any(extension in MEDIA_EXTENSIONS for extension in listed if name.endswith("_pipe"))


@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [("a.mka", "matroska", "aac"), ("a.weba", "webm", "libopus"), ("a.m2ts", "mpegts", "mp2"), ("a.mts", "mpegts", "ac3"),
     ("a.m4b", "ipod", "aac"), ("a.w64", "w64", "pcm_s16le"), ("a.caf", "caf", "pcm_s16le"), ("a.mp2", "mp2", "mp2"),
     ("a.ac3", "ac3", "ac3"), ("a.tta", "tta", "tta"), ("a.wv", "wv", "wavpack"), ("a.voc", "voc", "pcm_u8"), ("a.spx", "ogg", "libopus")],
)  # fmt: skip
def test_listed_formats_are_decoded(name, container, codec, tmp_path):
    with av.open(str(tmp_path / name), "w", format=container) as file:
        stream = file.add_stream(codec, rate=48000)
        stream.layout = "mono"
        noise = np.random.default_rng(0).integers(-9000, 9000, (1, 48000), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert find_media(tmp_path) == [name]
    assert len(decode_audio(tmp_path / name)) == pytest.approx(16000, abs=1600)


def test_lists_of_extensions_do_not_contradict_each_other():
    assert set(UNLISTED) <= set(FORMATS)
    assert not AUDIO_EXTENSIONS & VIDEO_EXTENSIONS
    assert not MEDIA_EXTENSIONS & (PICTURE_EXTENSIONS | AMBIGUOUS_EXTENSIONS)
    assert all(extension == extension.lower() and extension[0] == "." for extension in MEDIA_EXTENSIONS)
    assert not MEDIA_EXTENSIONS & {
        ".txt",
        ".csv",
        ".json",
        ".png",
        ".jpg",
        ".gif",
        ".webp",
        ".mod",
        ".dat",
        ".lab",
        ".srt",
    }


def test_passed_over_files_are_counted_by_extension(make_tree):
    names = ["a.WAV", "b.amr", "x/c.txt", "x/d.TXT", "e.json", "README", "take.1/f", ".wav", ".git/g.wav"]
    content = survey_folder(make_tree(names))
    assert content.media == ["a.WAV", "b.amr"]
    assert content.others == ["README", "e.json", "take.1/f", "x/c.txt", "x/d.TXT"]
    assert content.hidden == 2
    assert (
        describe_passed_over(content.others, content.hidden)
        == "7 files are passed over: .txt 2, no extension 2, .json 1, hidden 2"
    )
    assert describe_passed_over(["a.txt"], 0) == "1 file is passed over: .txt 1"
    assert describe_passed_over([], 0) is None
    assert count_extensions([], 0) == ""


def test_survey_and_list_agree_on_media(make_tree):
    root = make_tree(["a.wav", "b/c.mp4", "b/.hidden.wav", "d.xyz"])
    (root / "gone.wav").symlink_to("nowhere.wav")
    (root / "self").symlink_to("self")
    content = survey_folder(root)
    assert find_media(root) == content.media == ["a.wav", "b/c.mp4", "gone.wav"]
    assert content.others == ["d.xyz", "self"]
