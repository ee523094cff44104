"""Templates of HTML pages, with the style and script that they embed."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def load_template(path: Path) -> Template:
    """Load a template that escapes what it shows, and fails on a name that it was not given."""
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(path.name)


def join_files(*paths: Path) -> str:
    """The text of several files, one after the other."""
    return "".join(path.read_text(encoding="utf-8") for path in paths)


def hash_script(script: str) -> str:
    """SHA-256 of a script in base64, as a content security policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
