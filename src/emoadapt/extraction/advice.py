"""Notes on feature settings that cost accuracy, lose detail, or leave a language unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from emoadapt.acoustics.sections import WindowedSection
from emoadapt.config import Study
from emoadapt.corpora.base import Utterance
from emoadapt.features.transcript import Config as TranscriptConfig
from emoadapt.features.transcript import language_code

_SHORT_WINDOW = (
    "window: paper is too short for openSMILE's pitch tracker (EmoDB: 20 % voiced frames instead of 59 %), and baselines on "
    "descriptors lose macro-F1 (RAVDESS, 4 classes: .09 with an SVM, .02 with an MLP); paper_pitch60 keeps 60 ms for pitch"
)


def advise_features(
    study: Study, pairs: Sequence[tuple[str, str]], list_clips: Callable[[str], Sequence[Utterance]]
) -> list[str]:
    """List what may surprise about a study's features.

    Args:
        study: the study.
        pairs: (feature, corpus) pairs that it computes.
        list_clips: corpus -> its utterances; asked only for corpora that are transcribed.
    """
    sections = {name: getattr(study.features, name) for name in dict.fromkeys(feature for feature, _ in pairs)}
    short = [n for n, section in sections.items() if isinstance(section, WindowedSection) and section.window == "paper"]
    notes = [f"features.{name}: {_SHORT_WINDOW}" for name in short]
    if "face_embedding" in sections and (read := study.features.face_embedding.network.input_size):
        notes += filter(None, [advise_crops(study.features.faces.crop_size, read)])
    transcribed = dict.fromkeys(corpus for feature, corpus in pairs if feature == "transcript")
    return notes + [note for corpus in transcribed for note in _advise_languages(study, corpus, list_clips)]


def advise_crops(stored: int, read: int) -> str:
    """A note on stored crops that an embedding network of faces gets enlarged; empty if it does not.

    Args:
        stored: side of a crop, in pixels.
        read: side of the network's input, in pixels.
    """
    if stored >= read:
        return ""
    return (
        f"features.faces.crop_size: {stored} is smaller than features.face_embedding.network.input_size: {read}, so that crops are "
        f"enlarged and show no more detail than {stored} x {stored}; set crop_size: {read}"
    )


def _advise_languages(study: Study, corpus: str, list_clips: Callable[[str], Sequence[Utterance]]) -> list[str]:
    """Clips whose language the recogniser does not know, cannot detect, or is not asked for."""
    config = study.features.transcript
    if config.engine == "corpus" or not (config.language or config.knows_only_english()):
        return []
    stated = study.corpora[corpus].language
    clips = Counter(language_code(stated or u.language) for u in list_clips(corpus))
    total, unknown = clips.total(), clips.pop(None, 0)
    used = language_code(config.language) or "en"
    others = {language: count for language, count in sorted(clips.items()) if language != used}
    spoken = f"corpus {corpus}: {sum(others.values())} of {total} clips are in {', '.join(map(str, others))}"
    if config.language:
        return [f"{spoken}, and features.transcript.language: {config.language} overrides that"] if others else []
    notes = []
    if others:
        reason = f"which {_name(config)} does not know; they get no transcript (language_not_supported)"
        notes.append(f"{spoken}, {reason}")
    if unknown and config.unknown_language == "note":
        notes.append(
            f"corpus {corpus}: {unknown} of {total} clips have no language, and {_name(config)} writes English for any; set "
            f"corpora.{corpus}.language or features.transcript.unknown_language: absent, or take a model of many languages"
        )
    return notes


def _name(config: TranscriptConfig) -> str:
    return config.engine if config.engine != "whisper" else f"{config.engine} ({config.model})"
