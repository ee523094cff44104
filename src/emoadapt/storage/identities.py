"""Identity and claim of any output: a table, a folder, or a file of text."""

from __future__ import annotations

from pathlib import Path

from emoadapt.storage import folders, texts
from emoadapt.storage.claims import Claim
from emoadapt.storage.footers import read_statement


def read_identity(path: Path) -> str:
    """Digest of the content of an output, without its claim; of a table or folder as it states it itself.

    Raises:
        FileNotFoundError: a file is missing.
        DataError: it is damaged, or does not state its identity.
    """
    if path.suffix == ".parquet":
        return read_statement(path).identity
    return folders.read_identity(path) if path.is_dir() else texts.read_identity(path)


def read_claim(path: Path) -> Claim | None:
    """What an output was made from; None where it was not stated.

    Raises:
        FileNotFoundError: a file is missing.
        DataError: it is damaged.
    """
    if path.suffix == ".parquet":
        return read_statement(path).claim
    return folders.read_claim(path) if path.is_dir() else texts.read_claim(path)
