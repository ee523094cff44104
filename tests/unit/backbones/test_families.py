"""What every family of backbones promises, and what it declares of itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from emoadapt import plugins
from emoadapt.backbones.base import AUTO, REQUIRED, find_family, load_backbone, load_family, load_folder, module_of
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.config import load_study
from emoadapt.config.architectures import list_architectures
from emoadapt.config.backbones import Backbone
from emoadapt.errors import ConfigError, ModelError

DIMENSIONS = {
    "conv_dim": (12, 16, 16), "conv_kernel": (10, 8, 4), "conv_stride": (5, 4, 4), "hidden_size": 32, "layers": 2,
    "heads": 4, "intermediate_size": 48, "conv_pos_kernel": 6, "conv_pos_groups": 4, "dropout": 0.1,
}  # fmt: skip
FAMILIES = plugins.list_plugins("backbones")
ARCHITECTURES = {name: family for name, family in list_architectures().items() if name not in ("fusion", "care")}
"""Without those that are made of others; `test_fusion` and `test_care` hold what is promised of them."""
LENGTHS = (3000, 8000, 5001)


def declare(family: str, constant: str) -> Any:
    return plugins.read_declaration("backbones", family, constant)


def make_config(architecture: str, folder: Path, **options: Any) -> Backbone:
    """A small model of any architecture, untrained, or where that cannot be a saved one."""
    section = load_family(find_family(architecture)).Config
    fields = section.model_fields
    if architecture == "auto":
        build_untrained("hubert", UntrainedBackbone(**DIMENSIONS)).save(folder / "saved", {})
        options["weights"] = "saved"
    elif "untrained" in fields:
        (dimensions, _) = get_args(fields["untrained"].annotation)
        options["untrained"] = {key: value for key, value in DIMENSIONS.items() if key in dimensions.model_fields}
    if "reads" in fields:
        options["reads"] = "egemaps"
    if "dimension" in fields:
        options |= {"dimension": 25, "width": 32, "heads": 4, "layers": 1, "scaled_layers": 1}
    return section.model_validate({"architecture": architecture, **options})


def make(architecture: str, folder: Path, **options: Any) -> Any:
    """A loaded one, whose biases are not zero, which would hide padding that leaks through them."""
    backbone = load_backbone(make_config(architecture, folder, **options), folder)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return backbone.eval()


def make_clips(architecture: str, folder: Path) -> list[Tensor]:
    """What the architecture reads: audio, tokens, frames of 25 values, or vectors of as many."""
    generator = torch.Generator().manual_seed(7)
    config = make_config(architecture, folder)
    if "tokens" in config.streams:
        return [torch.randint(2, 30_000, (n // 500,), generator=generator) for n in LENGTHS]
    if config.features == ("audio",):
        shapes = [(n,) for n in LENGTHS]
    else:
        shapes = [(n // 100, 25) if hasattr(config, "dimension") else (25,) for n in LENGTHS]
    return [0.1 * torch.randn(shape, generator=generator) + 0.05 for shape in shapes]


def prepare(backbone: Any, clip: Tensor) -> Tensor:
    """What the model of `transformers` reads of one clip."""
    return clip[None] if clip.dtype == torch.long else backbone._prepare(clip)[None]


saved = pytest.mark.parametrize(
    "architecture", [name for name, of in ARCHITECTURES.items() if declare(of, "MODEL_TYPES")]
)
every = pytest.mark.parametrize("architecture", ARCHITECTURES)


@pytest.mark.parametrize("family", FAMILIES)
def test_family_declares_what_no_default_could_say(family: str) -> None:
    for constant in REQUIRED:
        assert declare(family, constant) is not None, constant
    assert declare(family, "LOADED_BY") in ("transformers", "emoadapt")
    assert isinstance(declare(family, "NOTICE"), str)
    section = load_family(family).Config
    assert get_args(section.model_fields["architecture"].annotation) == (declare(family, "ARCHITECTURES") or (family,))
    assert section.__doc__


def test_architectures_and_model_types_belong_to_one_family() -> None:
    for constant in ("ARCHITECTURES", "MODEL_TYPES"):
        names = [name for values in plugins.collect_declarations("backbones", constant).values() for name in values]
        assert len(names) == len({*names})


def test_reading_a_study_imports_no_heavy_library() -> None:
    code = "import sys, emoadapt.backbones.base, emoadapt.config; print({'torch', 'transformers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("module", [f"emoadapt.backbones.{name}" for name in (*FAMILIES, "base")])
def test_each_module_can_be_imported_first(module: str) -> None:
    """Symptom: the union of all sections was built while the module that was asked for was half there."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


