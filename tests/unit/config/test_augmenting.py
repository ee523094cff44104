"""The key `augment` of both stages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emoadapt import plugins
from emoadapt.config import load_study
from emoadapt.errors import ConfigError

TELEPHONE = """
from typing import Literal
from emoadapt.config.augmentations import Augmentation
class Config(Augmentation):
    "A line."
    chain: Literal["telephone"]
    lowest: float = 300.0
def build(config):
    return lambda samples, random: samples * random.random()
"""
GAIN = {"transform": "Gain", "probability": 0.5, "parameters": {"min_gain_db": -3.0}}


def make_study(augment: Any = None, adapt: Any = None, **values: Any) -> dict[str, Any]:
    """A study of a speech backbone and a vector, with these augmentations in Stage 2 and Stage 1."""
    tiny = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16}
    split = {"by": "speakers", "train": ["1"], "dev": ["2"], "test": ["3"]}
    return {
        "study": "s",
        "corpora": {"c": {"importer": "folder", "root": "."}},
        "backbones": {
            "b": {"architecture": "ast", "untrained": tiny},
            "v": {"architecture": "vector", "reads": "egemaps"},
        },
        "tasks": {"t": {"corpus": "c", "classes": ["x", "y"], "split": split}},
        "adaptations": {
            "a": {"corpora": ["c"], "objectives": {"egemaps": 1.0}} | ({} if adapt is None else {"augment": adapt})
        },
        "finetunings": {
            "f": {"backbones": ["b"]} | ({} if augment is None else {"augment": augment}),
            "vectors": {"backbones": ["v"]},
        },
        **values,
    }


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A folder with an augmentation."""
    (tmp_path / "augmentations").mkdir()
    (tmp_path / "augmentations/telephone.py").write_text(TELEPHONE)
    yield tmp_path
    plugins.use_folder(None)
    sys.modules.pop("emoadapt.augmentations.telephone", None)


def test_augmentations_are_read_in_both_stages_in_their_order() -> None:
    chains = [{"chain": "audiomentations", "transforms": [GAIN]}, {"chain": "ahn2024", "probability": 0.2, "type": 3}]
    study = load_study(make_study(chains, chains))
    for settings in (study.finetunings["f"], study.adaptations["a"]):
        assert [section.chain for section in settings.augmentations] == ["audiomentations", "ahn2024"]
        assert [section.probability for section in settings.augmentations] == [1.0, 0.2]
        assert '"min_gain_db":-3.0' in settings.describe().replace(" ", "")
    assert study.finetunings["f"].list_notes() == ["training clips are augmented (audiomentations, ahn2024)"]
    plain = load_study(make_study()).finetunings["f"]
    assert plain.augmentations == () and plain.list_notes() == []


def test_the_library_is_not_imported_to_read_a_study() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_augmenting as t; from emoadapt.config import load_study;"
        "load_study(t.make_study([{'chain': 'ahn2024'}, {'chain': 'audiomentations', 'transforms': [t.GAIN]}]));"
        "print({'audiomentations', 'librosa', 'torch'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (
            [{"chain": "ahn2042"}],
            "f.augment.0.chain: found 'ahn2042'; did you mean ahn2024? Allowed is 'ahn2024', 'audiomentations'",
        ),
        ([{}], "f.augment.0.chain: this key is required"),
        ([{"chain": "ahn2024", "typ": 1}], "f.augment.0.ahn2024.typ: this key is not known; did you mean `type`?"),
        ([{"chain": "ahn2024", "transforms": []}], "`transforms` is a key of chain audiomentations; ahn2024 has none"),
        ([{"chain": "ahn2024", "probability": 0}], "probability: found 0"),
        ({"chain": "ahn2024"}, "f.augment: found a mapping, allowed is a list"),
    ],
)
def test_wrong_keys_are_answered(augment: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_study(make_study(augment))


def test_what_reads_no_audio_cannot_be_augmented() -> None:
    study = make_study([{"chain": "ahn2024"}])
    del study["finetunings"]["f"]["backbones"]
    with pytest.raises(
        ConfigError, match=r"finetunings.f.augment: it changes audio, and backbone v reads none; remove the key, or"
    ):
        load_study(study)


def test_own_augmentation_is_a_key_of_both_stages(own: Path) -> None:
    plain = load_study(make_study([{"chain": "ahn2024"}])).finetunings["f"].describe()
    chains = [{"chain": "telephone", "lowest": 250.0}]
    study = load_study(make_study(chains, chains, plugins=str(own)))
    for settings in (study.finetunings["f"], study.adaptations["a"]):
        (section,) = settings.augmentations
        assert (section.chain, section.lowest) == ("telephone", 250.0)
    again = load_study(make_study([{"chain": "ahn2024"}], plugins=str(own))).finetunings["f"]
    assert again.describe() == plain, "a plug-in that a training does not name changes nothing of it"


def test_own_augmentation_that_declares_too_little_is_named(own: Path) -> None:
    (own / "augmentations/telephone.py").write_text("Config = 1\n")
    with pytest.raises(
        ConfigError, match=r"augmentation telephone does not declare build \(\S+telephone.py\); see docs"
    ):
        load_study(make_study(plugins=str(own)))
