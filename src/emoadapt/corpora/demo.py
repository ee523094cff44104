"""Importer of the built-in demo corpus, whose clips are listed before they are made (see `emoadapt.demo`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emoadapt.corpora.base import Label, Utterance
from emoadapt.demo.plan import digest_plan, name_media, plan_clips

if TYPE_CHECKING:
    from emoadapt.config import DemoCorpus


def list_utterances(name: str, config: DemoCorpus) -> list[Utterance]:
    """Planned clips of the corpus; the labelled list comes with transcripts, the unlabelled one without."""
    return [
        Utterance(
            utterance_id=f"{name}/{clip.stem}",
            media=name_media(clip, config),
            speaker=clip.speaker,
            sex=clip.sex,
            language="en",
            transcript=clip.sentence if config.sentences == "labelled" else None,
        )
        for clip in plan_clips(config)
    ]


def list_labels(name: str, config: DemoCorpus) -> list[Label]:
    """The emotion of each clip; none in a corpus of unlabelled sentences."""
    labelled = config.sentences == "labelled"
    return [
        Label(utterance_id=f"{name}/{clip.stem}", label=clip.emotion if labelled else None)
        for clip in plan_clips(config)
    ]


def fingerprints(name: str, config: DemoCorpus) -> dict[str, str]:
    """Media file -> digest of the plan that it is, or will be, made from."""
    video = "video" in config.modalities
    return {name_media(clip, config): digest_plan(clip, video=video) for clip in plan_clips(config)}
