"""Models that read more than audio: what they are given of files, against the extractors of a study."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from emoadapt.backbones.base import load_folder
from emoadapt.backbones.lld_transformer import Shape
from emoadapt.data.batching import Batch
from emoadapt.data.streams import AUDIO, Stream
from emoadapt.errors import ConfigError, ModelError
from emoadapt.features import compare_frames, text_tokens, transcript
from emoadapt.features.base import Context
from emoadapt.inference import reader as inference_reader
from emoadapt.inference.classifier import EmotionClassifier, load_classifier
from emoadapt.inference.command import run_predict
from emoadapt.inference.inputs import InputFeature, Inputs
from emoadapt.inference.predict import predict_files
from emoadapt.inference.reader import FeatureReader
from emoadapt.layers.heads import build_head
from emoadapt.layers.lld_transformer import LldBackbone
from emoadapt.media import read_recording
from emoadapt.weights.registry import identity

from ..features.fake_whisper import TOKENIZER, save_random_whisper, save_whisper
from ..transcription.text_models import save_encoder
from .conftest import CLASSES, make_classifier, write_noise

TOKENS = Stream("text_tokens", "text_tokens", "tokens")
FRAMES = Stream("compare_frames", "compare_frames", "frames")
HEARD = {"engine": "whisper", "model": "random.pt", "language": "en", "doubtful": "note"}
READ = {"model": "words", "doubtful": "note"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights: a recogniser whose words depend on the clip, one that finds none, and a text encoder."""
    folder = tmp_path_factory.mktemp("models")
    save_random_whisper(folder / "random.pt")
    save_whisper(folder / "silent.pt", {TOKENIZER.eot: 30.0})
    save_encoder(folder / "words", "roberta")
    return folder


def make_inputs(models: Path, streams: dict[str, Stream] | None = None, **heard: Any) -> Inputs:
    known = {"transcript": HEARD | heard, "text_tokens": READ}
    features = {name: InputFeature(section) for name, section in known.items()}
    files = {file.name: file for file in (models / "words").glob("*.json")}
    features["text_tokens"] = replace(features["text_tokens"], files=files)
    return Inputs(streams or {"tokens": TOKENS}, features, {})


def make_text_model(models: Path, **heard: Any) -> EmotionClassifier:
    backbone = load_folder(models / "words", origin="words", trained=True)
    return EmotionClassifier(
        backbone, build_head("mlp", 16, 8, 3, 0), CLASSES, inputs=make_inputs(models, **heard)
    ).eval()


def make_lld_model() -> EmotionClassifier:
    shape = Shape(width=20, heads=2, layers=1, scaled_layers=1, seed=1)
    backbone = LldBackbone(shape, "mean", reads="compare_frames", origin="lld", trained=True)
    inputs = Inputs({"frames": FRAMES}, {"compare_frames": InputFeature({"window": "paper_pitch60"})})
    return EmotionClassifier(backbone, build_head("mlp", 20, 8, 3, 0), CLASSES, inputs=inputs).eval()


