"""Segments of recordings: neighbouring windows of one class, merged.

Windows overlap. The overlap of two neighbours is cut in its middle, so that each window has a share of the recording: shares have no gaps
and no overlaps. Times are counted in samples of 16 kHz.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from emoadapt.inference.prediction import PEAK_SECONDS, Prediction
from emoadapt.schema import SAMPLE_RATE
from emoadapt.storage.notes import join_notes, split_notes


def count_samples(seconds: float) -> int:
    """Samples of 16 kHz in a time that is a whole number of them."""
    return round(seconds * SAMPLE_RATE)


def share_windows(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Set the times of windows to those of their shares; the shares of a recording cover all of it."""
    window: Prediction | None = None
    share: Prediction | None = None
    for prediction in predictions:
        following = prediction
        if window is not None and share is not None:
            if _overlap(window, prediction):
                middle = _find_middle(window, prediction)
                share, following = replace(share, end=middle), _begin_at(prediction, middle)
            yield share
        window, share = prediction, following
    if share is not None:
        yield share


def _begin_at(prediction: Prediction, middle: float) -> Prediction:
    """A prediction that begins later, without the peaks before."""
    assert prediction.start is not None
    if prediction.peaks is None:
        return replace(prediction, start=middle)
    place = min(round((middle - prediction.start) / PEAK_SECONDS), len(prediction.peaks) - 1)
    return replace(prediction, start=middle, peaks=prediction.peaks[place:])


def _overlap(before: Prediction, after: Prediction) -> bool:
    """Whether two neighbours are windows of the same reading of a file, and have a part in common."""
    if before.file != after.file or None in (before.start, before.end, after.start, after.end):
        return False
    return before.start < after.start < before.end  # type: ignore[operator]


def _find_middle(before: Prediction, after: Prediction) -> float:
    assert before.end is not None and after.start is not None
    return (count_samples(before.end) + count_samples(after.start)) // 2 / SAMPLE_RATE


def merge_windows(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Merge windows into segments.

    Neighbouring shares of one class become one segment, whose probabilities are means weighted by duration. Neighbours that are absent
    or failed for the same reason are merged too. Values of attributes are not merged: each share is a segment.
    """
    segment: _Segment | None = None
    for share in share_windows(predictions):
        if segment is not None and segment.continues(share):
            segment.add(share)
            continue
        if segment is not None:
            yield segment.finish()
        segment = _Segment(share)
        segment.add(share)
    if segment is not None:
        yield segment.finish()


@dataclass
class _Segment:
    """Shares that follow one another.

    Args:
        first: the first of them.
    """

    first: Prediction
    end: float | None = None
    windows: int = 0
    weight: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    """Code -> its notes."""
    texts: list[str] = field(default_factory=list)

    def continues(self, share: Prediction) -> bool:
        """Whether a share belongs to the segment."""
        first = self.first
        if share.file != first.file or share.start is None or share.start != self.end or share.values is not None:
            return False
        return _identify(share) == _identify(first)

    def add(self, share: Prediction) -> None:
        """Take a share in."""
        self.end = share.end
        self.windows += 1
        if share.start is not None and share.end is not None:
            weight = share.end - share.start
            self.weight += weight
            for name, value in (share.probabilities or {}).items():
                self.sums[name] = self.sums.get(name, 0.0) + weight * value
        for note in split_notes(share.reason):
            self.notes.setdefault(note.partition(":")[0], []).append(note)
        if share.text and share.text not in self.texts[-1:]:
            self.texts.append(share.text)

    def finish(self) -> Prediction:
        """The segment."""
        probabilities = {name: total / self.weight for name, total in self.sums.items()}
        return replace(
            self.first,
            end=self.end,
            probabilities=probabilities or None,
            reason=join_notes(map(_describe, self.notes.values())),
            text=" / ".join(self.texts) or None,
            windows=None if self.first.start is None else self.windows,
            peaks=None,
        )


def _identify(share: Prediction) -> tuple[str, str | None]:
    """Status, and class or code of the reason; neighbours with the same are one segment."""
    return share.status, share.label if share.status == "ok" else (share.reason or "").partition(":")[0]


def _describe(notes: list[str]) -> str:
    """Notes of one code as one."""
    unique = list(dict.fromkeys(notes))
    return unique[0] if len(unique) == 1 else f"{unique[0]} (the first of {len(unique)} such notes)"
