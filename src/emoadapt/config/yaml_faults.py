"""One sentence for a file that is no YAML: the line that has to be corrected, and what to do.

The parser names the line where it had to stop, which is often a later one. So the lines before it are read once more, for what people get
wrong: indents, quotation marks, brackets and colons.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml

from emoadapt.errors import name_count

_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#'"\[\]{},&*!|>%@`-][^#'"\[\]{},]*?|-[^\s#][^#]*?)\s*:(?:\s+(.*)|$)"""
)
"""A key at the beginning of a line, and its value."""
_GLUED = re.compile(r"([A-Za-z_]\w*):(\S.*)")
"""A key without a space behind its colon."""
_CLOSING = {"[": "]", "{": "}"}
_NAMED = re.compile(r"^(?:[&!]\S*(?:\s+|$))+")
"""Anchors and tags before a value."""
_WIDTH = 60
NO_KEY = "it is no `key: value`; write a colon and a space behind the key"


class _Fault(Exception):
    """Raised with the line (from 0) and what is wrong with it."""


def explain_fault(error: yaml.YAMLError, text: str) -> str:
    """What is wrong with a text that the parser refused, with the line.

    Args:
        error: of the parser.
        text: all of the file.
    """
    mark, said = getattr(error, "problem_mark", None), str(getattr(error, "problem", ""))
    if mark is None:
        return " ".join(str(error).split())
    if "'\\t'" in said:
        return f"line {mark.line + 1} holds a tab; indent with spaces"
    lines = text.splitlines() or [""]
    last = min(mark.line, len(lines) - 1)
    try:
        _Reader(lines).read(last)
    except _Fault as fault:
        line, said = fault.args
    else:
        line, said = last, _translate(said, lines[last])
    shown = lines[line].strip()
    shown = f"{shown[:_WIDTH]} ..." if len(shown) > _WIDTH else shown
    return f"line {line + 1}, `{shown}`: {said}"


def _translate(said: str, line: str) -> str:
    """The parser's own words for a fault, as advice."""
    if found := re.search(r"character ('.'|\"'\") that cannot start", said):
        return f"a value must not begin with {found[1]}; quote it"
    if said.startswith("expected alphabetic") and (found := re.search(r"[*&]\S*", line)):
        return f"a value that begins with {found[0][0]} must be quoted: '{found[0]}'"
    if said.startswith("mapping values are not allowed"):
        return "its value holds a colon with a space; quote the value"
    if said.startswith("expected ',' or"):
        return "a comma is missing between two entries, or a quotation mark around one"
    if said.startswith("could not find expected ':'"):
        return NO_KEY
    return " ".join(said.split())


@dataclass
class _Level:
    """Lines of one indent, below one key.

    Args:
        indent: spaces.
        line: the first of them.
        text: whether that is no `key: value`.
    """

    indent: int
    line: int
    text: bool = False


