"""The demo corpus is what it says: planned without libraries, repeatable to the bit, with signal in every modality."""

from __future__ import annotations

import math
import subprocess
import sys
import wave
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from emoadapt.corpora import demo as importer
from emoadapt.corpora.demo import Config
from emoadapt.demo import EMOTIONS, VOICES, make_corpus, plan_clips, read_stamp
from emoadapt.demo.plan import SENTIMENT_OF
from emoadapt.demo.sentences import SENTENCES
from emoadapt.errors import ConfigError
from emoadapt.listing.reading import check_utterances


def demo_config(**values: object) -> Config:
    return Config.model_validate({"importer": "demo", "root": "clips", "clips": 4, "voices": (0, 1), **values})


def read_files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


# --- plan ---------------------------------------------------------------------------------------


def test_emotions_are_balanced_within_each_voice():
    clips = plan_clips(demo_config(clips=48, voices=(0, 1, 2)))
    counts = Counter((clip.voice, clip.emotion) for clip in clips)
    assert counts == {(voice, emotion): 4 for voice in (0, 1, 2) for emotion in EMOTIONS}
    assert len({clip.stem for clip in clips}) == 48


def test_clips_do_not_depend_on_how_many_others_there_are():
    few = plan_clips(demo_config(clips=10, voices=(0, 1)))
    assert plan_clips(demo_config(clips=23, voices=(0, 1)))[:10] == few
    more_voices = {clip.stem: clip for clip in plan_clips(demo_config(clips=15, voices=(1, 5, 0)))}
    assert [more_voices[clip.stem] for clip in few] == few


def test_seed_and_sentence_list_change_clips():
    plans = [plan_clips(demo_config(**values))[0] for values in ({}, {"seed": 1}, {"sentences": "labelled"})]
    assert len({clip.seed for clip in plans}) == 3


def test_sentence_lists_are_disjoint_and_sentiment_follows_emotion():
    lists = [{s for sentences in SENTENCES[kind].values() for s in sentences} for kind in ("unlabelled", "labelled")]
    assert [len(sentences) for sentences in lists] == [24, 24]
    assert not lists[0] & lists[1]
    clips = plan_clips(demo_config(clips=3200, voices=(0, 1, 2, 3)))
    assert all(clip.sentence in SENTENCES["unlabelled"][clip.sentiment] for clip in clips)
    for emotion, sentiment in SENTIMENT_OF.items():
        share = np.mean([clip.sentiment == sentiment for clip in clips if clip.emotion == emotion])
        assert share == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("voices", [(0, len(VOICES)), (-1,)])
def test_voices_that_cannot_be_used_are_named(voices: tuple[int, ...]):
    with pytest.raises(ConfigError, match=r"voices: found .* allowed are different numbers from 0 to 15"):
        plan_clips(demo_config(voices=voices))


def test_vader_reads_each_sentence_as_planned():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    for sentiments in SENTENCES.values():
        for sentiment, sentences in sentiments.items():
            for sentence in sentences:
                score = analyzer.polarity_scores(sentence)["compound"]
                assert ("negative" if score <= -0.05 else "positive" if score >= 0.05 else "neutral") == sentiment, (
                    sentence
                )


# --- importer -----------------------------------------------------------------------------------


