"""Weights in the layouts of the Hugging Face hub, with random numbers, loaded as a study loads them.

The published files cannot be had everywhere, but what is odd about them is known: names of tensors, prefixes, weight norm under its old
names, heads that nobody needs, one or several files of either format, 16-bit floats, with or without preprocessing. A model of the
published dimensions is made at random, kept as its reference, and written in the layout of its repository. A second process loads it.

* `difference`: largest difference of a clip's embedding (of a text's probabilities) from the reference, which was never saved, on real
  speech if EMOADAPT_DATA names some; in parts of the embedding's standard deviation.
* `saved`: the same after `save` and loading what was saved.
* `onnx`: largest difference of a logit of the exported model with a head; `--export` makes it.

    python benchmarks/layouts.py [--only NAME ...] [--size base|large] [--export] [--folder FOLDER]
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from emoadapt.backbones.ast import Config as Ast
from emoadapt.backbones.base import load_backbone, load_folder
from emoadapt.backbones.speech_transformer import Config as Transformer
from emoadapt.backbones.whisper import Config as Whisper
from emoadapt.features.base import Context
from emoadapt.features.sentiment import Config as SentimentConfig
from emoadapt.features.sentiment import SentimentExtractor
from emoadapt.inference.classifier import EmotionClassifier
from emoadapt.inference.onnx_export import export_onnx
from emoadapt.layers.heads import build_head
from emoadapt.media import decode_audio

PIECES = 3
"""Files of weights where there are several."""

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
STABLE: dict[str, Any] = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
"""Large models of fairseq: layer norm before the attention, and in the CNN."""
CODEBOOK = {"codevector_dim": 768, "proj_codevector_dim": 768}

AST_SAMPLES = 400 + 1023 * 160
"""Samples of 1,024 frames of a spectrogram."""

TEXTS = ("Kids are talking by the door.", "I am so happy today, thank you!", "This is awful.")

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 48,
    "conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4, "codevector_dim": 16, "proj_codevector_dim": 16,
    "num_codevectors_per_group": 8,
}  # fmt: skip
"""Dimensions in CI, which change nothing of a layout."""


@dataclass(frozen=True)
class Layout:
    """Layout of the files in a repository of the hub."""

    name: str
    """Its hub id."""
    head: str
    """Class of `transformers` that was saved."""
    values: Mapping[str, Any]
    """Its `config.json`, where that differs from the defaults of the class."""
    normalise: bool | None = None
    """`do_normalize` of its `preprocessor_config.json`; None: it needs none."""
    preprocessing: bool = True
    """Whether the repository has `preprocessor_config.json`."""
    files: str = "pytorch_model.bin"
    """The first of its weights: `pytorch_model.bin`, `model.safetensors`, or the index of several."""
    half: bool = False
    """Weights are 16-bit floats."""
    lacking: tuple[str, ...] = ()
    """Tensors that the published file lacks."""
    surplus: tuple[str, ...] = ()
    """Modules of which it has tensors beside those of the class."""
    old_archive: bool = False
    """Saved before torch wrote zip archives."""
    size: str = "base"

    @property
    def quirks(self) -> str:
        """Describe what is unusual about the layout."""
        said = [self.head, self.files]
        said += ["fp16"] * self.half + ["not a zip archive"] * self.old_archive
        said += ["no preprocessing"] * (not self.preprocessing) + [f"lacks {name}" for name in self.lacking]
        return ", ".join([*said, *(f"and {name}" for name in self.surplus)])

    def shrink(self) -> Layout:
        """The same layout with a small model."""
        known = getattr(transformers, self.head).config_class().to_dict()
        return replace(self, values={**self.values, **{name: value for name, value in SMALL.items() if name in known}})


def _shape_whisper(width: int, layers: int, heads: int) -> dict[str, Any]:
    parts = {"layers": layers, "attention_heads": heads, "ffn_dim": 4 * width}
    return {"d_model": width, **{f"{half}_{name}": n for half in ("encoder", "decoder") for name, n in parts.items()}}


_PRETRAINED, _WHISPER = "Wav2Vec2ForPreTraining", "WhisperForConditionalGeneration"
_AST = "ASTForAudioClassification"
_BIN_INDEX, _SAFE, _SAFE_INDEX = "pytorch_model.bin.index.json", "model.safetensors", "model.safetensors.index.json"
_XLSR = LARGE | STABLE | CODEBOOK

SPEECH = (
    Layout("facebook/wav2vec2-base", _PRETRAINED, {}, True, old_archive=True),
    Layout(
        "facebook/wav2vec2-base-960h", "Wav2Vec2ForCTC", {}, True, files=_SAFE, lacking=("wav2vec2.masked_spec_embed",)
    ),
    Layout("microsoft/wavlm-base", "WavLMModel", {}, False),
    Layout("microsoft/wavlm-base-plus", "WavLMModel", {}, False, preprocessing=False),
    Layout("facebook/hubert-base-ls960", "HubertModel", {}, True),
    Layout("superb/hubert-base-superb-er", "HubertForSequenceClassification", {"use_weighted_layer_sum": True}, True),
    Layout("facebook/data2vec-audio-base", "Data2VecAudioModel", {}, True),
    Layout("facebook/data2vec-audio-base-960h", "Data2VecAudioForCTC", {}, True, files=_SAFE),
    Layout("openai/whisper-base", _WHISPER, _shape_whisper(512, 6, 8), files=_SAFE),
    Layout(
        "MIT/ast-finetuned-audioset-10-10-0.4593",
        _AST,
        {"id2label": {n: f"sound {n}" for n in range(527)}},
        files=_SAFE,
    ),
    Layout("facebook/wav2vec2-large-robust", _PRETRAINED, _XLSR, True, size="large"),
    Layout("facebook/wav2vec2-large-xlsr-53", _PRETRAINED, _XLSR, True, preprocessing=False, size="large"),
    Layout("microsoft/wavlm-large", "WavLMModel", LARGE | STABLE | {"conv_bias": False}, True, size="large"),
    Layout("facebook/hubert-large-ll60k", "HubertModel", LARGE | STABLE, True, files=_SAFE_INDEX, size="large"),
    Layout("facebook/data2vec-audio-large", "Data2VecAudioModel", LARGE, True, files=_BIN_INDEX, size="large"),
    Layout("openai/whisper-medium", _WHISPER, _shape_whisper(1024, 24, 16), files=_SAFE_INDEX, size="large"),
    Layout(
        "openai/whisper-large-v3",
        _WHISPER,
        _shape_whisper(1280, 32, 20) | {"num_mel_bins": 128, "vocab_size": 51866},
        files=_SAFE,
        half=True,
        size="large",
    ),
)

_SENTIMENTS = {"id2label": dict(enumerate(("negative", "neutral", "positive")))}
_ROBERTA = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}

TEXT = (
    Layout(
        "cardiffnlp/twitter-xlm-roberta-base-sentiment",
        "XLMRobertaForSequenceClassification",
        _SENTIMENTS | _ROBERTA | {"vocab_size": 250002},
        surplus=("roberta.pooler", "roberta.embeddings.position_ids"),
    ),
    Layout(
        "roberta-base",
        "RobertaForSequenceClassification",
        _SENTIMENTS | _ROBERTA | {"vocab_size": 50265},
        files=_SAFE,
        half=True,
        surplus=("lm_head",),
    ),
    Layout(
        "bert-base-uncased",
        "BertForSequenceClassification",
        _SENTIMENTS,
        files=_SAFE,
        surplus=("cls.predictions", "bert.embeddings.position_ids"),
    ),
)
"""Text models, fine-tuned for sentiment: the feature needs such a head, and refuses one without."""

_AST_NAMES = {
    "transformer.layers.": "transformer.encoder.layer.",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
    **{f"attention.{name[0]}_proj": f"attention.attention.{name}" for name in ("query", "key", "value")},
}
_OLD_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
_OLDER_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
"""Names of `transformers` -> in published files; the second is BERT's."""