@dataclass
class _Reader:
    """Reads lines as people mean them, up to the first fault.

    Args:
        lines: of the file.
    """

    lines: Sequence[str]
    levels: list[_Level] = field(default_factory=list)
    opened: bool = True
    """Whether the line before has a key without a value, so that deeper lines may follow."""
    brackets: list[tuple[str, int]] = field(default_factory=list)
    """Brackets that are open, and their lines."""
    quote: tuple[str, int] | None = None
    """The quotation mark that is open, and its line."""
    text_from: int | None = None
    """Indent from which a line belongs to a text on several lines (`|`)."""
    text_begins: bool = False
    """Whether its first line comes next, which sets the indent of all."""

    def read(self, last: int) -> None:
        """Read up to the line where the parser stopped.

        Raises:
            _Fault: the line and what is wrong with it.
        """
        for number in range(last + 1):
            before = self.quote
            try:
                self._read_line(number)
            except _Fault:
                self._refuse_quote(before)
                raise
            if number == last:
                self._refuse_quote(before)
        self._refuse_quote(self.quote)
        if self.levels and self.levels[-1].text and self.levels[-1].line == last:
            raise _Fault(last, NO_KEY)
        if self.brackets:
            bracket, line = self.brackets[-1]
            where = f" before line {last + 1}" if last > line else ""
            comma = ", or add the comma that is missing" if last > line else ""
            raise _Fault(line, f"its `{bracket}` is not closed{where}; close it with `{_CLOSING[bracket]}`{comma}")

    def _refuse_quote(self, quote: tuple[str, int] | None) -> None:
        """Refuse a quotation mark that was not closed in its line."""
        if quote:
            raise _Fault(quote[1], f"a quotation mark ({quote[0]}) is opened and not closed in this line; close it")

    def _read_line(self, number: int) -> None:
        line = self.lines[number]
        rest = line.lstrip(" ")
        indent = len(line) - len(rest)
        if self.quote or self.brackets:
            self._read_flow(line, number)
        elif rest.strip() and not rest.startswith(("#", "---", "...", "%")):
            if self.text_from is not None and indent >= self.text_from:
                self.text_from = indent if self.text_begins else self.text_from
                self.text_begins = False
                return
            self.text_from = None
            self._read_block(rest.rstrip(), indent, number)

    def _read_block(self, rest: str, indent: int, number: int) -> None:
        """A line outside of brackets and quotation marks."""
        while rest == "-" or rest.startswith("- "):
            self._enter(indent, number)
            self.opened = True
            inner = rest[1:].lstrip(" ")
            indent, rest = indent + len(rest) - len(inner), inner
        found = _KEY.match(rest)
        if found is None:
            self._read_text(rest, indent, number)
            return
        self._enter(indent, number)
        value = _NAMED.sub("", found[2] or "")
        self.opened = not value or value.startswith("#")
        if value.startswith(("|", ">")):
            self.text_from, self.text_begins = indent + 1, True
        elif value.startswith(("[", "{", '"', "'")):
            self._read_flow(value, number)

    def _read_text(self, rest: str, indent: int, number: int) -> None:
        """A line that is no `key: value`: an entry of a list, the rest of a value, or a fault."""
        if (glued := _GLUED.fullmatch(rest)) and not rest.startswith(("http:", "https:")):
            raise _Fault(number, f"a space is missing behind the colon; write `{glued[1]}: {glued[2]}`")
        if rest and not self.opened and any(level.indent == indent for level in self.levels):
            raise _Fault(number, NO_KEY)
        if rest.startswith(("[", "{", '"', "'")):
            self._read_flow(rest, number)
        elif rest[:1].isalnum() and self.opened:
            self.levels.append(_Level(indent, number, text=True))
        self.opened = self.opened and not rest

    def _enter(self, indent: int, number: int) -> None:
        """Find the level of a line by its indent.

        Raises:
            _Fault: there is none.
        """
        left = None
        while self.levels and self.levels[-1].indent > indent:
            left = self.levels.pop()
        above = self.levels[-1].indent if self.levels else -1
        if self.levels and self.levels[-1].text:
            raise _Fault(self.levels[-1].line, NO_KEY)
        if above == indent:
            return
        if left is None and (self.opened or not self.levels):
            self.levels.append(_Level(indent, number))
            return
        odd, right = self._find_odd(indent, number, left)
        wrong = len(self.lines[odd]) - len(self.lines[odd].lstrip(" "))
        said = f"its indent of {name_count(wrong, 'space')} fits no key above"
        raise _Fault(odd, f"{said}; indent it like its neighbours, with {name_count(right, 'space')}")

    def _find_odd(self, indent: int, number: int, left: _Level | None) -> tuple[int, int]:
        """The line to correct, and its right indent: it may be one above, beside which this one fits the rest of the file.

        Args:
            indent: of this line.
            number: this line.
            left: the level nearest to it of those that it ends.
        """
        step, top = _find_step(self.lines), self.levels[-1] if self.levels else _Level(0, number)
        if left and not self.levels and indent == 0:
            return left.line, 0
        above = self.levels[-2].indent if len(self.levels) > 1 else None
        outer = self.levels[-3].indent if len(self.levels) > 2 else 0
        if left is None and above is not None and self.levels[-2].line == top.line and above - outer not in (0, step):
            return top.line, indent - (top.indent - above)  # an entry of a list
        if above is not None and indent - above == step != top.indent - above:
            return top.line, indent
        if left and above is not None and left.line == top.line and top.indent - above not in (0, step):
            return top.line, indent - (left.indent - top.indent)  # an entry of a list
        if left and indent - top.indent == step != left.indent - top.indent:
            return left.line, indent
        return number, left.indent if left else top.indent

    def _read_flow(self, text: str, number: int) -> None:
        """Open and close brackets and quotation marks."""
        at, begins = 0, not self.quote
        while at < len(text):
            sign = text[at]
            if self.quote:
                if (sign == "\\" and self.quote[0] == '"') or (
                    sign == self.quote[0] and text[at + 1 : at + 2] == "'" == sign
                ):
                    at += 1
                elif sign == self.quote[0]:
                    self.quote = None
            elif sign in "\"'" and begins:
                self.quote = (sign, number)
            elif sign in _CLOSING:
                self.brackets.append((sign, number))
            elif sign in _CLOSING.values():
                self._close(sign, number)
            elif sign == "#" and text[at - 1 : at] in ("", " "):
                return
            begins = sign in "[{,:" or (sign == " " and begins)
            at += 1

    def _close(self, sign: str, number: int) -> None:
        if self.brackets and _CLOSING[self.brackets[-1][0]] == sign:
            self.brackets.pop()
        elif self.brackets:
            bracket, line = self.brackets[-1]
            where = "" if line == number else f" of line {line + 1}"
            raise _Fault(number, f"`{sign}` does not close the `{bracket}`{where}; write `{_CLOSING[bracket]}` first")


def _find_step(lines: Sequence[str]) -> int:
    """The usual number of spaces by which a file indents what is below a key."""
    indents = [(len(line) - len(line.lstrip(" ")), line.rstrip()) for line in lines if line.split("#")[0].strip()]
    steps = Counter(
        below - above
        for (above, line), (below, _) in itertools.pairwise(indents)
        if line.endswith(":") and below > above
    )
    return max(steps, key=lambda step: (steps[step], step == 2), default=2)
