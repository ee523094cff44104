"""What is drawn for a clip, whatever else draws, and token cutoff."""

from __future__ import annotations

import random as standard
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emoadapt import plugins
from emoadapt.augmentations.base import Augmenter, cut_tokens, seed_globals
from emoadapt.config.augmentations import Augmentation

KEY = [3, 1, 12345]


def read(chain: str, **values: Any) -> Augmentation:
    return plugins.load_plugin("augmentations", chain).Config.model_validate({"chain": chain, **values})


def make_clip(n_samples: int = 16_000) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(n_samples)).astype(np.float32)


def digest_all() -> str:
    """Digest of all types of augmentation of a clip, in two views."""
    found = sha256()
    for kind in (None, 1, 2, 3, 4, 5):
        augment = Augmenter([read("ahn2024", type=kind)])
        for epoch in range(6):
            for view in (0, 1):
                found.update(augment(make_clip(), [3, epoch, 12345], view).tobytes())
    return found.hexdigest()


def test_bytes_are_the_same_in_another_process_and_order_and_whatever_else_draws() -> None:
    expected = digest_all()
    standard.seed(99)
    np.random.seed(99)
    assert digest_all() == expected
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_base; print(test_base.digest_all())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
    augment, clip = Augmenter([read("ahn2024", type=5)]), make_clip()
    keys = [[3, epoch, name] for epoch in range(4) for name in (1, 2)]
    once = [augment(clip, key) for key in keys]
    assert all(np.array_equal(augment(clip, key), found) for key, found in reversed(list(zip(keys, once, strict=True))))


def test_seed_epoch_utterance_and_view_each_change_what_is_drawn() -> None:
    augment, clip = (
        Augmenter([read("audiomentations", transforms=[{"transform": "Gain", "probability": 1}])]),
        make_clip(),
    )
    found = [augment(clip, key)[0] for key in (KEY, [4, 1, 12345], [3, 2, 12345], [3, 1, 12346])]
    found.append(augment(clip, KEY, view=1)[0])
    assert len({*map(float, found)}) == 5
    assert np.array_equal(augment(clip, KEY), augment(clip, KEY, view=0))


def test_global_generators_are_left_as_they_were_also_after_an_error() -> None:
    before = standard.getstate(), np.random.get_state()[1].copy()
    Augmenter([read("ahn2024", type=5)])(make_clip(), KEY)
    with pytest.raises(ZeroDivisionError), seed_globals(np.random.default_rng(0)):
        standard.random(), np.random.random()
        raise ZeroDivisionError
    assert standard.getstate() == before[0] and np.array_equal(np.random.get_state()[1], before[1])


def test_clip_itself_is_not_changed_and_stays_float32() -> None:
    for kind in (1, 2, 3, 4, 5):
        augment, clip = Augmenter([read("ahn2024", type=kind)]), make_clip()
        clip.setflags(write=False)
        found = [augment(clip, [0, epoch, 1]) for epoch in range(12)]
        assert all(one.dtype == np.float32 and len(one) == len(clip) and np.isfinite(one).all() for one in found)
        assert any(not np.array_equal(one, clip) for one in found)
        assert np.array_equal(clip, make_clip())


def test_clips_of_few_samples_and_silence_are_augmented() -> None:
    for n_samples in (1, 2, 50):
        for clip in (make_clip(n_samples), np.zeros(n_samples, np.float32)):
            for epoch in range(40):
                assert np.isfinite(Augmenter([read("ahn2024")])(clip, [0, epoch, 1])).all()


def test_probability_of_a_chain_is_the_share_of_clips_that_go_through_it() -> None:
    chain = {"transforms": [{"transform": "PolarityInversion", "probability": 1}], "probability": 0.25}
    augment, clip = Augmenter([read("audiomentations", **chain)]), np.ones(1, np.float32)
    changed = sum(float(augment(clip, [0, 0, name])[0]) < 0 for name in range(2000))
    assert abs(changed / 2000 - 0.25) < 4 * (0.25 * 0.75 / 2000) ** 0.5


def test_chains_follow_each_other() -> None:
    def gain(db: float) -> Augmentation:
        parameters = {"min_gain_db": db, "max_gain_db": db}
        return read("audiomentations", transforms=[{"transform": "Gain", "probability": 1, "parameters": parameters}])

    clip = make_clip()
    found = Augmenter([gain(6.0), gain(-26.0)])(clip, KEY)
    np.testing.assert_allclose(found, clip * 0.1, rtol=1e-5)


def test_token_cutoff_sets_a_share_of_the_ids_to_zero() -> None:
    tokens = np.arange(1, 20_001, dtype=np.int32)
    found = cut_tokens(tokens, np.random.default_rng(0))
    assert found.dtype == np.int32 and tokens.min() == 1
    assert np.array_equal(found[found > 0], tokens[found > 0])
    assert abs((found == 0).mean() - 0.15) < 4 * (0.15 * 0.85 / 20_000) ** 0.5
    assert np.array_equal(found, cut_tokens(tokens, np.random.default_rng(0)))
    spared = cut_tokens(np.array([101, 7, 102]), np.random.default_rng(0), 1.0, spared=(101, 102))
    assert spared.tolist() == [101, 0, 102]
