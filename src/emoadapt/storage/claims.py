"""Claims: digests of the settings, code and inputs that an output was made from."""

from __future__ import annotations

import os
from dataclasses import dataclass

VARIABLE = "EMOADAPT_CLAIM"
"""Environment variable that holds the claim of this process, and of the processes it starts."""


@dataclass(frozen=True)
class Claim:
    """The origin of an output.

    Args:
        made: digest of settings, code and libraries; hexadecimal.
        inputs: digest of the identities of the inputs; hexadecimal.
    """

    made: str
    inputs: str


def state_claim(claim: Claim | None) -> None:
    """Write this claim into every output that this process and its children make from now on; None: no claim."""
    if claim is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = f"{claim.made}:{claim.inputs}"


def current_claim() -> Claim | None:
    """The claim that was stated last, here or in a parent process."""
    made, found, inputs = os.environ.get(VARIABLE, "").partition(":")
    return Claim(made, inputs) if found else None
