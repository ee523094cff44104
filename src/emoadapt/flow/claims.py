"""Origins of outputs: inputs, settings, code and libraries of a job, their digests, and changes of them in words.

The claim in an output (`emoadapt.storage.claims`) is compared with the origin that the study would give it now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from emoadapt.errors import DataError
from emoadapt.flow.code import digest
from emoadapt.flow.provenance import state_libraries
from emoadapt.storage.caches import read_cache, write_cache
from emoadapt.storage.claims import Claim, state_claim
from emoadapt.storage.identities import read_identity

LIBRARIES = "libraries"
"""Name of the part that holds the versions of libraries."""
STUDY = "study"
"""Name of the part that holds a whole study; its keys are those of the study."""
PARTS = Path("results/.cache/made")
"""Folder of the parts of digests as text, kept to say later what changed. They decide nothing."""
_known: dict[str, dict[str, str]] = {}
"""Digest -> its parts, of this process."""


@dataclass(frozen=True)
class Origin:
    """What the outputs of one job are made from.

    Args:
        inputs: name -> files that the job reads, as in its rule.
        describe: returns name -> settings, code, versions of libraries; JSON where a part holds several keys. A setting is named by
            its key in the study (`finetunings.svm`), since the reason of a job names it so.
        observe: returns the state of what the job reads and no job writes, such as the clips of a corpus.
    """

    inputs: Mapping[str, Sequence[str]]
    describe: Callable[[], Mapping[str, str]]
    observe: Callable[[], str] | None = None

    @cached_property
    def made(self) -> str:
        """Digest (32 hex digits) of settings and code, then of libraries."""
        return name_parts(tuple(self.describe().items()))

    @property
    def outside(self) -> str:
        """State of what the job reads and no job writes."""
        return self.observe() if self.observe else ""

    def list_inputs(self) -> list[str]:
        """All files that the job reads."""
        return list(chain.from_iterable(self.inputs.values()))

    def state(self, made: str | None, outside: str | None = None) -> None:
        """Let this process claim that it makes its outputs from these inputs and libraries, before it reads them.

        Args:
            made: digest that the rule hands over; None: the job was not called by a rule, and claims nothing.
            outside: state of what no job writes, as the rule hands it over.

        Raises:
            DataError: an input is missing or damaged, or does not state its identity; or settings, code or weights are not
                those of the digest any more.
        """
        parts = (_recall_parts(made) if made else None) or self.describe()
        state_libraries(pair.partition("==")[0] for pair in parts.get(LIBRARIES, "").split())
        if made is not None:
            self._refuse_change_since(made)
            state_claim(Claim(made, digest_inputs(self.list_inputs(), outside or "", identify)))

    def _refuse_change_since(self, made: str) -> None:
        """Refuse to make outputs by the code of now that would claim the code of when the run began."""
        if decide(made) != decide(self.made):
            raise DataError(
                f"settings or code of this job are not those that the run began with: {explain_change(made, self.made)}. "
                "Run the same command again"
            )


def identify(path: str) -> str:
    """Identity of an input.

    Raises:
        DataError: it is missing or damaged, or does not state its identity.
    """
    try:
        return read_identity(Path(path))
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing; compute it with `snakemake {path}` and the options of your study"
        ) from None


def digest_inputs(paths: Iterable[str], outside: str, identify: Callable[[str], str]) -> str:
    """Digest (16 hex digits) of the identities of files, in whatever order, and of what no job writes."""
    return digest(sorted({str(path): identify(str(path)) for path in paths}.items()), outside)


@cache
def name_parts(parts: tuple[tuple[str, str], ...]) -> str:
    """Digest of parts; those of settings and code can be compared without those of libraries (`decide`)."""
    named = dict(parts)
    made = digest(sorted((n, v) for n, v in parts if n != LIBRARIES)) + digest(named.get(LIBRARIES, ""))
    _known[made] = named
    return made


def decide(made: str) -> str:
    """The half of a digest that settings and code decide."""
    return made[: len(made) // 2]


def keep_parts(made: str) -> None:
    """Keep the parts of a digest on disk."""
    path = PARTS / f"{made}.json"
    if made in _known and not path.exists():
        write_cache(path, _known[made])


def keep_outside(path: str, made: str, outside: str) -> None:
    """Keep what no job writes, as an output is made from it, to say later what changed."""
    write_cache(PARTS / f"outside.{digest(path)}.json", {"made": made, "outside": outside})


def explain_inputs(path: str, made: str, outside: str) -> str:
    """What differs in the inputs of an output of the same settings: the labels of some corpora, other inputs, or one of the two."""
    kept = read_cache(PARTS / f"outside.{digest(path)}.json")
    if not isinstance(kept, dict) or decide(str(kept.get("made"))) != decide(made):
        return "made from other inputs or labels"
    before = str(kept.get("outside")).split()
    changed = sorted({pair.partition("=")[0] for pair in {*before} ^ {*outside.split()}})
    return (
        f"made from other labels of {', '.join(changed)}" if changed else "made from other inputs, and the same labels"
    )


def explain_change(before: str, now: str) -> str:
    """What differs between two digests, in words, as far as their parts are known: `finetunings.mlp.epochs: 2 -> 3`."""
    old, new = _recall_parts(before), _recall_parts(now)
    if old is None or new is None:
        return "made with other settings or code" if decide(before) != decide(now) else "made with other libraries"
    return ", ".join(_compare(old, new)) or "made with other settings, code or libraries"


def _recall_parts(made: str) -> dict[str, str] | None:
    """The parts of a digest; None where they are not known, or are not what the digest is of."""
    if made in _known:
        return _known[made]
    found = read_cache(PARTS / f"{made}.json")
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        return None
    return found if name_parts(tuple(found.items())) == made else None


def _compare(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    before, now = dict(_flatten(old)), dict(_flatten(new))
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) == now.get(name):
            continue
        if name == "code":
            yield "code changed"
        elif max(len(str(side.get(name))) for side in (before, now)) > 60:
            yield f"{name} changed"
        else:
            yield f"{name}: {before.get(name, 'none')} -> {now.get(name, 'none')}"


def _flatten(parts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys with dots -> values; texts that hold JSON or versions are taken apart."""
    for name, value in parts.items():
        if name == LIBRARIES:
            yield from ((library, version) for library, _, version in (w.partition("==") for w in value.split()))
            continue
        found = _read_json(value)
        if isinstance(found, dict):
            yield from _flatten(found, "" if (prefix, name) == ("", STUDY) else f"{prefix}{name}.")
        else:
            yield prefix + name, found


def _read_json(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
    except ValueError:
        return value