def write_layout(layout: Layout, folder: Path, inputs: Sequence[Any]) -> Tensor:
    """Make a random model, write it, and return what it says of the inputs.

    Args:
        layout: the layout.
        folder: made for it.
        inputs: clips, (n_samples,) float32 at 16 kHz, or texts.

    Returns:
        Embeddings (n_clips, width), or probabilities (n_texts, 3).
    """
    folder.mkdir(parents=True)
    kind = getattr(transformers, layout.head)
    config = kind.config_class(**layout.values, architectures=[layout.head])
    torch.manual_seed(0)
    model = _randomise(kind(config).eval(), layout)
    described = {**config.to_dict(), "torch_dtype": "float16" if layout.half else "float32"}
    described.pop("dtype", None)
    (folder / "config.json").write_text(json.dumps(described))
    _write_preprocessing(layout, folder, config)
    with torch.inference_mode():
        said = _classify(model, folder, inputs) if is_text(layout) else _embed(model, layout, inputs)
    expected = torch.cat(said) if said else torch.empty(0)
    state = {_rename(layout, name): value for name, value in model.state_dict().items() if name not in layout.lacking}
    for name in layout.surplus:
        state |= (
            {name: torch.arange(514)[None]} if name.endswith("_ids") else {f"{name}.dense.weight": torch.ones(9, 9)}
        )
    if layout.head == _WHISPER:  # tied to the embedding of the tokens
        state.pop("proj_out.weight")
    halved = {
        name: value.half() if layout.half and value.is_floating_point() else value for name, value in state.items()
    }
    _write_weights(layout, folder, halved)
    return expected


