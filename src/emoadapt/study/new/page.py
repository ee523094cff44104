"""YAML with comments."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from typing import Any

WIDTH = 116
_PLAIN = re.compile(r"[^\W\d_][\w./+-]*")
_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


class Page:
    """Lines of a YAML file."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str, depth: int = 0) -> None:
        """Write a comment, wrapped."""
        begin = "  " * depth + "# "
        self.lines += textwrap.wrap(
            _write_comment(text),
            WIDTH,
            initial_indent=begin,
            subsequent_indent=begin,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def code(self, text: str, depth: int = 0) -> None:
        """Write a comment that is a line to copy."""
        self.lines.append(f"{'  ' * depth}#   {_write_comment(text)}")

    def entry(self, key: str, value: Any, depth: int = 0, why: str = "") -> None:
        """Write a key with its value, and why it has it: behind it, or above it if that is too long."""
        line = f"{'  ' * depth}{quote(key)}: {write_value(value)}"
        why = " ".join(_write_comment(why).split())
        if why and len(line) + len(why) + 5 <= WIDTH:
            line += f"   # {why}"
        elif why:
            self.note(why, depth)
        self.lines.append(line)

    def head(self, key: str, depth: int = 0, why: str = "") -> None:
        """Write the key of a section."""
        line = f"{'  ' * depth}{quote(key)}:"
        self.lines.append(f"{line}   # {why}" if why else line)

    def blank(self) -> None:
        """Write an empty line."""
        self.lines.append("")

    @property
    def text(self) -> str:
        """The whole file."""
        return "\n".join(self.lines) + "\n"


def _write_comment(text: str) -> str:
    """Text that stays in a comment: labels and names of files may hold what YAML takes for the end of a line, or refuses."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def write_value(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{quote(str(key))}: {write_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(write_value, value)) + "]"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        # YAML reads `1e-05` as text.
        digits, _, power = repr(value).partition("e")
        return f"{float(digits)}e{int(power):+d}" if power else digits
    return str(value) if isinstance(value, int) else quote(str(value))


def quote(text: str) -> str:
    """Text as it must stand in YAML, in a list or mapping too."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if text.isprintable() and "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return json.dumps(text, ensure_ascii=not text.isprintable())
