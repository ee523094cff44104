"""Clips, rows and files that no task reads, counted, with the place that names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from emoadapt.errors import EmoadaptError, name_count
from emoadapt.listing.accounts import read_account, read_media_account

if TYPE_CHECKING:
    from emoadapt.config import AnyCorpus, Study

NAMED_BY_CHECK = "`emoadapt check` names"
_NONE = "none"
"""What a table of splits states where every clip is in a part."""


def list_unread(study: Study) -> list[str]:
    """Sentences about rows of a corpus's tables that became no clip, and about media files that belong to none.

    Args:
        study: the configuration. A corpus that is not on this machine any more is named as such.
    """
    return [sentence for name, corpus in study.corpora.items() for sentence in _count_unread(name, corpus)]


def _count_unread(name: str, corpus: AnyCorpus) -> Iterator[str]:
    try:
        account, media = read_account(name, corpus), read_media_account(name, corpus)
    except (EmoadaptError, OSError):
        yield f"Corpus {name}: it could not be read when this page was written, so files and rows without a clip are not counted."
        return
    if account:
        for reason, rows in account.left_out.items():
            verb = "is" if len(rows) == 1 else "are"
            yield f"Corpus {name}: {name_count(len(rows), 'row')} of its tables {verb} left out ({reason}). {_refer(len(rows))}"
    if media and (number := len(media.unnamed)):
        verb = "belongs" if number == 1 else "belong"
        yield f"Corpus {name}: {name_count(number, 'media file')} below its root {verb} to no clip. {_refer(number)}"


def _refer(number: int) -> str:
    return f"{NAMED_BY_CHECK} {'it' if number == 1 else 'them'}."


def list_unplaced(data: pl.DataFrame) -> list[str]:
    """Sentences about labelled corpora's clips that are in no part of a task.

    Args:
        data: the tidy table `data`.
    """
    noted = data.select("task", "left_out").drop_nulls().unique(maintain_order=True).filter(pl.col("left_out") != _NONE)
    return [
        f"Task {task}: clips that are in no part, by reason: {reasons}. The table of data and splits says what is in each part."
        for task, reasons in noted.iter_rows()
    ]
