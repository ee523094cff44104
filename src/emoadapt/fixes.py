"""Proposals for values of keys that would fix a problem."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from emoadapt.errors import Change, Problem, Removal, find_near, name_known


def find_unknown(path: str, names: Any, known: Collection[Any], kind: str = "") -> list[Problem]:
    """Find names that the study does not define, or that no plug-in has.

    Args:
        path: key that holds them.
        names: its value: a name, a list of names, or a mapping of names.
        known: names that may stand there.
        kind: of plug-in that is named, such as `pooling`; empty for what the study defines.
    """
    ordered, lacking = sorted(map(str, known)), "known" if kind else "defined"
    return [
        Problem(
            path,
            f"{kind} {name} is not {lacking}; {name_known(str(name), ordered)}".lstrip(),
            rename(path, names, name, known),
        )
        for name in ([names] if isinstance(names, str) else names)
        if name not in known
    ]


def rename(path: str, names: Any, wrong: Any, known: Collection[Any]) -> Change:
    """Propose the nearest of the names that are known, in the place of a wrong one.

    Args:
        path: key that holds it.
        names: value of the key: a name, a list of names, or a mapping of names.
        wrong: the name.
        known: names that may stand there.
    """
    near = find_near(str(wrong), map(str, known))
    right = {str(name): name for name in known}.get(near or "", "NAME")
    why = "" if near else f"one of {', '.join(map(str, known))}"
    if isinstance(names, Mapping):
        return Change(path, {right if name == wrong else name: value for name, value in names.items()}, why)
    if isinstance(names, str):
        return Change(path, right, why)
    return Change(path, list(dict.fromkeys(right if name == wrong else name for name in names)), why)


def take_out(path: str, names: Collection[Any] | None, *wrong: Any) -> Change | Removal:
    """Propose a list or mapping without some names; the key goes with the last one."""
    if isinstance(names, Mapping):
        left: Any = {name: value for name, value in names.items() if name not in wrong}
    else:
        left = [name for name in names or () if name not in wrong]
    return Change(path, left) if left else Removal(path)


def leave_out(path: str, names: Collection[Any] | None, *wrong: Any) -> Change:
    """Propose a limit without some names. The key stays with the last one, since without it there would be no limit."""
    return Change(path, [name for name in names or () if name not in wrong] or ["NAME"])


def limit(path: str, keys: Sequence[str], unfit: Mapping[Sequence[str], bool]) -> Iterator[Change | Removal]:
    """Propose to limit a section to names that fit; to remove it where none does.

    Args:
        path: of the section.
        keys: that limit it, such as backbones and tasks.
        unfit: a name for each of the keys -> whether these do not fit together.
    """
    found = False
    for place, key in enumerate(keys):
        wrong = {names[place] for names, is_unfit in unfit.items() if is_unfit}
        if left := [name for name in dict.fromkeys(names[place] for names in unfit) if name not in wrong]:
            found = True
            yield Change(f"{path}.{key}", left)
    if not found:
        yield Removal(path)


def add_video(corpora: Iterable[str]) -> list[Change]:
    """Propose video for corpora."""
    return [Change(f"corpora.{name}.modalities", ["audio", "video"]) for name in corpora]


def name_layers(highest: int) -> str:
    """The layers of a backbone, given the number of the last: `layers 0 to 4`."""
    return f"layers 0 to {highest}" if highest else "layer 0 alone"


def lower_layer(path: str, layers: Any, highest: int) -> Iterator[Change]:
    """Propose layers that a backbone has.

    Args:
        path: key that holds a layer, or a list of them.
        layers: its value.
        highest: number of the last layer.
    """
    if not isinstance(layers, (tuple, list)):
        yield Change(path, highest)
    elif left := [layer for layer in layers if not isinstance(layer, int) or layer <= highest]:
        yield Change(path, left)
