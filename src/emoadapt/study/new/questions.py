"""Questions on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from emoadapt.study.new.drafts import Ask, Wishes, accept


def ask(question: str, allowed: Sequence[str], default: str) -> str:
    """Ask until the answer is allowed; an empty one, or the end of input, is the default."""
    while True:
        try:
            answer = input(f"{question} ({', '.join(allowed)}) [{default}] ").strip()
        except EOFError:
            return default
        if not answer:
            return default
        close = [one for one in allowed if one.casefold().startswith(answer.casefold())]
        if answer in allowed or len(close) == 1:
            return answer if answer in allowed else close[0]


def ask_folder(wishes: Wishes) -> Path | None:
    """Ask for the folder of the clips; None where nobody can be asked."""
    if not wishes.asks:
        return None
    try:
        return Path(input("Folder of your audio or video files? ").strip()).expanduser()
    except EOFError:
        return None


def choose_ask(flags: bool) -> Ask:
    """Ask a person on a terminal; answer by defaults elsewhere, and where flags were given."""
    return ask if not flags and sys.stdin.isatty() and sys.stdout.isatty() else accept