def test_listing_needs_no_library():
    code = (
        "import sys; from emoadapt.corpora import demo; import emoadapt.demo as d;"
        "heavy = {'numpy', 'cv2', 'av', 'scipy', 'skimage', 'pyarrow', 'torch'} & set(sys.modules); sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importer_lists_the_planned_clips():
    config = demo_config(sentences="labelled")
    utterances = importer.list_utterances("talk", config)
    check_utterances("talk", utterances, config.root, media_on_disk=False)
    first = utterances[0]
    assert (first.utterance_id, first.media) == ("talk/voice00_s000_anger", "voice00_s000_anger.mp4")
    assert (first.speaker, first.sex, first.language) == ("voice00", "female", "en")
    assert first.transcript in sum(SENTENCES["labelled"].values(), ())
    assert [label.label for label in importer.list_labels("talk", config)] == [
        "anger",
        "anger",
        "happiness",
        "happiness",
    ]
    assert set(importer.fingerprints("talk", config)) == {utterance.media for utterance in utterances}


def test_unlabelled_corpus_has_no_labels_or_transcripts():
    config = demo_config()
    assert {utterance.transcript for utterance in importer.list_utterances("talk", config)} == {None}
    assert {label.label for label in importer.list_labels("talk", config)} == {None}


def test_fingerprints_change_with_what_they_are_made_from_only():
    config = demo_config()
    first = importer.fingerprints("talk", config)
    assert importer.fingerprints("other", demo_config(clips=6, root="elsewhere")).items() >= first.items()
    assert not set(first.values()) & set(importer.fingerprints("talk", demo_config(seed=1)).values())
    assert not set(first.values()) & set(importer.fingerprints("talk", demo_config(modalities=("audio",))).values())


# --- files --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """Eight clips with video: two voices, four emotions."""
    config = demo_config(clips=8, voices=(0, 1), sentences="labelled")
    root = tmp_path_factory.mktemp("demo")
    make_corpus(config, root)
    return config, root


def test_clips_are_the_same_to_the_bit_in_any_order(corpus: tuple[Config, Path], tmp_path: Path):
    config, root = corpus
    stems = [clip.stem for clip in plan_clips(config)]
    make_corpus(config, tmp_path, only=set(stems[5:]))
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(stems[5:])
    seen: list[tuple[int, int]] = []
    make_corpus(config, tmp_path, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 5) for done in (1, 2, 3, 4, 5)]
    assert read_files(tmp_path) == read_files(root)


def test_files_carry_their_fingerprint(corpus: tuple[Config, Path]):
    config, root = corpus
    fingerprints = importer.fingerprints("talk", config)
    assert {path.name: read_stamp(path) for path in root.iterdir()} == fingerprints


def test_only_what_changed_is_made_again(tmp_path: Path):
    config = demo_config(modalities=("audio",), clips=6)
    make_corpus(config, tmp_path)
    before = read_files(tmp_path)
    own, broken, mistaken = (
        tmp_path / "voice notes.wav",
        tmp_path / "voice00_s001_happiness.wav",
        "voice01_s000_anger.wav",
    )
    own.write_bytes(b"somebody's own file")
    broken.write_bytes(before[broken.name][:40])
    (tmp_path / mistaken).write_bytes(before["voice00_s000_anger.wav"])
    stale = tmp_path / ".voice09_s000_anger.wav.part"
    stale.write_bytes(b"left by a killed run")
    kept = {name: (tmp_path / name).stat().st_mtime_ns for name in before if name not in (broken.name, mistaken)}

    counts: list[int] = []
    make_corpus(config, tmp_path, progress=lambda done, total: counts.append(total))
    assert counts == [2, 2]
    assert read_files(tmp_path) == {**before, own.name: b"somebody's own file"}
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept

    make_corpus(demo_config(modalities=("audio",), clips=4), tmp_path)
    assert set(read_files(tmp_path)) == {own.name, *(clip.stem + ".wav" for clip in plan_clips(config)[:4])}


def test_unrelated_file_of_a_similar_name_is_kept(tmp_path: Path):
    foreign = tmp_path / "voice07_s000_anger.wav"
    with wave.open(str(foreign), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(3200))
    make_corpus(demo_config(modalities=("audio",)), tmp_path)
    assert foreign.is_file()


def test_audio_clip_is_16_bit_mono_at_its_planned_level(tmp_path: Path):
    config = demo_config(modalities=("audio",))
    make_corpus(config, tmp_path)
    for clip in plan_clips(config):
        with wave.open(str(tmp_path / f"{clip.stem}.wav"), "rb") as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        lead, tail = round(clip.prosody.lead_seconds * 16_000), round(clip.prosody.tail_seconds * 16_000)
        decibels = [10 * math.log10(np.mean(part**2)) for part in (samples[lead:-tail], samples[:lead])]
        assert decibels == pytest.approx([clip.prosody.level_db, clip.prosody.noise_db], abs=1.0)


