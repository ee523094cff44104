"""Published papers to compare with: CSV files found by name.

Built-in ones lie in `emoadapt/reporting/papers`, a study's own in the folder `papers` of its plug-ins. `<paper>.csv` holds the
values (see `emoadapt.reporting.reference`), and `<paper>.notes.csv`, where there is one, notes on its tables.
"""

from __future__ import annotations

import os
from pathlib import Path

from emoadapt.errors import ConfigError, name_known
from emoadapt.plugins import FOLDER_VARIABLE, PAPERS

_NOTES = ".notes"


def list_papers() -> list[str]:
    """Names of all papers, sorted."""
    found = {path.stem for folder in _list_folders() for path in folder.glob("*.csv")}
    return sorted(name for name in found if not name.endswith(_NOTES))


def find_paper(name: str) -> list[Path]:
    """Files of a paper: its values, then its notes if it has any.

    Raises:
        ConfigError: there is no paper of that name.
    """
    for folder in _list_folders():
        values, notes = folder / f"{name}.csv", folder / f"{name}{_NOTES}.csv"
        if values.is_file():
            return [values, *([notes] if notes.is_file() else [])]
    raise ConfigError(f"paper {name} is not known; {name_known(name, list_papers())}")


def _list_folders() -> list[Path]:
    own = os.environ.get(FOLDER_VARIABLE)
    built_in = Path(__file__).parents[1] / "reporting" / PAPERS
    return [built_in, *([Path(own, PAPERS)] if own else [])]
