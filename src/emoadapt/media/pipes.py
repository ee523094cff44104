"""Audio of a pipe: a WAV file, or raw samples, read once and piece by piece.

What a pipe gives is what its file would give, with the codes of `emoadapt.media`. What is wrong with its end comes behind the audio
before: `truncated`, `stale_header` and `joined_file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, tee
from pathlib import Path
from typing import Any, BinaryIO

from emoadapt.errors import ClipError
from emoadapt.media.audio import Piece, make_pieces
from emoadapt.media.complete.chunks import TOLERANCE, begins_chunk, begins_file, find_samples
from emoadapt.media.complete.reading import Reader
from emoadapt.media.containers import decode, take_stream
from emoadapt.media.log import Log

_NAME = Path("the standard input")
_RAW_BYTES = 2
"""Of a raw sample."""
_READ_BYTES = 8192
_MOST_HEAD_BYTES = 1 << 20
_WAV = (b"RIFF", b"RIFX", b"RF64", b"BW64")


@contextmanager
def open_pipe(pipe: BinaryIO, rate: int | None, log: Log) -> Iterator[tuple[Iterator[Piece], Iterator[Piece]]]:
    """Open a pipe.

    Args:
        pipe: it.
        rate: Hz, of raw samples, int16 little-endian of one channel; None: the pipe holds a WAV file.
        log: takes the notes.

    Yields:
        Pieces of the mean of the channels, and the same of the first channel. Both are to be read at the same pace: what one is ahead
        is held in memory.

    Raises:
        ClipError: it is empty, or holds neither; from the pieces, also `truncated`, `stale_header`, `joined_file`, `not_finite` and
            `float_scale`.
    """
    import av

    source = _Source(pipe)
    _check_head(source.peek(12), rate)
    if rate is None:
        source.find_end()
    options = {} if rate is None else {"sample_rate": str(rate), "ch_layout": "mono"}
    try:
        container = av.open(source, format="wav" if rate is None else "s16le", options=options, buffer_size=_READ_BYTES)
    except av.FFmpegError as error:
        raise ClipError("undecodable", f"{_NAME}: {error.strerror}; {source.count:,} bytes were read") from None
    with container:
        stream = take_stream(container.streams.audio[0], _NAME)
        frames = decode(container, stream, _NAME)
        first = next(frames, None)
        if first is None:
            raise ClipError("empty_audio", f"{_NAME} has a header and no audio; {source.count:,} bytes were read")
        log.source_rate = first.sample_rate
        yield _pair(chain([first], frames), source, first, log)


def _check_head(head: bytes, rate: int | None) -> None:
    if not head:
        raise ClipError("undecodable", f"{_NAME} is empty; the command before the pipe has written nothing")
    is_wav = head[:4] in _WAV and head[8:12] == b"WAVE"
    if rate is None and not is_wav:
        raise ClipError(
            "undecodable",
            f"{_NAME} holds no WAV file, but begins with {head[:4]!r}; convert it with `ffmpeg -i FILE -f wav -`, or give the --rate of raw "
            "samples",
        )
    if rate is not None and is_wav:
        raise ClipError("undecodable", f"{_NAME} holds a WAV file, which states its sample rate; leave --rate out")


def _pair(frames: Iterator[Any], source: _Source, first: Any, log: Log) -> tuple[Iterator[Piece], Iterator[Piece]]:
    """Pieces of the mean and of the first channel."""
    rate = first.sample_rate
    if first.layout.nb_channels == 1:
        mean, same = tee(_check_end(make_pieces(frames, rate, _NAME, log), source))
        return mean, same
    ahead, behind = tee(frames)
    mean = _check_end(make_pieces(ahead, rate, _NAME, log), source)
    return mean, make_pieces(behind, rate, _NAME, Log(), first_channel=True)


def _check_end(pieces: Iterator[Piece], source: _Source) -> Iterator[Piece]:
    """Pieces, and behind them what is wrong with the end."""
    yield from pieces
    source.check_end()


class _Source:
    """A pipe for FFmpeg, which ends where its header says.

    Args:
        pipe: to read.

    Attributes:
        count: bytes that were read.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._ahead = b""
        self._span: tuple[int, int | None] | None = None
        self.count = 0

    def read(self, length: int) -> bytes:
        """The next bytes, as many as are there: nobody waits for a live pipe until a buffer is full."""
        if self._ahead:
            found, self._ahead = self._ahead[:length], self._ahead[length:]
            return found
        end = self._span and self._span[1]
        return self._take(length if end is None else min(length, end - self.count))

    def peek(self, length: int) -> bytes:
        """The first bytes, which are read once more; fewer where there are no more."""
        while len(self._ahead) < length and (more := self._take(length - len(self._ahead))):
            self._ahead += more
        return self._ahead

    def find_end(self) -> None:
        """Read the header, up to the samples.

        Raises:
            ClipError: it ends, or has a megabyte without samples.
        """
        while (span := find_samples(_Head(self._ahead))) is None:
            before = len(self._ahead)
            if before >= _MOST_HEAD_BYTES or len(self.peek(before + 8)) == before:
                raise ClipError(
                    "undecodable", f"{_NAME} has a WAV header without samples; {self.count:,} bytes were read"
                )
        self._span = span

    def check_end(self) -> None:
        """Compare what came with what the header says, once FFmpeg has read all.

        Raises:
            ClipError: `truncated`, `stale_header` or `joined_file`.
        """
        if self._span is None:
            if self.count % _RAW_BYTES:
                raise ClipError("truncated", f"{_NAME} has {self.count:,} bytes, of which the last is half a sample")
            return
        begin, end = self._span
        if end is None:
            return
        if self.count < end - TOLERANCE:
            raise ClipError(
                "truncated",
                f"{_NAME} ended after {self.count:,} bytes; its header announces {end:,}, so the end is missing",
            )
        self._check_rest(begin, end)

    def _check_rest(self, begin: int, end: int) -> None:
        head = self._take(end % 2 + 4)[end % 2 :]
        while self._take(1 << 16):
            pass
        left = self.count - end
        if begins_file(head):
            raise ClipError("joined_file", f"{_NAME} holds a second file from byte {end:,} on, which is not read")
        if left > TOLERANCE and not begins_chunk(head):
            raise ClipError(
                "stale_header",
                f"the header of {_NAME} counts {end - begin:,} bytes of audio, which were used; {left:,} bytes after them were not",
            )

    def _take(self, length: int) -> bytes:
        found: bytes = getattr(self._pipe, "read1", self._pipe.read)(length) if length else b""
        self.count += len(found)
        return found


class _Head(Reader):
    """The beginning of a file.

    Args:
        content: of it.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self.size = content, len(content)

    def read(self, at: int, length: int) -> bytes:
        """As a file's."""
        return self._content[at : at + length]
