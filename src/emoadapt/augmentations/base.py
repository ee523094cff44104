"""Interface of an augmentation, and how the augmentations of a training are applied.

An augmentation is a module here, or in the folder `augmentations` of a study's own plug-ins, with

* `Config`: a section of the study, a subclass of `config.augmentations.Augmentation`, whose `chain` is a `Literal` of the module's name;
* `build(config)`: a `Chain`.

A clip is changed in training only, before its features are computed. What is drawn follows from seed, epoch, utterance and view: it is
the same in every batch, after a resumed training, and in models of a pair, which share the seed.
"""

from __future__ import annotations

import random as standard
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from emoadapt.plugins import load_plugin

if TYPE_CHECKING:
    from emoadapt.config.augmentations import Augmentation

Chain = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(n_samples,) float32 in [-1, 1] at 16 kHz, and a generator for all that is drawn -> (n,) float32; the input stays as it is."""

_STREAM = 2
"""Appended to a clip's key, so that augmentations are drawn independently of its crop and of SpecAugment's masks."""


class Augmenter:
    """The augmentations of a training, one after the other, each with its probability.

    Args:
        chains: sections of a study.
    """

    def __init__(self, chains: Sequence[Augmentation]) -> None:
        self.chains = [
            (section.probability, load_plugin("augmentations", section.chain).build(section)) for section in chains
        ]

    def __call__(self, samples: np.ndarray, key: Sequence[int], view: int = 0) -> np.ndarray:
        """Augment a clip.

        Args:
            samples: (n_samples,) float32 in [-1, 1], 16 kHz.
            key: of the clip: seed, epoch, and a number of the utterance.
            view: number of the view, where a training reads several of a clip.

        Returns:
            (n,) float32. Some augmentations change the length, or exceed [-1, 1].
        """
        random = np.random.default_rng([*key, _STREAM, view])
        for probability, chain in self.chains:
            if random.random() < probability:
                samples = chain(samples, random)
        return samples


@contextmanager
def seed_globals(random: np.random.Generator) -> Iterator[None]:
    """Seed the global generators of Python and numpy, and restore them afterwards.

    Some libraries draw from nothing else.

    Args:
        random: gives the seeds.
    """
    before = standard.getstate(), np.random.get_state()
    seeds = random.integers(2**32, size=2, dtype=np.uint32).tolist()
    try:
        standard.seed(seeds[0])
        np.random.seed(seeds[1])
        yield
    finally:
        standard.setstate(before[0])
        np.random.set_state(before[1])


def cut_tokens(
    tokens: np.ndarray, random: np.random.Generator, probability: float = 0.15, spared: Collection[int] = ()
) -> np.ndarray:
    """Token cutoff (Shen et al. 2020): set ids of tokens to 0.

    Args:
        tokens: (n,) integers.
        random: what is cut is drawn from it.
        probability: of each token; 0.15 in Ahn et al. 2024.
        spared: ids that are never cut, such as those of special tokens; none in Ahn et al. 2024.

    Returns:
        (n,) integers, a new array.
    """
    cut = (random.random(len(tokens)) < probability) & ~np.isin(tokens, list(spared))
    return np.where(cut, 0, tokens).astype(tokens.dtype)
