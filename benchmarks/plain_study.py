"""A small study as a short script, without a pipeline: the plain side of `small_study.py`.

openSMILE's ComParE functionals of every clip, z-scored, into an SVM; or, with `--whisper`, the layers of Whisper's encoder, each averaged
over a clip of natural length, into logistic regression on the layer that five inner folds over training speakers choose. One speaker is
left out; predictions, unweighted average recall and macro-F1 are written. Names are those of EmoDB: speaker, sentence, emotion
(`03a01Fa`).
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, recall_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

EMOTIONS = {"W": "anger", "F": "happiness", "N": "neutral", "T": "sadness"}


def main() -> None:
    """Extract, fit, predict, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of EmoDB's audio files")
    parser.add_argument("output", type=Path, help="folder to write to")
    parser.add_argument(
        "--c", type=float, help="cost of an error of the SVM, default 1; of logistic regression, default 0.05"
    )
    parser.add_argument("--whisper", type=Path, help="checkpoint of openai-whisper; its layers in place of functionals")
    arguments = parser.parse_args()
    clips = sorted(path for path in arguments.corpus.rglob("*.*") if path.stem[5:6] in EMOTIONS)
    labels = np.array([EMOTIONS[path.stem[5]] for path in clips])
    speakers = np.array([path.stem[:2] for path in clips])
    if arguments.whisper:
        predicted = probe(read_layers(arguments.whisper, clips), labels, speakers, arguments.c or 0.05)
    else:
        import opensmile

        smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals, num_workers=1)
        vectors = smile.process_files([str(path) for path in clips]).to_numpy()
        predicted = leave_speakers_out(vectors, labels, speakers, arguments.c or 1.0)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(zip((path.stem for path in clips), labels, predicted, strict=True))
    scores = {
        "clips": len(clips),
        "uar": recall_score(labels, predicted, average="macro"),
        "macro_f1": f1_score(labels, predicted, average="macro"),
    }
    (arguments.output / "scores.json").write_text(json.dumps(scores))


def leave_speakers_out(vectors: np.ndarray, labels: np.ndarray, speakers: np.ndarray, c: float) -> np.ndarray:
    """Predictions of every clip by a machine that did not see its speaker."""
    predicted = np.empty_like(labels)
    for speaker in np.unique(speakers):
        test = speakers == speaker
        scaler = StandardScaler().fit(vectors[~test])
        machine = SVC(C=c, gamma="auto").fit(scaler.transform(vectors[~test]), labels[~test])
        predicted[test] = machine.predict(scaler.transform(vectors[test]))
    return predicted


def read_layers(weights: Path, clips: list[Path]) -> np.ndarray:
    """(n_clips, n_layers, width) means over time of the input and the layers of Whisper's encoder, at natural length."""
    import soundfile
    import torch
    import whisper

    torch.set_num_threads(1)
    encoder, found = whisper.load_model(str(weights), device="cpu").encoder.eval(), []
    with torch.inference_mode():
        for path in clips:
            samples, _ = soundfile.read(path, dtype="float32")
            mel = whisper.log_mel_spectrogram(samples)[None]
            hidden = torch.nn.functional.gelu(encoder.conv2(torch.nn.functional.gelu(encoder.conv1(mel)))).transpose(
                1, 2
            )
            states = [hidden + encoder.positional_embedding[: hidden.shape[1]]]
            for block in encoder.blocks:
                states.append(block(states[-1]))
            states[-1] = encoder.ln_post(states[-1])
            found.append(torch.cat(states).mean(dim=1).numpy())
    return np.stack(found)


def probe(layers: np.ndarray, labels: np.ndarray, speakers: np.ndarray, c: float) -> np.ndarray:
    """Predictions of every clip by logistic regression on the layer that is best in inner folds over the other speakers."""
    machine = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
    predicted = np.empty_like(labels)
    for speaker in np.unique(speakers):
        test = speakers == speaker
        folds = StratifiedGroupKFold(min(5, len(np.unique(speakers)) - 1))
        inner = {"y": labels[~test], "groups": speakers[~test], "cv": folds}
        found = [cross_val_predict(machine, layer, **inner) for layer in layers[~test].swapaxes(0, 1)]
        best = int(np.argmax([f1_score(labels[~test], names, average="macro") for names in found]))
        machine.fit(layers[~test, best], labels[~test])
        predicted[test] = machine.predict(layers[test, best])
    return predicted


if __name__ == "__main__":
    main()
