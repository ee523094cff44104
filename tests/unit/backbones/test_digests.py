"""Jobs that an edit of a family, or a new one, makes stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emoadapt import plugins
from emoadapt.backbones.base import list_modules, module_of
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.config.backbones import Backbone
from emoadapt.flow import code
from emoadapt.plugins import find_source, load_plugin

TRAINING = "emoadapt.training.trainer"


def make_config(architecture: str, **options: Any) -> Backbone:
    section = load_plugin("backbones", module_of(architecture).rpartition(".")[2]).Config
    return section.model_validate({"architecture": architecture, **({"untrained": {}} | options)})


def digest(config: Backbone, models: Path = Path("nowhere")) -> str:
    """Digest of a training with a backbone."""
    code.code_digest.cache_clear()
    plugins._find_source.cache_clear()
    return code.code_digest(TRAINING, *list_modules(config, models))


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """Put a changed copy of a module in its place."""

    def put(module: str, old: str, new: str) -> None:
        source = find_source(module)
        assert source is not None
        text = source.read_text()
        assert text.count(old) == 1
        copy = tmp_path / "copy" / source.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(text.replace(old, new))
        monkeypatch.setattr(code, "find_source", lambda name: copy if name == module else find_source(name))

    yield put
    code.code_digest.cache_clear()


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("layers.settings", 'if self.cnn_mode == "frozen" or (', 'if self.cnn_mode != "frozen" or ('),
        ("layers.settings", "if self.trains_cnn(stage, start):", "if not self.trains_cnn(stage, start):"),
        ("layers.settings", '"frozen" if self.untrained is None', '"both" if self.untrained is None'),
        ("layers.transformer", "layers[len(layers) - config.train_layers :]", "layers[: config.train_layers]"),
        ("layers.adapters", 'ATTENTION = ("q_proj", "v_proj")', 'ATTENTION = ("q_proj", "k_proj")'),
        ("poolings.base", "/ lengths[:, None]", "/ hidden.shape[1]"),
        ("poolings.mean", "base.mean_frames(hidden, lengths)", "hidden.amax(dim=1)"),
    ],
)
def test_what_decides_a_training_is_in_its_digest(
    module: str, old: str, new: str, edit: Callable[[str, str, str], None]
) -> None:
    """Symptom: `trains_cnn` was in `emoadapt.config`, which digests leave out, so inverting it made nothing stale."""
    before = digest(make_config("wav2vec2"))
    edit(f"emoadapt.{module}", old, new)
    assert digest(make_config("wav2vec2")) != before


@pytest.mark.parametrize(("module", "old"), [("backbones", '".pt",'), ("layers", "PRE_EMPHASIS = 0.97")])
def test_edit_of_a_family_concerns_its_own_jobs(module: str, old: str, edit: Callable[[str, str, str], None]) -> None:
    configs = [make_config(name) for name in ("wav2vec2", "wavlm", "av_hubert")]
    before = [digest(config) for config in configs]
    edit(f"emoadapt.{module}.av_hubert", old, old.replace('".pt"', '".pth"').replace("0.97", "0.9"))
    changed = [digest(config) != known for config, known in zip(configs, before, strict=True)]
    assert changed == [False, False, True]


def test_edits_of_text_and_speech_encoders_concern_their_own_jobs(edit: Callable[[str, str, str], None]) -> None:
    configs = [make_config(name) for name in ("wav2vec2", "bert")]
    before = [digest(config) for config in configs]
    edit("emoadapt.layers.text", "ids.long()", "ids.int()")
    assert [digest(config) != known for config, known in zip(configs, before, strict=True)] == [False, True]
    edit("emoadapt.layers.speech", "correction=0", "correction=1")
    assert [digest(config) != known for config, known in zip(configs, before, strict=True)] == [True, False]


def test_auto_depends_on_the_family_that_its_weights_say(tmp_path: Path) -> None:
    speech, audiovisual = module_of("auto"), module_of("av_hubert")
    auto = make_config("auto", weights="saved", untrained=None)
    assert list_modules(auto, tmp_path) == [speech, "emoadapt.poolings.mean"]
    build_untrained("hubert", UntrainedBackbone()).save(tmp_path / "saved", {})
    assert list_modules(auto, tmp_path) == [speech, "emoadapt.poolings.mean"]
    (tmp_path / "saved/config.json").write_text('{"model_type": "av_hubert"}')
    assert list_modules(auto, tmp_path) == [speech, audiovisual, "emoadapt.poolings.mean"]


def test_new_plugins_change_no_digest(tmp_path: Path) -> None:
    configs = [make_config(name) for name in ("wav2vec2", "av_hubert")] + [
        make_config("auto", weights="x", untrained=None)
    ]
    before = [digest(config) for config in configs]
    for kind in ("backbones", "poolings"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "mine.py").write_text('MODEL_TYPES = ("mine",)\n')
    plugins.use_folder(tmp_path)
    try:
        assert [digest(config) for config in configs] == before
        assert module_of("mine") == "emoadapt.backbones.mine"
    finally:
        plugins.use_folder(None)


def test_a_pooling_is_in_the_digest_of_those_that_use_it() -> None:
    attentive = make_config("hubert", pooling="attentive_statistics")
    assert "emoadapt.poolings.attentive_statistics" in list_modules(attentive, Path("nowhere"))
    assert digest(attentive) != digest(make_config("hubert"))


def test_dispatch_follows_no_family() -> None:
    covered = code.read_covered("emoadapt.backbones.base", "emoadapt.layers.speech")
    assert not [
        name
        for name in covered
        if name.startswith(("emoadapt.backbones.", "emoadapt.poolings.")) and not name.endswith(".base")
    ]
