"""The footer of a Parquet table: what the table says of itself, read without Arrow.

A footer has one entry `emoadapt`, in JSON: the identity of the table (a digest of its pages, columns and provenance), the number
of its rows, a digest of the names of its rows, the claim and the provenance. It also has a digest of the footer itself, computed
while this digest is all zeros. So no bit of a footer can change unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emoadapt.errors import DataError
from emoadapt.storage.claims import Claim

ENTRY = "emoadapt"
_MAGIC = b"PAR1"
_HERE = b"\x18\x08emoadapt\x18"
"""The key of the entry between the marks that Thrift's compact protocol puts before a string."""
_OPEN = '{"footer": "'
_BLANK = "0" * 32
_FIRST_READ = 8192


class Damaged(DataError):
    """A file whose content is not what was written."""


@dataclass(frozen=True)
class Statement:
    """What a table says of itself.

    Args:
        identity: digest of its content.
        rows: their number.
        keys: digest of the names of its rows, in order.
        claim: what it was made from, where this was stated.
        provenance: names and values of `write_table`.
    """

    identity: str
    rows: int
    keys: str
    claim: Claim | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


def encode_statement(statement: Statement) -> str:
    """The value of the entry, with a blank in the place of the digest of the footer."""
    claim = statement.claim
    content: dict[str, Any] = {"identity": statement.identity, "rows": statement.rows, "keys": statement.keys}
    content |= {} if claim is None else {"made": claim.made, "inputs": claim.inputs}
    return _OPEN + _BLANK + '", ' + json.dumps(content | {"provenance": dict(statement.provenance)})[1:]


def sign_footer(footer: bytes) -> bytes:
    """The same footer with its digest in the place of the blank.

    Args:
        footer: the end of a Parquet file, from behind its pages on.
    """
    begin, _ = _find_statement(footer)
    return _put(footer, begin, digest_bytes(footer))


def read_statement(path: Path | str) -> Statement:
    """What a table says of itself; only its footer is read.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: it is no Parquet file, its footer was changed, or `write_table` did not write it.
    """
    footer = _read_footer(path)
    begin, end = _find_statement(footer)
    if begin < 0:
        raise Damaged(f"{path} does not state its content (damaged, or of another version); delete it and run again")
    stated = footer[begin + len(_OPEN) :][: len(_BLANK)]
    if digest_bytes(_put(footer, begin, _BLANK)).encode() != stated:
        raise Damaged(f"{path} is not a readable Parquet file (its footer was changed); delete it and run again")
    content = json.loads(footer[begin:end])
    claim = Claim(content["made"], content["inputs"]) if "made" in content else None
    return Statement(content["identity"], content["rows"], content["keys"], claim, content["provenance"])


def digest_bytes(content: bytes | memoryview) -> str:
    """Half a SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()[:32]


def _read_footer(path: Path | str) -> bytes:
    """The end of a file, from behind its pages on."""
    # A pipe in the place of a table must not be waited for.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = os.fstat(file).st_size
        tail = os.pread(file, _FIRST_READ, max(0, size - _FIRST_READ)) if size >= 12 else b""
        length = int.from_bytes(tail[-8:-4], "little") + 8
        if tail[-4:] != _MAGIC or length > size - 4:
            raise Damaged(f"{path} is not a readable Parquet file (it has no footer); delete it and run again")
        return tail[-length:] if length <= len(tail) else os.pread(file, length, size - length)
    finally:
        os.close(file)


def _find_statement(footer: bytes) -> tuple[int, int]:
    """Begin and end of the value of our entry; (-1, -1): there is none.

    The value is ASCII without control characters. So are the values that follow it, and the mark is not found in them.
    """
    position = footer.rfind(_HERE) + len(_HERE)
    length = shift = 0
    if position >= len(_HERE):
        for begin, byte in enumerate(footer[position : position + 5], position + 1):
            length, shift = length | (byte & 127) << shift, shift + 7
            if byte < 128:
                return begin, begin + length
    return -1, -1


def _put(footer: bytes, begin: int, digest: str) -> bytes:
    begin += len(_OPEN)
    return footer[:begin] + digest.encode() + footer[begin + len(digest) :]
