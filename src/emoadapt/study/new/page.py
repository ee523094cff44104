"""YAML with comments."""

from __future__ import annotations

import textwrap
from typing import Any

from emoadapt.errors import quote, write_value

WIDTH = 116


class Page:
    """Lines of a YAML file."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str, depth: int = 0) -> None:
        """Write a comment, wrapped."""
        self._wrap(text, "  " * depth + "# ", "")

    def item(self, text: str) -> None:
        """Write an item of a list in a comment, wrapped."""
        self._wrap(text, "# ", "* ")

    def _wrap(self, text: str, begin: str, bullet: str) -> None:
        self.lines += textwrap.wrap(
            _write_comment(text),
            WIDTH,
            initial_indent=begin + bullet,
            subsequent_indent=begin + " " * len(bullet),
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
