"""openSMILE's configurations, reduced to the components that one level needs.

The configurations of the Python package build contours, their deltas and all functionals at once, whichever is asked for.
Components run one after the other and hand on whole levels, so that leaving out those from which nothing leads to the
sink changes no bit of what reaches it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from emoadapt.errors import ModelError

SINK = "extsink"
"""Component that hands over the descriptors, as the package names it."""

_OPTION = re.compile(r"\\cm\[(\w+)(?:\(\w+\))?(?:\{([^}]*)\})?(?::[^\]]*)?\]")
_INCLUDE = re.compile(r"\\\{(.*)\}")
_SECTION = re.compile(r"\[(\w+):\w+\]")
_INSTANCE = re.compile(r"instance\[(\w+)\]\.type\s*=\s*(\w+)")
_LEVELS = re.compile(r"(\w+)\.dmLevel\s*=\s*(.*)")
_COMMENT = (";", "//", "#", "%")


class Windows(NamedTuple):
    """Analysis windows and their common step, in s."""

    pitch: float
    """For pitch, harmonics and voice quality: openSMILE's framer `frame60`."""
    spectrum: float
    """For loudness, spectrum, cepstrum and formants: its framer `frame25`, which despite its name is 20 ms by default."""
    step: float
    """One for both, since openSMILE joins their descriptors frame by frame."""


WINDOWS = {
    "paper_pitch60": Windows(0.060, 0.032, 0.016),
    "paper": Windows(0.032, 0.032, 0.016),
    "stock": Windows(0.060, 0.020, 0.010),
}
"""`stock` are those of eGeMAPSv02 and of ComParE_2016 alike."""


@dataclass(frozen=True)
class Component:
    """One openSMILE component: its class, and its settings as lines `field = value`."""

    kind: str
    settings: tuple[str, ...]

    def levels(self, *, written: bool) -> list[str]:
        """Levels of data that it writes, or reads."""
        found = [match for line in self.settings if (match := _LEVELS.fullmatch(line))]
        return [
            level.strip() for end, levels in (m.groups() for m in found) if (end == "writer") == written
            for level in levels.split(";")
        ]  # fmt: skip


def read_components(main: Path, options: Mapping[str, str]) -> dict[str, Component]:
    """Read a configuration with all files that it includes.

    Settings of the component manager, which concern what is printed, are left out.

    Args:
        main: the configuration file.
        options: values of its options; the others get the defaults that it declares.

    Returns:
        Name -> component, in the order in which openSMILE creates and runs them.
    """
    kinds: dict[str, str] = {}
    settings: dict[str, list[str]] = defaultdict(list)
    name = ""
    for line in _read_lines(main, dict(options)):
        if section := _SECTION.fullmatch(line):
            name = section[1]
        elif instance := _INSTANCE.fullmatch(line):
            kinds[instance[1]] = instance[2]
        else:
            settings[name].append(line)
    return {name: Component(kind, tuple(settings[name])) for name, kind in kinds.items()}


def set_windows(components: Mapping[str, Component], windows: Windows) -> dict[str, Component]:
    """Give the two framers other windows and another step.

    Raises:
        ModelError: there are other framers than the two known here.
    """
    framers = {name.rpartition("_")[2]: name for name, c in components.items() if c.kind == "cFramer"}
    sizes = {"frame60": windows.pitch, "frame25": windows.spectrum}
    if framers.keys() != sizes.keys():
        raise ModelError(
            f"openSMILE's configuration has the framers {', '.join(framers) or 'none'} in place of {', '.join(sizes)}; "
            "install the locked version of opensmile"
        )
    changed = dict(components)
    for short, name in framers.items():
        kept = [line for line in components[name].settings if not re.match(r"frame(Size|Step)\b", line)]
        own = (f"frameSize = {sizes[short]:.6f}", f"frameStep = {windows.step:.6f}")
        changed[name] = replace(components[name], settings=(*kept, *own))
    return changed


def keep_needed(components: Mapping[str, Component]) -> dict[str, Component]:
    """The components from which data reach the sink, in the same order."""
    writers = {level: name for name, component in components.items() for level in component.levels(written=True)}
    needed, waiting = {"dataMemory"}, [SINK]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [writers[level] for level in components[name].levels(written=False)]
    return {name: component for name, component in components.items() if name in needed}


def write_configuration(components: Mapping[str, Component]) -> str:
    """One file's text that makes these components."""
    lines = ["[componentInstances:cComponentManager]"]
    lines += [f"instance[{name}].type = {component.kind}" for name, component in components.items()]
    for name, component in components.items():
        lines += ["", f"[{name}:{component.kind}]", *component.settings]
    return "\n".join(lines) + "\n"


def _read_lines(path: Path, options: dict[str, str]) -> Iterator[str]:
    """Lines that say something, includes and options replaced; a default once declared holds from there on."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith(_COMMENT):
            continue
        line = _OPTION.sub(lambda match: options.setdefault(match[1], match[2] or ""), line)
        if include := _INCLUDE.fullmatch(line):
            yield from _read_lines(path.parent / include[1], options)
        else:
            yield line
