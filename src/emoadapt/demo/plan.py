"""Which clips a demo corpus has and what is random in each of them. Standard library only.

A clip is identified by its voice and its turn (the how-manieth clip of that voice). All that is random in
it comes from a generator seeded with a hash of (seed, sentence list, voice, turn), so that no clip depends
on how many others there are.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from emoadapt.demo.sentences import SENTENCES, Sentiment
from emoadapt.errors import ConfigError
from emoadapt.flow.code import code_digest, describe_libraries

RENDERERS = ("emoadapt.demo.speech", "emoadapt.demo.face", "emoadapt.demo.clips")
"""Modules that turn a plan into a file; an edit of one makes all clips anew."""

EMOTIONS = ("anger", "happiness", "sadness", "neutral")
"""Classes, in the order in which each voice takes turns at them."""

SENTIMENT_OF: dict[str, Sentiment] = {
    "anger": "negative",
    "happiness": "positive",
    "sadness": "negative",
    "neutral": "neutral",
}
"""What a speaker with this emotion is most likely to talk about."""

MATCHING = 0.7
"""Share of clips whose sentence has the sentiment of their emotion; the others are drawn from the other two."""


@dataclass(frozen=True)
class Voice:
    """A synthetic speaker's voice."""

    espeak: str
    """espeak-ng voice and variant."""
    sex: str
    """female | male."""
    pitch: float = 50.0
    """Habitual pitch on espeak-ng's scale of 0 to 100, on which 50 leaves the variant as it is."""
    rate: float = 1.0
    """Habitual speed, relative to the other voices."""


VOICES = (
    Voice("en-us+f2", "female"),
    Voice("en-us+m3", "male"),
    Voice("en-us+f5", "female", rate=1.04),
    Voice("en-us+m5", "male", pitch=46),
    Voice("en-us+f1", "female", pitch=46),
    Voice("en-us+m1", "male", rate=1.05),
    Voice("en-us+anika", "female", pitch=45, rate=0.95),
    Voice("en-us+m6", "male", pitch=53, rate=0.96),
    Voice("en-us+f3", "female", pitch=45),
    Voice("en-us+m4", "male"),
    Voice("en-us+linda", "female", pitch=48, rate=0.97),
    Voice("en-us+m2", "male", rate=0.97),
    Voice("en-us+steph", "female", pitch=47),
    Voice("en-us+m7", "male", pitch=52),
    Voice("en-us+aunty", "female"),
    Voice("en-us+edward", "male", pitch=52, rate=1.03),
)
"""Speakers, by index."""


@dataclass(frozen=True)
class Prosody:
    """How a clip is spoken and recorded."""

    rate: float
    """Words per minute."""
    pitch: float
    """0 to 100, see `Voice.pitch`."""
    pitch_range: float
    """0 (monotone) to 100, espeak-ng's scale."""
    level_db: float
    """Root mean square of the speech, dB of full scale."""
    effort: float
    """Gain of a high-frequency shelf (0 = none, negative = dull): loud voices are bright."""
    lead_seconds: float
    """Silence before the sentence."""
    tail_seconds: float
    """Silence after it."""
    noise_db: float
    """White room noise, dB of full scale."""


@dataclass(frozen=True)
class Expression:
    """What a face does in a clip, besides speaking. Lengths in pixels of the portrait, downwards positive."""

    corners: float
    """Mouth corners, vertically (a smile is negative)."""
    width: float
    """Mouth corners, outwards."""
    inner_brows: float
    outer_brows: float
    lids: float
    """Upper eyelids."""
    frown: float
    """Inner brows, towards each other."""
    shift: tuple[float, float]
    """Of the head, right and down."""
    roll: float
    """Of the head, degrees."""
    zoom: float
    """Of the picture, 1 = none."""
    brightness: float
    """Factor on the pixels."""


@dataclass(frozen=True)
class PlannedClip:
    """All that determines one clip, except its container."""

    stem: str
    """File name without extension."""
    voice: int
    """Index into `VOICES`."""
    sex: str
    emotion: str
    sentiment: Sentiment
    """Of the sentence."""
    sentence: str
    seed: int
    """Of the noise in sound and picture."""
    prosody: Prosody
    expression: Expression

    @property
    def speaker(self) -> str:
        """Speaker name."""
        return f"voice{self.voice:02d}"


# Means by emotion; the spreads, common to all, are below.
_PROSODY = {
    #            rate  pitch  range level  effort
    "anger": (1.10, 5.0, 60.0, 6.0, 1.5),
    "happiness": (1.06, 15.0, 80.0, 1.5, 0.5),
    "sadness": (0.82, -10.0, 22.0, -8.0, -0.4),
    "neutral": (1.00, -2.0, 42.0, -2.5, 0.2),
}
_PROSODY_SPREAD = (0.06, 5.0, 12.0, 1.2, 0.2)

