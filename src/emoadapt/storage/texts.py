"""Files of text that are an output, such as a page: their claim and a digest of the text stand in them, in one line."""

from __future__ import annotations

import re
from pathlib import Path

from emoadapt.storage.claims import Claim, current_claim
from emoadapt.storage.files import write_text
from emoadapt.storage.footers import Damaged, digest_bytes

_LINE = re.compile(rb"emoadapt made (\w+) of (\w+) as (\w{32})")
_BLANK = "0" * 32


def describe_claim() -> str:
    """The line to put into a text, for example as a comment; empty where no claim was stated."""
    claim = current_claim()
    return f"emoadapt made {claim.made} of {claim.inputs} as {_BLANK}" if claim else ""


def write_claimed(path: Path, text: str) -> None:
    """Write a text, with its digest in its line, if it has one."""
    line = describe_claim()
    identity = digest_bytes(text.replace(line, "", 1).encode()) if line else _BLANK
    write_text(path, text.replace(line, line.replace(_BLANK, identity), 1))


def read_identity(path: Path) -> str:
    """Digest of a text without its line.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return digest_bytes(_LINE.sub(b"", path.read_bytes(), count=1))


def read_claim(path: Path) -> Claim | None:
    """What a text was made from; None where it has no such line.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: the text is not what was written.
    """
    text = path.read_bytes()
    found = _LINE.search(text)
    if found is None:
        return None
    if digest_bytes(text[: found.start()] + text[found.end() :]).encode() != found[3]:
        raise Damaged(f"{path} is not what was written; delete it and run again")
    return Claim(found[1].decode(), found[2].decode())
