"""Notes on a recording that are taken while it is decoded, with their places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, log10

CANCELLED = 0.01
"""Energy of the mean of the channels by that of the channels (-20 dB). Independent channels have 1 / their number."""
_BINS_PER_SECOND = 10
_SOUNDING = 0.01
"""Power of a bin by the mean power of the clip, from which on the bin sounds."""
_LONG_SECONDS, _SHORT_SECONDS, _SHARE = 1.0, 0.3, 0.05
"""Channels that cancel for so long lose a part of the clip: for 1 s, or for 0.3 s that are 5 % of what sounds."""


@dataclass
class Log:
    """What is odd about a recording, and where (s on the container's clock).

    It is complete up to the piece of audio that was decoded last.
    """

    source_rate: int = 0
    _of_file: tuple[str, ...] = ()
    _holes: list[list[float]] = field(default_factory=list)
    _overlaps: list[list[float]] = field(default_factory=list)
    _restarts: list[tuple[float, float]] = field(default_factory=list)
    _held: float | None = None
    _energies: dict[int, list[float]] = field(default_factory=dict)

    def note_file(self, notes: Iterable[str | None]) -> None:
        """Take the notes that hold for the whole file."""
        self._of_file = tuple(note for note in notes if note)

    def note_hole(self, begin: float, seconds: float) -> None:
        """Silence was filled in."""
        self._holes.append([begin, seconds])

    def note_overlap(self, begin: float, seconds: float) -> None:
        """Sound that was there twice was cut at a place."""
        if self._overlaps and begin - self._overlaps[-1][0] < 1e-6:
            self._overlaps[-1][1] += seconds
        else:
            self._overlaps.append([begin, seconds])

    def note_restart(self, begin: float, jump: float) -> None:
        """The time stamps jumped implausibly."""
        self._restarts.append((begin, jump))

    def note_held(self, begin: float) -> None:
        """A picture that begins before the clip is all that is shown during it."""
        self._held = begin

    def add_energies(self, begin: float, mean: float, channels: float, seconds: float) -> None:
        """Energies of the mean of several channels, and the mean of theirs, of a frame of so many seconds."""
        sums = self._energies.setdefault(int(begin * _BINS_PER_SECOND), [0.0, 0.0, 0.0])
        sums[0] += mean
        sums[1] += channels
        sums[2] += seconds

    def is_cancelled(self, begin: float = -inf, end: float = inf) -> bool:
        """Whether the channels cancel each other, as one of them is inverted, in the whole span or a relevant part of it."""
        if self._measure_mean(begin, end) < CANCELLED:
            return True
        cancelled, sounding = self._measure_cancelled(begin, end)
        return cancelled >= _LONG_SECONDS or cancelled >= max(_SHORT_SECONDS, _SHARE * sounding)

    def describe_inversion(self, begin: float = -inf, end: float = inf) -> str:
        """Note on a clip whose channels cancel each other."""
        share = self._measure_mean(begin, end)
        if share >= CANCELLED:
            cancelled, sounding = self._measure_cancelled(begin, end)
            return (
                f"inverted_channel: the channels cancel each other for {cancelled:.1f} s of {sounding:.1f} s of sound; "
                "the first channel is used"
            )
        level = f"{-10 * log10(share):.0f} dB" if share > 1e-12 else "over 120 dB"
        return f"inverted_channel: the mean of the channels is {level} below them; the first channel is used"

    def list_notes(self, begin: float = -inf, end: float = inf) -> tuple[str, ...]:
        """Notes on the clip between two times."""
        restarts = [restart for restart in self._restarts if restart[0] < end]
        notes = [
            _describe("hole_filled", _clip(self._holes, begin, end)),
            _describe("overlap_cut", [cut for cut in self._overlaps if begin <= cut[0] < end]),
        ]
        if restarts:
            notes.append(describe_restart(*restarts[0]))
        if self._held is not None:
            notes.append(
                f"held_picture: no picture begins in the segment; that of {self._held:.2f} s is shown during it"
            )
        return (*self._of_file, *(note for note in notes if note))

    def forget(self, before: float) -> None:
        """Drop what ended before a time, so that memory does not grow with the recording."""
        self._holes = [hole for hole in self._holes if hole[0] + hole[1] > before]
        self._overlaps = [cut for cut in self._overlaps if cut[0] >= before]
        while self._energies and (place := next(iter(self._energies))) / _BINS_PER_SECOND < before - 0.1:
            del self._energies[place]

    def _measure_mean(self, begin: float = -inf, end: float = inf) -> float:
        """Energy of the mean of the channels by the energy of the channels; 1 for a single one."""
        bins = self._list_bins(begin, end)
        channels = sum(sums[1] for sums in bins)
        return sum(sums[0] for sums in bins) / channels if channels else 1.0

    def _measure_cancelled(self, begin: float, end: float) -> tuple[float, float]:
        """Seconds in which the channels cancel each other, and seconds that sound."""
        bins = self._list_bins(begin, end)
        power = sum(sums[1] for sums in bins) / (sum(sums[2] for sums in bins) or 1.0)
        sounding = [sums for sums in bins if sums[1] > _SOUNDING * power * sums[2]]
        return sum(sums[2] for sums in sounding if sums[0] < CANCELLED * sums[1]), sum(sums[2] for sums in sounding)

    def _list_bins(self, begin: float, end: float) -> list[list[float]]:
        return [sums for place, sums in self._energies.items() if begin - 0.1 < place / _BINS_PER_SECOND < end]


def describe_restart(at: float, jump: float) -> str:
    """Note on time stamps that jump implausibly, as in files that were joined."""
    return f"clock_restart: time stamps jump by {jump:+.2f} s at {at:.2f} s; what follows is placed by count"


def _clip(spans: Sequence[Sequence[float]], begin: float, end: float) -> list[tuple[float, float]]:
    """The parts, (begin, seconds), of spans between two times."""
    parts = [(max(at, begin), min(at + seconds, end)) for at, seconds in spans]
    return [(first, last - first) for first, last in parts if last > first]


def _describe(code: str, spans: Sequence[Sequence[float]]) -> str | None:
    if not spans:
        return None
    places = "1 place" if len(spans) == 1 else f"{len(spans)} places"
    return f"{code}: {sum(span[1] for span in spans):.2f} s in {places}, the first at {spans[0][0]:.2f} s"
