"""Files of text that are an output, such as a page: their claim stands in them, in one line."""

from __future__ import annotations

import re
from pathlib import Path

from emoadapt.storage.claims import Claim, current_claim
from emoadapt.storage.footers import digest_bytes

_LINE = re.compile(rb"emoadapt made (\w+) of (\w+)")


def describe_claim() -> str:
    """The line to put into a text, for example as a comment; empty where no claim was stated."""
    claim = current_claim()
    return f"emoadapt made {claim.made} of {claim.inputs}" if claim else ""


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
    """
    found = _LINE.search(path.read_bytes())
    return Claim(found[1].decode(), found[2].decode()) if found else None