_EXPRESSION = {
    #        corners width inner outer lids frown
    "anger": (7.0, -2.0, 4.5, -1.0, 1.0, 2.5),
    "happiness": (-1.5, 3.0, -1.5, -1.5, 0.5, 0.0),
    "sadness": (8.5, -2.5, -4.0, 2.5, 1.5, 1.0),
    "neutral": (4.5, -2.0, 0.0, 0.0, 0.0, 0.0),
}
_EXPRESSION_SPREAD = (1.6, 1.2, 1.4, 1.2, 0.6, 0.8)


def plan_clips(config: Any) -> list[PlannedClip]:
    """Plan a corpus: voices take turns, and each voice takes turns at the four emotions.

    Adding clips or voices leaves the clips that were there as they were.

    Args:
        config: the corpus's section; `clips`, `voices`, `sentences` and `seed` are read.

    Returns:
        `config.clips` plans; stems are unique, such as `voice03_s012_anger`.

    Raises:
        ConfigError: a voice that does not exist, is named twice, or none at all.
    """
    voices = config.voices
    if not voices or len(set(voices)) != len(voices) or not set(voices) <= set(range(len(VOICES))):
        raise ConfigError(
            f"voices: found {list(voices)}, allowed are different numbers from 0 to {len(VOICES) - 1}, at least one"
        )
    return [
        _plan_clip(voices[number % len(voices)], number // len(voices), config.sentences, config.seed)
        for number in range(config.clips)
    ]


def digest_plan(clip: PlannedClip, *, video: bool) -> str:
    """Hexadecimal digest of all that a clip's file is made from.

    Args:
        clip: the plan.
        video: whether the file has pictures.
    """
    made_by = {"code": code_digest(*RENDERERS), "libraries": describe_libraries(*RENDERERS)}
    text = json.dumps({**made_by, "video": video, **asdict(clip)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def name_media(clip: PlannedClip, config: Any) -> str:
    """File name of a clip: `.mp4` for a corpus with video, else `.wav`."""
    return clip.stem + (".mp4" if "video" in config.modalities else ".wav")


def _plan_clip(voice: int, turn: int, sentences: str, seed: int) -> PlannedClip:
    key = hashlib.sha256(f"{seed}/{sentences}/{voice}/{turn}".encode()).digest()
    random = Random(int.from_bytes(key[:8], "big"))
    emotion = EMOTIONS[turn % len(EMOTIONS)]
    sentiment = SENTIMENT_OF[emotion]
    if random.random() >= MATCHING:
        sentiment = random.choice([other for other in SENTENCES[sentences] if other != sentiment])
    return PlannedClip(
        stem=f"voice{voice:02d}_s{turn:03d}_{emotion}",
        voice=voice,
        sex=VOICES[voice].sex,
        emotion=emotion,
        sentiment=sentiment,
        sentence=random.choice(SENTENCES[sentences][sentiment]),
        seed=int.from_bytes(key[8:12], "big"),
        prosody=_draw_prosody(emotion, VOICES[voice], random),
        expression=_draw_expression(emotion, random),
    )


def _draw_prosody(emotion: str, voice: Voice, random: Random) -> Prosody:
    rate, pitch, pitch_range, level, effort = _draw_around(_PROSODY[emotion], _PROSODY_SPREAD, random)
    return Prosody(
        rate=round(156 * voice.rate * rate, 1),
        pitch=_clamp(voice.pitch + pitch, 0, 100),
        pitch_range=_clamp(pitch_range, 0, 100),
        level_db=round(min(level - 26.0, -18.0), 2),
        effort=_clamp(effort, -0.6, 2),
        lead_seconds=round(random.uniform(0.08, 0.25), 3),
        tail_seconds=round(random.uniform(0.08, 0.25), 3),
        noise_db=round(random.uniform(-66, -54), 1),
    )


def _draw_expression(emotion: str, random: Random) -> Expression:
    corners, width, inner, outer, lids, frown = _draw_around(_EXPRESSION[emotion], _EXPRESSION_SPREAD, random)
    return Expression(
        corners=corners,
        width=width,
        inner_brows=inner,
        outer_brows=outer,
        lids=lids,
        frown=frown,
        shift=(round(random.uniform(-6, 6), 2), round(random.uniform(-5, 5), 2)),
        roll=round(random.uniform(-5, 5), 2),
        zoom=round(random.uniform(0.95, 1.12), 3),
        brightness=round(random.uniform(0.85, 1.15), 3),
    )


def _draw_around(means: tuple[float, ...], spreads: tuple[float, ...], random: Random) -> list[float]:
    return [round(random.gauss(mean, spread), 3) for mean, spread in zip(means, spreads, strict=True)]


def _clamp(value: float, low: float, high: float) -> float:
    return round(min(max(value, low), high), 2)