def load_layout(layout: Layout, models: Path, name: str, inputs: Sequence[Any], expected: Tensor, export: bool) -> dict:
    """Load it as a study does, and compare.

    Args:
        layout: the layout.
        models: folder of weights.
        name: of the model in it.
        inputs: as `write_layout`'s.
        expected: what that returned.
        export: also make an ONNX file.

    Returns:
        The columns of the table.
    """
    begin = time.process_time()
    if is_text(layout):
        extractor = SentimentExtractor(SentimentConfig(model=name), Context(models))
        seconds, peak = time.process_time() - begin, measure_peak()
        rows = [{"utterance_id": f"c/{i}", "text": text, "language": "en"} for i, text in enumerate(inputs)]
        found = torch.tensor(np.array([row["sentiment"] for row in extractor.extract(rows)]))
        n_parameters = sum(value.numel() for value in extractor.classify.model.parameters())
        return _report(layout, n_parameters, seconds, peak, float((found - expected).abs().max()))
    backbone = load_backbone(_configure(layout, name), models).eval()
    seconds, peak = time.process_time() - begin, measure_peak()
    with torch.inference_mode():
        found = backbone(inputs)
    row = _report(layout, sum(p.numel() for p in backbone.parameters()), seconds, peak, _compare(found, expected))
    if layout.normalise is not None:
        row["normalise"] = backbone.normalise
    backbone.save(models / "saved", {})
    again = load_folder(models / "saved", origin="saved", trained=True).eval()
    with torch.inference_mode():
        row["saved"] = _compare(again(inputs), found)
    del again
    shutil.rmtree(models / "saved")
    if export:
        head = build_head("mlp", backbone.width, 64, 3, 0)
        file = models / "onnx" / "model.onnx"
        comparisons = export_onnx(EmotionClassifier(backbone, head, ["a", "b", "c"]).eval(), file)
        row["onnx"] = max(comparison.difference for comparison in comparisons)
        shutil.rmtree(file.parent)
    return row