class Joined(nn.Module):
    """Joins loudness with the mean of tokens or of frames; a vector of its own stands for what a clip lacks."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role
        self.absent = nn.Parameter(torch.tensor([7.0]))

    def embed(self, batch: Batch) -> torch.Tensor:
        loudness = torch.stack([clip.square().mean() for clip in batch.streams["audio"]])[:, None]
        values = batch.streams[self.role].float().flatten(1).mean(dim=1, keepdim=True)
        return torch.cat([loudness, torch.where(batch.present[self.role][:, None], values, self.absent)], dim=1)


def hear(models: Path, samples: np.ndarray, **values: Any) -> list[dict[str, Any]]:
    """Text and tokens of clips, by the extractors themselves."""
    rows = [{"audio": samples.tobytes(), "n_samples": len(samples), "language": None, "transcript": None}]
    found = transcript.load(transcript.Config(**HEARD | values), Context(models)).extract(rows)
    notes = [note for note in (found[0].get("reason") or "").split(" | ") if note]
    read = text_tokens.load(text_tokens.Config(**READ), Context(models))
    return [found[0] | read.extract([{**found[0], "transcript_notes": notes}])[0]]


def test_text_of_each_window_is_recognised(models: Path, tmp_path: Path) -> None:
    make_text_model(models).save(tmp_path / "model", {})
    classifier = load_classifier(tmp_path / "model")
    file = tmp_path / "a.wav"
    sweep = np.sin(2 * np.pi * (200 + 900 * np.arange(48_000) / 16_000) * np.arange(48_000) / 16_000)
    soundfile.write(file, sweep * np.linspace(0.001, 0.9, 48_000), 16_000, subtype="PCM_16")
    rows = list(predict_files(classifier, [file], window=1, hop=1, models_dir=models))
    assert [(row.start, row.end) for row in rows] == [(0, 1), (1, 2), (2, 3)]
    samples = read_recording(file, None, None, 100).samples
    for row, part in zip(rows, np.split(samples, 3), strict=True):
        (found,) = hear(models, part)
        assert row.status == "ok" and row.text == found["text"]
        with torch.inference_mode():
            logits = classifier([torch.tensor(found["text_tokens"])])
        assert list(row.probabilities.values()) == pytest.approx(logits.softmax(dim=1)[0].tolist(), abs=1e-6)
        assert set(found["reason"].split(" | ")) <= set(row.reason.split(" | "))
    assert len({row.text for row in rows}) > 1


def test_text_model_of_a_clip_without_words_gives_none(models: Path, tmp_path: Path) -> None:
    classifier = make_text_model(models, model="silent.pt")
    (row,) = predict_files(classifier, [write_noise(tmp_path / "a.wav", 1)], models_dir=models)
    assert (row.status, row.label) == ("absent", None)
    assert row.reason.startswith("no_words: the recogniser found no words")


def test_fused_model_predicts_a_clip_without_words_by_the_rest(models: Path, tmp_path: Path) -> None:
    inputs = make_inputs(models, {"audio": AUDIO, "tokens": TOKENS})
    classifier = EmotionClassifier(Joined("tokens"), nn.Identity(), attributes=("loudness", "tokens"), inputs=inputs)
    files = [write_noise(tmp_path / f"{name}.wav", 1, seed=seed) for seed, name in enumerate("ab")]
    texts = {files[0]: "", files[1]: "dogs"}
    rows = list(predict_files(classifier, files, transcripts=texts, language="en", models_dir=models))
    for row, file in zip(rows, files, strict=True):
        samples = read_recording(file, None, None, 100).samples / 32768
        assert row.status == "ok" and row.values["loudness"] == pytest.approx(np.square(samples).mean(), rel=1e-4)
    assert rows[0].values["tokens"] == 7 and rows[0].text is None
    assert rows[0].reason == "stream_absent: text_tokens: no_transcript: there is no transcript of this clip"
    read = text_tokens.load(text_tokens.Config(**READ), Context(models))
    (found,) = read.extract([{"text": "dogs", "language": "en", "transcript_notes": []}])
    assert rows[1].values["tokens"] == pytest.approx(np.mean(found["text_tokens"])) and rows[1].reason is None


def test_frames_that_a_clip_lacks_have_the_dimension_of_the_study(tmp_path: Path) -> None:
    """A clip that is shorter than openSMILE's windows, as `features.audio.min_seconds` may allow."""
    features = {"compare_frames": InputFeature({"window": "paper_pitch60"})}
    inputs = Inputs({"audio": AUDIO, "frames": FRAMES}, features, {"frames": 130})
    classifier = EmotionClassifier(Joined("frames"), nn.Identity(), attributes=("loudness", "frames"), inputs=inputs)
    reader = FeatureReader(inputs, tmp_path)
    clip = SimpleNamespace(file=Path("a"), samples=np.arange(500, dtype=np.int16), notes=None)
    (found,) = reader.read([clip])
    assert found.clip.streams["frames"].shape == (1, 130) and found.clip.absent == {"frames"}
    assert found.reason.startswith("stream_absent: compare_frames: too_short")
    values = classifier(reader.collate([found.clip]))
    assert values[0, 1] == 7


