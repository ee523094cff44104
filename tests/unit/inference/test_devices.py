"""Devices of the processes that predict."""

from __future__ import annotations

import pytest
import torch

from emoadapt.errors import ConfigError
from emoadapt.inference.devices import choose_devices


def set_gpus(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
    monkeypatch.setattr(
        "emoadapt.inference.devices.find_device", lambda named: "cuda" if number and named != "cpu" else "cpu"
    )


@pytest.mark.parametrize(
    ("named", "jobs", "devices"),
    [
        ("auto", None, ["cuda"]),
        ("cuda", 1, ["cuda"]),
        ("auto", 3, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cpu", 2, ["cpu", "cpu"]),
        ("cuda:1", None, ["cuda:1"]),
        ("cuda:1, cuda:0", None, ["cuda:1", "cuda:0"]),
        ("cuda:0,cuda:1", 4, ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]),
    ],
)
def test_processes_take_turns_with_the_devices(
    named: str, jobs: int | None, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_gpus(monkeypatch, 2)
    assert choose_devices(named, jobs) == devices


@pytest.mark.parametrize(
    ("named", "jobs", "gpus", "said"),
    [
        ("gpu", None, 2, "there is no device 'gpu'; write auto, cpu, cuda, or GPUs by number: cuda:0,cuda:1"),
        ("", None, 2, "there is no device ''; write auto"),
        ("cuda:0,cpu", None, 2, "there is no device 'cpu'; write auto"),
        ("cuda:2", None, 2, "there is no cuda:2 on this machine; it has cuda:0, cuda:1"),
        ("cuda:0", None, 0, "device is cuda, but no GPU was found"),
        ("cuda:0,cuda:1", 1, 2, "cuda:0,cuda:1 are 2 devices for 1 jobs; give as many jobs, or leave --jobs out"),
    ],
)
def test_devices_that_are_none_are_refused(
    named: str, jobs: int | None, gpus: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_gpus(monkeypatch, gpus)
    with pytest.raises(ConfigError, match=said):
        choose_devices(named, jobs)