def read_inputs(layout: Layout) -> list[Any]:
    """Texts, or clips: real speech if EMOADAPT_DATA names some, else noise."""
    if is_text(layout):
        return list(TEXTS)
    if layout.head == _AST:  # of less than 1,024 frames `transformers` would read silence too
        clips = read_inputs(SPEECH[0])
        return [clip.repeat(-(-AST_SAMPLES // len(clip)))[:AST_SAMPLES] for clip in clips]
    if root := os.environ.get("EMOADAPT_DATA"):
        files = sorted(Path(root, "ravdess").rglob("03-01-0[45]-02-*-01-0[12].*"))[:3]
        return [torch.from_numpy(decode_audio(file).astype(np.float32) / 32768) for file in files]
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(n, generator=generator) + 0.02 for n in (16_000, 50_000, 31_111)]


def measure_peak() -> float:
    """The most memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def is_text(layout: Layout) -> bool:
    """Whether the model reads texts."""
    return layout.name in {text.name for text in TEXT}


def _randomise(model: nn.Module, layout: Layout) -> nn.Module:
    """Let every tensor count: biases are not 0 and norms not 1, as `transformers` begins with; rounded to 16 bits if they are so kept.

    Matrices of text models grow, so that different texts get different probabilities.
    """
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "embed_positions" in name:  # sines
                continue
            matrix = 1.5 / value.shape[-1] ** 0.5 if is_text(layout) else 0.2 * float(value.std())
            value.add_(torch.randn_like(value), alpha=0.05 if value.ndim == 1 else matrix)
        for value in model.parameters() if layout.half else ():
            value.copy_(value.half())
    return model


def _rename(layout: Layout, name: str) -> str:
    names = _AST_NAMES if layout.head == _AST else _OLDER_NAMES if layout.name.startswith("bert") else _OLD_NAMES
    for new, old in names.items():
        name = name.replace(new, old)
    return name


def _write_weights(layout: Layout, folder: Path, state: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    # What is saved in one archive must not share memory.
    state = {name: value.clone().contiguous() for name, value in state.items()}
    parts = [state]
    if layout.files.endswith("index.json"):
        names = list(state)
        parts = [{name: state[name] for name in names[number::PIECES]} for number in range(PIECES)]
    stem, suffix = layout.files.removesuffix(".index.json").rsplit(".", 1)
    files = [
        f"{stem}-{number:05}-of-{PIECES:05}.{suffix}" if len(parts) > 1 else layout.files
        for number in range(1, len(parts) + 1)
    ]
    for file, part in zip(files, parts, strict=True):
        if suffix == "bin":
            torch.save(part, folder / file, _use_new_zipfile_serialization=not layout.old_archive)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})
    if len(parts) > 1:
        places = {name: file for file, part in zip(files, parts, strict=True) for name in part}
        (folder / layout.files).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def _write_preprocessing(layout: Layout, folder: Path, config: Any) -> None:
    """`preprocessor_config.json` of speech models, vocabularies of text models; none has a `tokenizer.json`."""
    if "XLM" in layout.head:
        from sentencepiece import SentencePieceTrainer

        options = {
            "model_prefix": str(folder / "sentencepiece.bpe"),
            "vocab_size": 40,
            "hard_vocab_limit": False,
            "minloglevel": 2,
        }
        SentencePieceTrainer.train(sentence_iterator=iter(TEXTS * 20), **options)
        (folder / "sentencepiece.bpe.vocab").unlink()
    elif layout.head.startswith("Roberta"):
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        words = ["<s>", "<pad>", "</s>", "<unk>", *bytes_to_unicode().values(), "th", "ĠI", "<mask>"]
        (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
        (folder / "merges.txt").write_text("#version: 0.2\nt h\nĠ I\n")
    elif layout.head.startswith("Bert"):
        words = [
            "[PAD]",
            "[UNK]",
            "[CLS]",
            "[SEP]",
            "[MASK]",
            *sorted(set(" ".join(TEXTS).lower().replace(".", " .").split())),
        ]
        (folder / "vocab.txt").write_text("\n".join(words))
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    elif layout.head == _WHISPER:
        transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    elif layout.head == _AST:
        transformers.ASTFeatureExtractor().save_pretrained(folder)
    elif layout.preprocessing:
        published = {"feature_size": 1, "padding_side": "right", "padding_value": 0.0, "sampling_rate": 16000}
        published |= {"do_normalize": layout.normalise, "return_attention_mask": layout.size == "large"}
        (folder / "preprocessor_config.json").write_text(json.dumps(published))


def _embed(model: Any, layout: Layout, clips: Sequence[Tensor]) -> list[Tensor]:
    """Mean of the last layer, clip by clip, as `transformers` computes it."""
    if layout.head == _WHISPER:
        extract = transformers.WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)
        inputs = [extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt")["input_features"] for clip in clips]
        encoder = model.model.encoder
    elif layout.head == _AST:
        extract = transformers.ASTFeatureExtractor()
        inputs = [extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"] for clip in clips]
        # The first two are the special tokens.
        return [model.base_model(values).last_hidden_state[:, 2:].mean(dim=1) for values in inputs]
    else:
        extract = transformers.Wav2Vec2FeatureExtractor(do_normalize=layout.normalise)
        inputs = [extract(clip.numpy(), sampling_rate=16_000, return_tensors="pt")["input_values"] for clip in clips]
        encoder = model.base_model
    return [encoder(values).last_hidden_state.mean(dim=1) for values in inputs]


def _classify(model: Any, folder: Path, texts: Sequence[str]) -> list[Tensor]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return [model(**tokenizer(text, return_tensors="pt")).logits.softmax(dim=1) for text in texts]


def _configure(layout: Layout, name: str) -> Any:
    if layout.head == _WHISPER:  # `transformers` pads to 30 s
        return Whisper(architecture="whisper", weights=name, pad={"seconds": 30.0})
    if layout.head == _AST:
        return Ast(architecture="ast", weights=name)
    names = {"Wav2Vec2": "wav2vec2", "WavLM": "wavlm", "Hubert": "hubert", "Data2Vec": "data2vec"}
    (architecture,) = (known for prefix, known in names.items() if layout.head.startswith(prefix))
    return Transformer(architecture=architecture, weights=name)


def _compare(found: Tensor, expected: Tensor) -> float:
    """Largest difference, in parts of the standard deviation."""
    return float((found - expected).abs().max() / expected.std())


def _report(layout: Layout, n_parameters: int, seconds: float, peak: float, difference: float) -> dict[str, Any]:
    row = {"name": layout.name, "layout": layout.quirks, "parameters_m": round(n_parameters / 1e6, 1)}
    return {**row, "load_cpu_s": round(seconds, 1), "peak_mb": round(peak), "difference": difference}


def main() -> None:
    """Print a line for each layout, made in one process and loaded in another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="hub ids")
    parser.add_argument("--size", choices=("base", "large"))
    parser.add_argument("--small", action="store_true", help="the same layouts with few parameters")
    parser.add_argument("--export", action="store_true", help="also to ONNX")
    parser.add_argument("--folder", type=Path, help="for the weights: up to 7 GB; default: a temporary folder")
    parser.add_argument("--step", choices=("write", "load"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = [
        layout.shrink() if options.small else layout
        for layout in (*SPEECH, *TEXT)
        if (not options.only or layout.name in options.only) and options.size in (None, layout.size)
    ]
    if options.step:
        _run_step(chosen[0], options)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        for layout in chosen:
            arguments = [sys.executable, __file__, *sys.argv[1:], "--only", layout.name, "--folder", scratch]
            for step in ("write", "load"):
                done = subprocess.run([*arguments, "--step", step], capture_output=True, text=True, check=False)
                if done.returncode:
                    print(json.dumps({"name": layout.name, "error": done.stderr.strip().splitlines()[-1]}), flush=True)
                    break
            else:
                print(done.stdout.strip().splitlines()[-1], flush=True)
            shutil.rmtree(Path(scratch, "model"), ignore_errors=True)


def _run_step(layout: Layout, options: argparse.Namespace) -> None:
    inputs, kept = read_inputs(layout), options.folder / "expected.pt"
    if options.step == "write":
        torch.save(write_layout(layout, options.folder / "model", inputs), kept)
    else:
        print(json.dumps(load_layout(layout, options.folder, "model", inputs, torch.load(kept), options.export)))


if __name__ == "__main__":
    main()
