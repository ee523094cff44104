"""The command `emoadapt predict`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from emoadapt.inference.classifier import load_classifier
from emoadapt.inference.output import list_files, open_output, refuse_overwriting, show_progress, write_predictions
from emoadapt.inference.predict import predict_files
from emoadapt.inference.transcripts import read_transcripts


def run_predict(
    model: Path,
    paths: Sequence[Path],
    output: Path | None,
    *,
    as_csv: bool = False,
    recursive: bool = False,
    listed: Path | None = None,
    window: float | None = None,
    hop: float | None = None,
    whole: bool = False,
    batch_size: int = 8,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    transcripts: Path | None = None,
    language: str | None = None,
    models_dir: Path = Path("models"),
) -> bool:
    """Predict the emotions of files and write them as they are ready.

    Args:
        model: folder of a fine-tuned model.
        paths: files, and with `recursive` folders.
        output: file to write; None = the standard output.
        as_csv: CSV instead of JSON lines.
        recursive: take folders.
        listed: text file with more paths.
        window: as in `predict_files`, and so are `hop`, `whole`, `batch_size` and `device`.
        hop: see there.
        whole: see there.
        batch_size: see there.
        device: see there.
        transcripts: file with what is said in each file (`inference.transcripts`).
        language: as in `predict_files`, and so is `models_dir`.
        models_dir: see there.

    Returns:
        Whether no file failed.

    Raises:
        ConfigError: options or paths cannot be used.
        ModelError: the folder holds no classifier.
    """
    files = list_files(paths, recursive=recursive, listed=listed)
    if output is not None:
        refuse_overwriting(output, [*files, *filter(None, [listed, transcripts])])
    texts = None if transcripts is None else read_transcripts(transcripts, files)
    classifier = load_classifier(model)
    # What is wrong with the options is said here, before the output is emptied.
    predictions = predict_files(
        classifier, files, window=window, hop=hop, whole=whole, batch_size=batch_size, device=device,
        transcripts=texts, language=language, models_dir=models_dir,
    )  # fmt: skip
    with open_output(output) as file:
        # Where the results themselves appear on the terminal, they are the progress.
        if sys.stderr.isatty() and not file.isatty():
            predictions = show_progress(predictions, len(files), sys.stderr)
        outputs = classifier.classes, classifier.attributes
        counts = write_predictions(predictions, file, *outputs, as_csv=as_csv, texts=classifier.reads_text)
    if failed := counts.get("failed", 0):
        print(
            f"emoadapt: {failed} of {sum(counts.values())} rows have the status failed, with a reason", file=sys.stderr
        )
    return not failed
