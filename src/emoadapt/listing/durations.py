"""Lengths of media files, read once and remembered by the files' content."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.errors import CorpusError
from emoadapt.flow.code import code_digest
from emoadapt.flow.fingerprints import fingerprint_media
from emoadapt.schema import UNREADABLE
from emoadapt.storage.caches import read_cache, write_cache

if TYPE_CHECKING:
    from emoadapt.config import Corpus
    from emoadapt.corpora.base import Utterance

FINGERPRINTS = Path("results/.cache/fingerprints")
"""Where content hashes are remembered between calls, one file a corpus."""
CACHE = Path("results/.cache/durations")
"""Where lengths of media are remembered by content, one file a corpus."""


class Durations:
    """Lengths of media, remembered by their content.

    Args:
        root: folder of the media.
        fingerprints: media -> fingerprint, of all media of the corpus.
        cache: file of what is known from earlier calls.
        hashes: file of `fingerprint_media` for these media.
    """

    def __init__(self, root: Path, fingerprints: Mapping[str, str], cache: Path, hashes: Path) -> None:
        self._root, self._fingerprints, self._cache, self._hashes = root, fingerprints, cache, hashes
        self._code = code_digest("emoadapt.media.durations")
        self._known = self._read()
        self._before = {kind: dict(found) for kind, found in self._known.items()}

    def look_up(
        self, media: Iterable[str], kind: str, measure: Callable[[Path], float | None]
    ) -> dict[str, float | None]:
        """Media -> seconds, or None where it is not known.

        Raises:
            CorpusError: a file changed meanwhile; its length would be remembered as that of its earlier content.
        """
        known = self._known.setdefault(kind, {})
        wanted = sorted(media)
        new = [name for name in wanted if self._fingerprints[name] not in known]
        new = [name for name in new if self._fingerprints[name] != UNREADABLE]
        if len(new) > 1000:
            print(f"emoadapt: reading the lengths of {len(new):,} files of {self._root}", file=sys.stderr)
        with ThreadPoolExecutor(max_workers=4) as pool:
            measured = list(pool.map(lambda name: measure(self._root / name), new))
        self._refuse_changed(new)
        known |= {self._fingerprints[name]: seconds for name, seconds in zip(new, measured, strict=True)}
        return {name: known.get(self._fingerprints[name]) for name in wanted}

    def _refuse_changed(self, names: Sequence[str]) -> None:
        if not names:
            return
        # Files that stayed as they were are asked for their state only.
        found = fingerprint_media(self._root, self._fingerprints, self._hashes)
        if changed := [name for name in names if found[name] != self._fingerprints[name]]:
            raise CorpusError(
                f"{self._root / changed[0]} changed while its length was read"
                f"{f', and so did {len(changed) - 1:,} other files' if changed[1:] else ''}; run the same command again"
            )

    def keep(self) -> None:
        """Remember what was found, of files that the corpus has."""
        there = set(self._fingerprints.values())
        kept = {kind: {f: s for f, s in found.items() if f in there} for kind, found in self._known.items()}
        if kept != self._before:
            write_cache(self._cache, {"code": self._code, "seconds": kept})

    def _read(self) -> dict[str, dict[str, float | None]]:
        content = read_cache(self._cache)
        return content["seconds"] if content is not None and content["code"] == self._code else {}


def fingerprint_clips(name: str, config: Corpus, utterances: Iterable[Utterance]) -> dict[str, str]:
    """Media -> fingerprint, of a corpus whose media are files."""
    return fingerprint_media(Path(config.root), [u.media for u in utterances], FINGERPRINTS / f"{name}.json")


def read_durations(name: str, config: Corpus, utterances: Iterable[Utterance]) -> Durations:
    """What is known of the lengths of a corpus's media."""
    fingerprints = fingerprint_clips(name, config, utterances)
    return Durations(Path(config.root), fingerprints, CACHE / f"{name}.json", FINGERPRINTS / f"{name}.json")