def test_video_clip_holds_both_streams_and_a_face_in_nearly_every_frame(corpus: tuple[Config, Path]):
    import cv2

    from emoadapt.demo.face import FRAME_RATE

    detector = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    faces = []
    for path in corpus[1].iterdir():
        with av.open(str(path)) as container:
            audio, video = container.streams.audio[0], container.streams.video[0]
            assert (audio.rate, audio.channels, video.width, video.height) == (16_000, 1, 160, 160)
            frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
            seconds = float(audio.duration * audio.time_base)
        assert 1.2 < seconds < 4
        assert len(frames) == pytest.approx(seconds * FRAME_RATE, abs=1.5)
        faces += [len(detector.detectMultiScale(frame, 1.1, 5)) for frame in frames]
    assert np.mean(np.array(faces) == 1) >= 0.95


# --- signal -------------------------------------------------------------------------------------


def test_speech_does_not_depend_on_what_was_said_before():
    from emoadapt.demo.speech import speak_clip

    first, second = plan_clips(demo_config())[:2]
    alone = speak_clip(first)
    speak_clip(second)
    assert np.array_equal(speak_clip(first), alone)


def test_opensmile_measures_the_prosody():
    import opensmile

    from emoadapt.demo.speech import speak_clip

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    clip = plan_clips(demo_config(voices=(3,)))[3]
    low = replace(clip.prosody, rate=130.0, pitch=30.0, level_db=-34.0, effort=-0.4)
    high = replace(clip.prosody, rate=180.0, pitch=70.0, level_db=-20.0, effort=1.5)
    spoken = [speak_clip(replace(clip, prosody=prosody)) for prosody in (low, high)]
    quiet, loud = [smile.process_signal(samples, 16_000).iloc[0] for samples in spoken]
    assert len(spoken[0]) > 1.1 * len(spoken[1])
    assert loud["F0semitoneFrom27.5Hz_sma3nz_amean"] > quiet["F0semitoneFrom27.5Hz_sma3nz_amean"] + 2
    assert loud["loudness_sma3_amean"] > 1.5 * quiet["loudness_sma3_amean"]
    assert loud["alphaRatioV_sma3nz_amean"] > quiet["alphaRatioV_sma3nz_amean"] + 3


def test_mouth_opens_with_loudness_and_nothing_else_moves():
    from emoadapt.demo.face import draw_frames

    clip = plan_clips(demo_config())[0]
    shut, opened = [
        np.mean([frame.astype(float) for frame in draw_frames(clip, np.full(10, openness))], axis=0)
        for openness in (0.0, 1.0)
    ]
    change = np.abs(opened - shut).mean(axis=2)
    assert change[90:150, 50:110].mean() > 5
    assert change[:70].mean() < 0.5


def test_expressions_differ_between_emotions_and_faces_between_voices():
    from emoadapt.demo.face import draw_frames

    clips = {(clip.voice, clip.emotion): clip for clip in plan_clips(demo_config(clips=8))}
    still = {"shift": (0.0, 0.0), "roll": 0.0, "zoom": 1.0, "brightness": 1.0}

    def draw(voice: int, emotion: str) -> np.ndarray:
        clip = clips[voice, emotion]
        clip = replace(clip, seed=0, expression=replace(clip.expression, **still))
        return next(draw_frames(clip, np.zeros(1))).astype(float)

    angry, sad, other = draw(0, "anger"), draw(0, "sadness"), draw(1, "anger")
    brows = np.abs(angry - sad)[60:85, 40:120].mean()
    background = np.abs(angry - sad)[:20, :20].mean()
    assert brows > 10 * max(background, 0.1)
    assert np.abs(angry - other).mean() > 10


def test_loudness_is_read_per_frame():
    from emoadapt.demo.face import FRAME_RATE, measure_loudness

    hop = 16_000 // FRAME_RATE
    samples = np.concatenate([np.zeros(hop), np.full(hop, 0.5), np.full(hop, 0.25), np.full(hop // 2, 0.5)])
    # The last frame is half silence: its root mean square is .5 / sqrt(2), and the 90th percentile lies 7/10 of
    # the way from there (the second largest of four) to .5.
    reference = 0.5 / math.sqrt(2) + 0.7 * (0.5 - 0.5 / math.sqrt(2))
    expected = [0.0, 1.0, 0.25 / reference, 0.5 / math.sqrt(2) / reference]
    assert measure_loudness(samples, 16_000) == pytest.approx(expected)