@every
def test_embedding_has_its_width_and_is_the_same_alone_and_in_a_padded_batch(architecture: str, tmp_path: Path) -> None:
    backbone, clips = make(architecture, tmp_path), make_clips(architecture, tmp_path)
    with torch.no_grad():
        together = backbone(clips)
        alone = torch.cat([backbone([clip]) for clip in clips])
    assert together.shape == (3, backbone.width)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-2


@every
def test_layers_are_the_same_alone_and_in_a_padded_batch_and_without_dropout(architecture: str, tmp_path: Path) -> None:
    backbone, clips = make(architecture, tmp_path), make_clips(architecture, tmp_path)
    together = backbone.embed_layers(clips)
    alone = torch.cat([backbone.embed_layers([clip]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    assert torch.equal(backbone.train().embed_layers(clips), together)
    assert backbone.training
    assert not together.requires_grad
    assert together.shape[::2] == (3, backbone.width)
    n_layers = len(backbone.layers) if hasattr(backbone, "layers") else 0
    assert together.shape[1] == n_layers + 1


@pytest.mark.parametrize(
    "architecture", [name for name, of in ARCHITECTURES.items() if declare(of, "LOADED_BY") == "transformers"]
)
def test_layers_are_the_hidden_states_of_transformers(architecture: str, tmp_path: Path) -> None:
    backbone, clips = make(architecture, tmp_path), make_clips(architecture, tmp_path)
    with torch.no_grad():
        states = backbone.model(prepare(backbone, clips[0]), output_hidden_states=True).hidden_states
    expected = torch.stack([state.mean(dim=1) for state in states], dim=1)
    torch.testing.assert_close(backbone.embed_layers(clips[:1]), expected, atol=1e-5, rtol=0)


@saved
def test_saved_folder_comes_back_and_says_whose_it_is(architecture: str, tmp_path: Path) -> None:
    backbone, clips = make(architecture, tmp_path), make_clips(architecture, tmp_path)
    backbone.save(tmp_path / "first", {"title": "x"})
    family = find_family(architecture)
    assert json.loads((tmp_path / "first/config.json").read_text())["model_type"] in declare(family, "MODEL_TYPES")
    again = load_folder(tmp_path / "first", architecture, origin="somebody/model", trained=True).eval()
    with torch.no_grad():
        assert torch.equal(again(clips), backbone(clips))
    again.save(tmp_path / "second", {"title": "x"})
    notice = declare(family, "NOTICE")
    card, untrained = ((tmp_path / folder / "README.md").read_text() for folder in ("second", "first"))
    assert notice in card
    assert not notice or architecture == "auto" or notice not in untrained, "random weights are nobody's"


@saved
def test_what_loads_a_folder_is_as_declared(architecture: str, tmp_path: Path) -> None:
    from transformers import CONFIG_MAPPING, AutoModel

    backbone, (clip, *_) = make(architecture, tmp_path), make_clips(architecture, tmp_path)
    backbone.save(tmp_path / "folder", {})
    if declare(find_family(architecture), "LOADED_BY") == "emoadapt":
        if json.loads((tmp_path / "folder/config.json").read_text())["model_type"] in CONFIG_MAPPING:
            _, report = AutoModel.from_pretrained(tmp_path / "folder", output_loading_info=True)
            assert not report["unexpected_keys"]
            assert all(name.startswith("decoder.") for name in report["missing_keys"])
            return
        with pytest.raises(ValueError, match="does not recognize this architecture"):
            AutoModel.from_pretrained(tmp_path / "folder")
        return
    plain = AutoModel.from_pretrained(tmp_path / "folder").eval()
    with torch.no_grad():
        found = plain(prepare(backbone, clip)).last_hidden_state.mean(dim=1)
        torch.testing.assert_close(found, backbone([clip]), atol=1e-5, rtol=0)


@saved
def test_folder_of_another_family_is_refused(architecture: str, tmp_path: Path) -> None:
    make(architecture, tmp_path).save(tmp_path / "folder", {})
    own = find_family(architecture)
    others = {family: name for name, family in ARCHITECTURES.items() if family != own and name != AUTO}
    for family, other in others.items():
        if declare(family, "MODEL_TYPES"):
            with pytest.raises(ModelError, match=f"^mine is an? .* model, the configuration says {other}; change"):
                load_folder(tmp_path / "folder", other, origin="mine", trained=True)


def test_file_that_two_families_may_load_needs_a_named_architecture(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    with pytest.raises(
        ModelError, match=r"model.pt does not say whether it is a model of av_hubert or whisper; name its"
    ):
        load_folder(tmp_path / "model.pt", origin="mine", trained=True)
    with pytest.raises(ModelError, match=r"mine is an av_hubert or whisper model, the configuration says wavlm"):
        load_folder(tmp_path / "model.pt", "wavlm", origin="mine", trained=True)
    with pytest.raises(ModelError, match="mine is not a Whisper checkpoint"):
        load_folder(tmp_path / "model.pt", "whisper", origin="mine", trained=True)


def test_vector_is_its_own_embedding(tmp_path: Path) -> None:
    backbone, clips = make("vector", tmp_path), make_clips("vector", tmp_path)
    assert torch.equal(backbone(clips), torch.stack(clips))
    assert torch.equal(backbone(torch.stack(clips)), torch.stack(clips))
    assert backbone.width == 25
    assert not list(backbone.parameters())
    config = make_config("vector", tmp_path)
    assert (config.features, config.adaptable, config.provenance) == (("egemaps",), False, "descriptors")


def test_unknown_architecture_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="backbone architecture vectr is not known; did you mean vector"):
        module_of("vectr")


def test_family_that_declares_too_little_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backbones").mkdir()
    (tmp_path / "backbones/mute.py").write_text('MODEL_TYPES = ("mute",)\nLOADED_BY = "emoadapt"\n')
    plugins.use_folder(tmp_path)
    try:
        with pytest.raises(ConfigError, match=r"mute cannot be used: .* lacks NOTICE, Config, load, load_folder; see"):
            load_family("mute")
    finally:
        plugins.use_folder(None)


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (
            {"architecture": "wavlmx"},
            "b.architecture: found 'wavlmx'; did you mean wavlm? Allowed is 'ast', 'av_hubert', 'care', 'fusion', 'lld_transformer', 'wav2vec2', 'wavlm',",
        ),
        ({"untrained": {}}, "b.architecture: this key is required"),
        (
            {"architecture": "av_hubert", "untrained": {}, "cnn": "both"},
            "b.cnn: this key is not known; `cnn` is a key of architecture ast, wav2vec2, wavlm, hubert, data2vec, auto, wav2vec2_lld, whisper; "
            "av_hubert has none",
        ),
        (
            {"architecture": "wavlm", "untrained": {}, "reads": "x"},
            "`reads` is a key of architecture lld_transformer, vector; wav2vec2, wavlm,",
        ),
        (
            {"architecture": "wavlm", "untrained": {}, "pooling": "meen"},
            "b.pooling: pooling meen is not known; did you mean mean?",
        ),
    ],
)
def test_wrong_keys_of_a_backbone_are_answered_by_its_family(backbone: dict[str, Any], said: str) -> None:
    corpora = {"c": {"importer": "folder", "root": "."}}
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_study({"study": "s", "corpora": corpora, "backbones": {"b": backbone}})
