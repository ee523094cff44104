"""Devices of the processes that predict."""

from __future__ import annotations

import re

from emoadapt.errors import NO_GPU, ConfigError
from emoadapt.machine.torch_device import find_device


def choose_devices(named: str, jobs: int | None) -> list[str]:
    """Choose a device for each process.

    Args:
        named: `auto`, `cpu`, `cuda`, or GPUs by number, `cuda:0,cuda:1`.
        jobs: number of processes, which take turns with the devices; None: one for each GPU that is named by number, else one.

    Raises:
        ConfigError: it is none of these, or there is no such GPU.
    """
    if named in ("auto", "cpu", "cuda"):
        found = find_device(named)
        devices: list[str] = _list_gpus() if found == "cuda" and (jobs or 1) > 1 else [found]
    else:
        devices = named.replace(" ", "").split(",")
        _check_gpus(named, devices)
    count = jobs or len(devices)
    if count < len(devices) and named not in ("auto", "cuda"):
        raise ConfigError(
            f"{named} are {len(devices)} devices for {count} jobs; give as many jobs, or leave --jobs out"
        )
    return [devices[place % len(devices)] for place in range(count)]


def _check_gpus(named: str, devices: list[str]) -> None:
    if unknown := [device for device in devices if not re.fullmatch(r"cuda:\d+", device)]:
        raise ConfigError(f"there is no device {unknown[0]!r}; write auto, cpu, cuda, or GPUs by number: cuda:0,cuda:1")
    known = _list_gpus()
    if not known:
        raise ConfigError(NO_GPU)
    if lacking := [device for device in devices if device not in known]:
        raise ConfigError(f"there is no {lacking[0]} on this machine; it has {', '.join(known)}")


def _list_gpus() -> list[str]:
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