def test_frames_are_those_of_the_extractor_in_any_batch(tmp_path: Path) -> None:
    make_lld_model().save(tmp_path / "model", {})
    classifier = load_classifier(tmp_path / "model")
    files = [write_noise(tmp_path / f"{seed}.wav", 0.4 + 0.3 * seed, seed=seed) for seed in range(3)]
    alone = list(predict_files(classifier, files, batch_size=1))
    together = list(predict_files(classifier, files, batch_size=3))
    extractor = compare_frames.load(compare_frames.Config(window="paper_pitch60"), Context(tmp_path))
    for row, other, file in zip(alone, together, files, strict=True):
        (found,) = extractor.extract([{"audio": read_recording(file, None, None, 100).samples.tobytes()}])
        frames = torch.from_numpy(np.frombuffer(found["compare_frames"], "<f4").reshape(-1, 130).copy())
        with torch.inference_mode():
            expected = classifier([frames]).softmax(dim=1)[0].tolist()
        for predicted in (row, other):
            assert list(predicted.probabilities.values()) == pytest.approx(expected, abs=1e-5)


def test_bad_files_are_said_as_for_any_model(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    files = [tmp_path / "bad.wav", write_noise(tmp_path / "good.wav", 1), tmp_path / "silent.wav"]
    found = list(predict_files(make_lld_model(), files))
    assert [row.status for row in found] == ["failed", "ok", "absent"] and [row.file for row in found] == files


def test_text_has_a_column_of_its_own(models: Path, tmp_path: Path) -> None:
    make_text_model(models).save(tmp_path / "model", {})
    file = write_noise(tmp_path / "a.wav", 1)
    (tmp_path / "texts.txt").write_text("dogs\n")
    options = {"transcripts": tmp_path / "texts.txt", "language": "en", "models_dir": tmp_path}
    assert run_predict(tmp_path / "model", [file], tmp_path / "out.csv", form="csv", **options)
    header, row = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "file,start,end,status,label,p_calm,p_angry,p_glad,text,reason"
    assert row.endswith(",dogs,")


def test_missing_recogniser_says_how_to_get_it_or_do_without(models: Path, tmp_path: Path) -> None:
    classifier = make_text_model(models, model="small")
    said = "^transcript, which the model reads, .* weights 'whisper/small' are missing: .*models fetch.*; or give the texts with --transcripts$"
    with pytest.raises(ModelError, match=said):
        predict_files(classifier, [], models_dir=tmp_path)


def test_other_weights_than_those_of_the_study_are_named(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def open_with(weights: str) -> str:
        caplog.clear()
        inputs = make_inputs(models)
        inputs.features["transcript"] = replace(inputs.features["transcript"], weights=weights)
        classifier = make_text_model(models)
        classifier.inputs = inputs
        with caplog.at_level(logging.WARNING):
            predict_files(classifier, [], models_dir=models)
        return caplog.text

    assert open_with(identity("random.pt", models)) == ""
    assert "transcript: the weights random.pt" in (said := open_with("sha256:0123456789abcdef"))
    assert "the study had sha256:0123456789abcdef" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"transcripts": {}, "window": 3.0}, "a transcript is of a whole file"),
        ({"transcripts": {}}, "the model reads compare_frames and no text; leave --transcripts out"),
        ({"language": "en"}, "the model reads compare_frames and no text; leave --language out"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        predict_files(make_lld_model(), [], **options)


@pytest.mark.parametrize(("option", "value"), [("transcripts", {}), ("language", "en")])
def test_model_of_audio_alone_takes_no_text(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"the model reads audio and no text; leave --{option} out"):
        predict_files(make_classifier(), [], **{option: value})


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({"faces": {}}, "faces is computed from the media themselves; predict decodes audio only"),
        ({"my_frames": {}}, "the feature my_frames is a plug-in of its study; set EMOADAPT_PLUGINS"),
        ({"compare_frames": {"window": "wide"}}, "a section compare_frames that this version cannot read .window: "),
    ],
)
def test_feature_that_cannot_be_computed_is_refused(features: dict[str, Any], said: str) -> None:
    classifier = make_lld_model()
    described = {name: InputFeature(section) for name, section in features.items()}
    classifier.inputs = Inputs({"frames": FRAMES}, described)
    with pytest.raises(ModelError, match=said):
        predict_files(classifier, [])


