"""Account of a corpus: the rows of its tables, and the files of its folder.

Only `emoadapt check` asks for it: the folder is listed for that, which the Snakefile does not do for corpora named by tables.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from emoadapt.corpora.base import Utterance
from emoadapt.errors import CorpusError, show
from emoadapt.listing.folders import describe_passed_over, survey_folder
from emoadapt.listing.reading import name_as_on_disk
from emoadapt.plugins import load_plugin

if TYPE_CHECKING:
    from emoadapt.config import AnyCorpus

NO_MEDIA = "no media file"
UNWANTED_SCENARIO = "of a scenario that is not wanted"
REPEATED = "a later row names the same clip, and counts"


@dataclass(frozen=True)
class Account:
    """The rows of a corpus's tables: each became a clip, or was left out for a reason.

    Args:
        source: the tables, as messages name them.
        rows: number of rows that were read.
        clips: number of rows that became a clip.
        left_out: reason -> names of the rows that became none.
        shape: lines, header and blank lines in words, where the source is one table.
    """

    source: str
    rows: int
    clips: int
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shape: str | None = None

    def describe(self) -> str:
        """`t.tsv: 17 lines: a header and 16 rows; 15 are clips, 1 is left out`."""
        left_out = sum(map(len, self.left_out.values()))
        parts = [f"{self.clips:,} {'is a clip' if self.clips == 1 else 'are clips'}"]
        parts += [f"{left_out:,} {'is' if left_out == 1 else 'are'} left out"] if left_out else []
        return f"{self.source}: {self.shape or f'{self.rows:,} rows'}; {', '.join(parts)}"

    def list_notes(self) -> list[str]:
        """A sentence for each reason."""
        return [
            f"{len(names):,} of the {self.rows:,} rows of {self.source} {'is' if len(names) == 1 else 'are'} left out "
            f"({reason}): {show(names)}"
            for reason, names in self.left_out.items()
            if names
        ]


@dataclass(frozen=True)
class MediaAccount:
    """The files below a corpus's root.

    Args:
        media: number of media files.
        unnamed: those that belong to no clip, sorted.
        others: files that are neither media nor tables that the importer reads, sorted.
        hidden: number of hidden files and folders.
    """

    media: int
    unnamed: Sequence[str]
    others: Sequence[str]
    hidden: int

    def describe(self, root: str) -> str:
        """`18 media files below data; 2 of them belong to no clip: x.wav, y.wav`."""
        media = f"{self.media:,} media {'file' if self.media == 1 else 'files'} below {root}"
        if not self.unnamed:
            return f"{media}; all belong to clips"
        verb = "belongs" if len(self.unnamed) == 1 else "belong"
        return f"{media}; {len(self.unnamed):,} of them {verb} to no clip: {show(self.unnamed)}"


def account_for(
    source: str,
    keys: Iterable[str],
    found: Collection[str],
    unwanted: Mapping[str, Collection[str]] | None = None,
) -> Account:
    """Account for the rows of tables that name clips by keys.

    Args:
        source: the tables, as messages name them.
        keys: the clip of each row, repeated where several rows name it.
        found: keys of the corpus's clips.
        unwanted: reason -> keys of rows that are left out for another reason than a missing file.
    """
    rows = list(keys)
    known, first, repeated = set(found), set[str](), []
    for key in rows:
        if key in first:
            repeated.append(key)
        first.add(key)
    left_out: dict[str, list[str]] = {}
    rest = first - known
    for reason, names in (unwanted or {}).items():
        left_out[reason] = sorted(rest.intersection(names))
        rest -= set(names)
    left_out[NO_MEDIA] = sorted(rest)
    left_out[REPEATED] = repeated
    return Account(
        source, len(rows), len(first & known), {reason: names for reason, names in left_out.items() if names}
    )


def read_account(name: str, config: AnyCorpus) -> Account | None:
    """Account for the rows of a corpus's tables; None for a corpus without tables.

    Raises:
        CorpusError: a table cannot be read.
    """
    importer = load_plugin("corpora", config.importer)
    return importer.account_rows(name, config) if hasattr(importer, "account_rows") else None


def read_notes(name: str, config: AnyCorpus) -> list[str]:
    """What the importer passed over, such as annotated clips without media; one sentence each."""
    return list_account_notes(name, config, read_account(name, config))


def list_account_notes(name: str, config: AnyCorpus, account: Account | None) -> list[str]:
    """The notes of `read_notes`, where the caller has read the account."""
    importer = load_plugin("corpora", config.importer)
    notes = account.list_notes() if account else []
    return [*notes, *importer.list_notes(name, config)] if hasattr(importer, "list_notes") else notes


def read_media_account(
    name: str, config: AnyCorpus, utterances: Sequence[Utterance] | None = None
) -> MediaAccount | None:
    """Compare the media of clips with those below the root.

    None for an importer that makes its media.

    Args:
        name: the corpus's name.
        config: its section.
        utterances: what `read_utterances` gave, where the caller has it. Clips of other speakers than the configured ones belong to
            the corpus here.

    Raises:
        CorpusError: the corpus, or a folder below its root, cannot be read.
    """
    importer = load_plugin("corpora", config.importer)
    if hasattr(importer, "fingerprints"):
        return None
    if utterances is None or config.speakers is not None:
        utterances = name_as_on_disk(importer.list_utterances(name, config), Path(config.root))
    named = {utterance.media for utterance in utterances}
    content = survey_folder(config.root)
    tables: set[str] = set()
    if hasattr(importer, "tables"):
        tables = {os.path.relpath(path, config.root) for path in importer.tables(config)}
    return MediaAccount(
        len(content.media),
        [path for path in content.media if path not in named],
        # A table may name files of any extension.
        [path for path in content.others if path not in named and str(Path(path)) not in tables],
        content.hidden,
    )


def describe_content(
    name: str, config: AnyCorpus, utterances: Sequence[Utterance], account: Account | None
) -> list[str]:
    """Lines about the rows of a corpus's tables and the files below its root.

    Args:
        name: the corpus's name.
        config: its section.
        utterances: what `read_utterances` gave.
        account: what `read_account` gave.
    """
    lines = [f"table {account.describe()}"] if account else []
    try:
        media = read_media_account(name, config, utterances)
    except CorpusError as error:
        # A corpus that a table lists does without the other folders below its root.
        lines.append(f"its media files are not counted: {error}")
    else:
        if media is not None:
            passed_over = describe_passed_over(media.others, media.hidden)
            lines += [media.describe(config.root), *([passed_over] if passed_over else [])]
    if config.speakers is not None:
        lines.append(f"corpora.{name}.speakers keeps {len(utterances):,} clips, of {len(config.speakers)} speakers")
    return lines
