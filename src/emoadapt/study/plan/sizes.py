"""Sizes of the corpora of a study that may lack some of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.config import load_study, merge_study
from emoadapt.corpora.base import Utterance
from emoadapt.errors import ClipError, ConfigError, EmoadaptError
from emoadapt.listing.reading import read_utterances
from emoadapt.plugins import read_declaration
from emoadapt.schema import SAMPLE_RATE
from emoadapt.study.graph import Graph

if TYPE_CHECKING:
    from emoadapt.config import AnyCorpus, Study

PROBED = 32
"""Clips whose headers tell the mean length of a corpus that has not been extracted yet."""


@dataclass(frozen=True)
class CorpusSize:
    """What is known of a corpus.

    Args:
        clips: utterances; None = not known.
        seconds: of all of them; None = not known.
        speakers: None = not known.
        source: where this is from: `assumed`, `extracted`, `listed`, `missing`.
        needs: why it cannot be used here; empty if it can.
    """

    clips: int | None = None
    seconds: float | None = None
    speakers: int | None = None
    source: str = "missing"
    needs: str = ""


def read_plan_study(paths: Sequence[str | Path]) -> tuple[Study, dict[str, str]]:
    """Read a study like `read_study`, but keep missing corpora.

    Returns:
        The study, and for each corpus that is not here why; its root is a folder that does not exist.

    Raises:
        ConfigError: the configuration cannot be used for another reason.
    """
    values = merge_study(paths)
    missing: dict[str, str] = {}
    corpora = values.get("corpora")
    for name, corpus in corpora.items() if isinstance(corpora, dict) else ():
        if not isinstance(corpus, dict):
            continue
        corpus.pop("optional", None)
        unset = _name_variables(corpus)
        for key in list(corpus):
            if isinstance(corpus[key], str):
                corpus[key] = _VARIABLE.sub(lambda found: os.environ.get(found[1], f"missing/{found[1]}"), corpus[key])
        if unset:
            missing[name] = f"{', '.join(unset)} is not set"
        elif (
            not read_declaration("corpora", str(corpus.get("importer")), "GENERATED")
            and isinstance(corpus.get("root"), str)
            and not Path(corpus["root"]).is_dir()
        ):
            missing[name] = f"its root {corpus['root']} is missing"
    if isinstance(values.get("models_dir"), str) and _name_variables({"": values["models_dir"]}):
        values["models_dir"] = None
    return load_study(values), missing


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _name_variables(section: Mapping[str, Any]) -> list[str]:
    """Environment variables that a section names and that are not set."""
    texts = [value for value in section.values() if isinstance(value, str)]
    return list(dict.fromkeys(n for text in texts for n in _VARIABLE.findall(text) if n not in os.environ))


def parse_assumptions(texts: Iterable[str]) -> dict[str, CorpusSize]:
    """Parse the sizes of corpora on the command line: `NAME=CLIPS[:HOURSh][:SPEAKERSs]`, several separated by commas.

    Raises:
        ConfigError: one of them cannot be read.
    """
    found = {}
    for text in (part.strip() for texts_ in texts for part in texts_.split(",")):
        match = re.fullmatch(r"(\w+)=(\d+)(?::([\d.]+)h)?(?::(\d+)s)?", text)
        if match is None:
            raise ConfigError(
                f"--assume {text}: cannot be read; write NAME=CLIPS, NAME=CLIPS:HOURSh or NAME=CLIPS:HOURSh:SPEAKERSs, "
                "for example msp_podcast=151654:238h:1900s"
            )
        name, clips, hours, speakers = match.groups()
        seconds = None if hours is None else 3600 * float(hours)
        found[name] = CorpusSize(int(clips), seconds, None if speakers is None else int(speakers), "assumed")
    return found


def measure_corpora(
    study: Study,
    missing: Mapping[str, str],
    assumed: Mapping[str, CorpusSize],
    read: Callable[[str, AnyCorpus], Sequence[Utterance]] = read_utterances,
) -> dict[str, CorpusSize]:
    """Size of every corpus: as assumed, else from its extracted audio, else from a listing and some headers.

    Args:
        study: the study.
        missing: corpus that is not here -> why.
        assumed: sizes that count in the place of measured ones.
        read: lists a corpus, of its name and section.

    Raises:
        ConfigError: a size is assumed for a corpus that the study does not have.
    """
    if unknown := [name for name in assumed if name not in study.corpora]:
        raise ConfigError(f"--assume: there is no corpus {', '.join(unknown)}; there is {', '.join(study.corpora)}")
    sizes = {}
    for name, config in study.corpora.items():
        if name in missing:
            sizes[name] = replace(assumed.get(name, CorpusSize()), needs=missing[name])
            continue
        try:
            utterances = read(name, config)
        except EmoadaptError as error:
            sizes[name] = replace(assumed.get(name, CorpusSize()), needs=str(error))
            continue
        speakers = len({u.speaker for u in utterances if u.speaker}) or None
        seconds = _read_extracted(study, name)
        listed = CorpusSize(len(utterances), seconds, speakers, "listed" if seconds is None else "extracted")
        if seconds is None:
            mean = _probe_seconds(Path(config.root), utterances)
            listed = replace(listed, seconds=None if mean is None else mean * len(utterances))
        sizes[name] = assumed.get(name, listed)
    return sizes


def _read_extracted(study: Study, corpus: str) -> float | None:
    """Seconds of a corpus's extracted audio; None unless all shards are there."""
    paths = [Path(path) for path in Graph(study).feature_shards("audio", corpus)]
    if not all(path.is_file() for path in paths):
        return None
    from emoadapt.storage.tables import read_table

    samples = [n or 0 for n in read_table(paths, columns=["n_samples"]).column("n_samples").to_pylist()]
    return sum(samples) / SAMPLE_RATE


def _probe_seconds(root: Path, utterances: Sequence[Utterance]) -> float | None:
    """Mean length of some clips spread over a corpus, from time stamps or file headers; None where it cannot be found."""
    chosen = utterances[:: max(1, len(utterances) // PROBED)][:PROBED]
    lengths = [length for u in chosen if (length := _probe(root, u)) is not None]
    return sum(lengths) / len(lengths) if lengths else None


def _probe(root: Path, utterance: Utterance) -> float | None:
    if utterance.end is not None:
        return utterance.end - (utterance.start or 0.0)
    path = root / utterance.media
    if not path.is_file():
        return None
    from emoadapt.media import open_container

    try:
        with open_container(path) as container:
            return None if container.duration is None else container.duration / 1e6
    except (ClipError, OSError, ValueError):
        return None