@pytest.mark.parametrize("content", ["{", "[]", '{"streams": {}}', '{"streams": {"a": {"x": 1}}, "features": {}}'])
def test_description_that_nobody_sealed_and_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    make_lld_model().save(tmp_path, {})
    (tmp_path / "contents.json").unlink()
    (tmp_path / "features.json").write_text(content)
    with pytest.raises(ModelError, match=r"features\.json cannot be read .*; copy the whole folder again"):
        load_classifier(tmp_path)


def test_description_comes_back(models: Path, tmp_path: Path) -> None:
    inputs = replace(make_inputs(models), dimensions={"frames": 130}, language="de")
    inputs.write(tmp_path)
    said = json.loads((tmp_path / "features.json").read_text())
    assert list(said["features"]) == ["transcript", "text_tokens"]
    classifier = make_text_model(models)
    classifier.inputs = inputs
    classifier.save(tmp_path / "model", {})
    again = load_classifier(tmp_path / "model").inputs
    assert (again.streams, again.dimensions, again.language) == (inputs.streams, {"frames": 130}, "de")
    assert {name: feature.section for name, feature in again.features.items()} == {
        "transcript": HEARD,
        "text_tokens": READ,
    }
    assert again.features["text_tokens"].files.keys() == inputs.features["text_tokens"].files.keys()


def test_model_of_audio_alone_loads_no_feature(tmp_path: Path) -> None:
    make_classifier().save(tmp_path / "model", {})
    assert not (tmp_path / "model/features.json").exists()
    file = write_noise(tmp_path / "a.wav", 1)
    code = (
        "import sys; from pathlib import Path; from emoadapt.inference.command import run_predict;"
        f"assert run_predict(Path({str(tmp_path / 'model')!r}), [Path({str(file)!r})], None);"
        "found = {'opensmile', 'whisper', 'pocketsphinx', 'emoadapt.inference.reader'} & set(sys.modules);"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_file_may_have_a_language_of_its_own(models: Path) -> None:
    """Symptom: importers state the language of each clip, and a prediction knew one for all files."""
    stated = make_inputs(models, language=None)
    texts = {Path(name): "dogs" for name in "abc"}
    for given, expected in (
        ({"languages": {Path("a"): "de", Path("b"): "fr"}}, ["de", "fr", "en"]),
        ({"languages": {Path("a"): "de"}, "language": "es"}, ["de", "es", "es"]),
        ({"language": "es"}, ["es", "es", "es"]),
    ):
        reader = FeatureReader(replace(stated, language="en"), models, transcripts=texts, **given)
        clips = [SimpleNamespace(file=file, samples=np.arange(16_000, dtype=np.int16), notes=None) for file in texts]
        tables = {"manifest": list(map(reader._list_manifest, range(3), clips))}
        tables["audio"] = inference_reader._list_audio(clips)
        rows = inference_reader._extract(reader._features["transcript"], tables)
        assert [row["language"] for row in rows] == expected


def test_frames_whose_dimension_no_study_knew_are_measured(tmp_path: Path) -> None:
    """Symptom: KeyError at a clip without frames, if the study had read kept states in place of them."""
    features = {"compare_frames": InputFeature({"window": "paper_pitch60"})}
    reader = FeatureReader(Inputs({"audio": AUDIO, "frames": FRAMES}, features), tmp_path)
    (found,) = reader.read([SimpleNamespace(file=Path("a"), samples=np.arange(500, dtype=np.int16), notes=None)])
    assert found.clip.streams["frames"].shape == (1, 130) and found.clip.absent == {"frames"}


def test_vector_of_text_whose_dimension_no_study_knew_is_measured(models: Path) -> None:
    inputs = make_inputs(models, {"audio": AUDIO, "words": Stream("text_tokens", "text_tokens", "vector")})
    reader = FeatureReader(inputs, models, transcripts={})
    assert reader._find_dimension("words") == len(hear_tokens(models, "yes"))


def hear_tokens(models: Path, text: str) -> list[int]:
    read = text_tokens.load(text_tokens.Config(**READ), Context(models))
    return read.extract([{"text": text, "language": "en", "transcript_notes": []}])[0]["text_tokens"]
