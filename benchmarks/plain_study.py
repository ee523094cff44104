"""A classical study as a short script, without a pipeline: the plain side of `small_study.py`.

openSMILE's ComParE functionals of every clip, z-scored, into an SVM, leaving one speaker out; predictions and unweighted average
recall are written. Names are those of EmoDB: speaker, sentence, emotion (`03a01Fa`).
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import opensmile
from sklearn.metrics import recall_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

EMOTIONS = {"W": "anger", "F": "happiness", "N": "neutral", "T": "sadness"}


def main() -> None:
    """Extract, fit, predict, score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of EmoDB's audio files")
    parser.add_argument("output", type=Path, help="folder to write to")
    parser.add_argument("--c", type=float, default=1.0, help="cost of an error of the SVM")
    arguments = parser.parse_args()
    clips = sorted(path for path in arguments.corpus.rglob("*.*") if path.stem[5:6] in EMOTIONS)
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals, num_workers=1)
    vectors = smile.process_files([str(path) for path in clips]).to_numpy()
    labels = np.array([EMOTIONS[path.stem[5]] for path in clips])
    predicted = leave_speakers_out(vectors, labels, np.array([path.stem[:2] for path in clips]), arguments.c)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(zip((path.stem for path in clips), labels, predicted, strict=True))
    uar = recall_score(labels, predicted, average="macro")
    (arguments.output / "scores.json").write_text(json.dumps({"clips": len(clips), "uar": uar}))


def leave_speakers_out(vectors: np.ndarray, labels: np.ndarray, speakers: np.ndarray, c: float) -> np.ndarray:
    """Predictions of every clip by a machine that did not see its speaker."""
    predicted = np.empty_like(labels)
    for speaker in np.unique(speakers):
        test = speakers == speaker
        scaler = StandardScaler().fit(vectors[~test])
        machine = SVC(C=c, gamma="auto").fit(scaler.transform(vectors[~test]), labels[~test])
        predicted[test] = machine.predict(scaler.transform(vectors[test]))
    return predicted


if __name__ == "__main__":
    main()
