"""The report: one HTML file with everything inside, which asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from emoadapt.config import OnnxNetwork, Study
from emoadapt.errors import DataError
from emoadapt.reporting.display import present_table
from emoadapt.reporting.figures import figure_names
from emoadapt.reporting.summary import list_exposures, list_notices, summarise_results, used_features
from emoadapt.reporting.tables import read_tidy, table_names

SHOWN_ROWS = 200
"""Rows of a table in the report; the CSV has all."""

_CONSTANT = (
    "task",
    "tested on",
    "training clips",
    "n test",
    "runs",
    "weights",
    "split",
    "split by",
    "labels",
    "left out",
    "fold",
)
"""Columns that move below the table when all their values are the same."""

_CARRIED = dict.fromkeys(("haar", "pocketsphinx", "vader"), "that of its Python package, which carries it")

_READ_INTERVAL = (
    "Each row is one model: the point is its mean over runs, the line the bootstrap interval over test clips (not over seeds). "
    "Overlapping lines do not settle a comparison, since original and adapted are tested on the same utterances: "
    "see the difference in the table."
)

# section: (heading, tables, figures, introduction)
_SECTIONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], str]] = {
    "results": ("Results", ("results",), ("results",), "Tested on the corpus that the models were fine-tuned on."),
    "low-resource": ("Few labelled clips", ("low_resource",), ("low_resource",), "The same task with fewer training clips."),
    "classes": (
        "Per class and confusion", ("per_class_f1",), ("per_class_f1", "confusion"), "Which emotions are told apart, and which are not.",
    ),
    "bias": ("F1 bias", ("f1_bias",), ("f1_bias",), "Mean absolute difference between the F1 of all pairs of classes; lower is more even."),
    "distance": (
        "Distance from the starting point", ("cosine_distance",), ("cosine_distance",),
        "Mean cosine distance between the pooled embeddings of a fine-tuned model and of its own starting point.",
    ),
    "cross-corpus": ("Cross-corpus", ("cross_corpus",), (), "Tested on corpora that the models were never trained on."),
    "stage-1": ("Stage-1 training", (), ("training_curves",), "How well the objectives were learned from unlabelled clips."),
    "stage-2": ("Fine-tuning", (), ("finetuning_curves",), "Whether the runs behind the scores had converged, and how far they differ."),
    "data": (
        "Data and splits", ("data", "stage1_data"), (),
        "Speakers or recordings in more than one split of a fold make a score too good: there should be none. Recordings are compared "
        "by the content of their files, over all corpora; speakers of different corpora count as different people.",
    ),
    "speech-recognition": (
        "Speech recognition", ("word_errors",), (),
        "Recognised words against the corpus's own transcripts, both normalised (case, punctuation; in English also contractions, "
        "numbers and spelling). Clips in which no word was heard count as deletions; clips that the recogniser was not given do not count.",
    ),
    "quarantine": (
        "What was set aside", ("quarantine", "quarantine_rows"), ("quarantine",),
        "Clips for which a feature could not be computed, and why. A missing target is masked, never made up. Clips that were "
        "“kept, but look” are in use like any other; what is said of them may matter to a reader.",
    ),
}  # fmt: skip

_READ_FIGURE = {
    "results": _READ_INTERVAL,
    "f1_bias": _READ_INTERVAL + " Further left is better here.",
    "low_resource": "Left to right, more labelled clips; a line above another is better; vertical bars are bootstrap intervals over test clips.",
    "per_class_f1": "Each row is a class; further right is better; the bars are ± one standard deviation over all runs, cut at 0 and 1.",
    "confusion": "Each row is a true class and sums to 100 %; the diagonal is what was recognised. Small figures: utterances per run.",
    "cosine_distance": "Lower means that fine-tuning moved the model less; vertical bars are ± one standard deviation over runs.",
    "training_curves": "Two lines of panels per model. Losses: falling means learning, a held-out line (solid) that rises while the "
    "training line (dashed) falls means overfitting. Below them, on held-out clips, CCC and accuracy: higher is better, and a CCC near 0 "
    "means that nothing was learned. Epoch 0 is before training; the orange point is the epoch whose weights were kept.",
    "finetuning_curves": "Macro-F1 on the development part at the largest training set: thin lines are runs, the thick one is their "
    "mean, points are the epochs whose weights were tested. Points at the right edge hint that training ended too early; jumping lines mean "
    "that the choice of the epoch is a matter of luck.",
    "quarantine": "Longer bars mean more clips set aside; orange ones could not be read, blue ones lack the modality, "
    "grey ones were kept and have a note.",
}

_TABLE_TITLES = {
    "results": "Scores and differences", "low_resource": "Macro-F1 by number of training clips", "per_class_f1": "F1 of each class",
    "f1_bias": "F1 bias", "cosine_distance": "Cosine distance", "cross_corpus": "Scores on other corpora", "data": "Utterances and speakers",
    "stage1_data": "Stage 1, and what it heard of the test sets", "word_errors": "Word errors",
    "quarantine": "Counts by reason", "quarantine_rows": "Every clip and reason",
}  # fmt: skip

_SCRIPT = """
document.querySelectorAll('table.sortable').forEach(function (table) {
  table.querySelectorAll('thead th button').forEach(function (button, column) {
    button.addEventListener('click', function () {
      var head = button.parentNode, up = head.getAttribute('aria-sort') !== 'ascending', body = table.tBodies[0];
      table.querySelectorAll('thead th').forEach(function (other) { other.removeAttribute('aria-sort'); });
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      function key(row) {
        var text = row.cells[column].textContent.trim(), plain = text.replace(/\\u2212/g, '-').replace(/,(?=\\d{3})/g, '');
        var found = plain.match(/^[<\\[]?\\s*([+-]?(?:\\d+\\.?\\d*|\\.\\d+))/);
        return { number: found ? parseFloat(found[1]) : null, text: text };
      }
      Array.from(body.rows).map(function (row) { return { row: row, key: key(row) }; }).sort(function (a, b) {
        var order = a.key.number !== null && b.key.number !== null ? a.key.number - b.key.number
          : a.key.number !== null ? -1 : b.key.number !== null ? 1 : a.key.text.localeCompare(b.key.text);
        return up ? order : -order;
      }).forEach(function (entry) { body.appendChild(entry.row); });
    });
  });
});
"""


def write_report(study: Study, tables: Path, figures: Path, provenance: Mapping[str, Any], out: Path) -> None:
    """Write the self-contained report.

    Args:
        study: the configuration.
        tables: folder written by `write_tables`.
        figures: folder written by `write_figures`.
        provenance: what computed the results; every entry is shown, mappings as tables (`versions`, `code`, ...) and
            the rest as text. `licences` (source of weights -> licence) is shown beside the weights instead.
        out: HTML file to write.

    Raises:
        DataError: a table or figure is missing.
    """
    names = table_names(study, (tables / "word_errors.csv").is_file())
    shown = {name: _prepare_table(name, _find(tables / f"{name}.csv")) for name in names}
    images = {name: _embed(_find(figures / f"{name}.svg")) for name in figure_names(study)}
    results, cross, stage1, data = (
        read_tidy(tables / f"{name}.csv") for name in ("results", "cross_corpus", "stage1_data", "data")
    )
    headline, sentences = summarise_results(study, results, cross)
    licences = provenance.get("licences", {})
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("report.html.j2").render(
        study=study,
        title=study.report.title or study.study,
        notices=[*list_notices(study), *list_exposures(stage1, data)],
        headline=headline,
        sentences=sentences,
        sections=_build_sections(study, shown, images),
        weights=describe_weights(study, licences),
        provenance={name: _tidy_entry(value) for name, value in provenance.items() if name != "licences"},
        confidence=f"{100 * study.report.confidence:g}",
        script=_SCRIPT,
        script_hash=base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode(),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(out)


def describe_weights(study: Study, licences: Mapping[str, str]) -> list[dict[str, str]]:
    """Which networks were used, where their weights are from, and whether they were trained.

    Args:
        study: the configuration.
        licences: name or file of weights -> licence.
    """

    def entry(role: str, kind: str, key: str | None, source: str | None = None) -> dict[str, str]:
        licence = "–" if key is None else licences.get(key) or _CARRIED.get(key) or "see the model's page"
        weights = "UNTRAINED" if key is None else "rules, nothing learned" if key == "vader" else "pretrained"
        return {
            "role": role,
            "kind": kind,
            "source": source or key or "none (seeded at random)",
            "weights": weights,
            "licence": licence,
        }

    rows = []
    for name, backbone in study.backbones.items():
        source = backbone.weights and backbone.weights + (f" @ {backbone.revision}" if backbone.revision else "")
        rows.append(
            entry(f"backbone {name}", f"{backbone.architecture}, CNN {backbone.cnn_mode}", backbone.weights, source)
        )
    used, features = used_features(study), study.features
    if "faces" in used:
        rows.append(entry("face detection", features.faces.detector, features.faces.weights or features.faces.detector))
    if "face_embedding" in used:
        network = features.face_embedding.network
        kind, key = ("ONNX network", network.file) if isinstance(network, OnnxNetwork) else (network.untrained, None)
        rows.append(entry("face embedding", kind, key))
    if "transcript" in used and features.transcript.engine != "corpus":
        asr = features.transcript
        rows.append(entry("speech recognition", asr.engine, asr.model if asr.engine == "whisper" else asr.engine))
    if "sentiment" in used:
        sentiment = features.sentiment
        key = sentiment.model if sentiment.engine == "transformers" else sentiment.engine
        rows.append(entry("sentiment", sentiment.engine, key))
    return rows


def _build_sections(study: Study, tables: Mapping[str, Any], images: Mapping[str, str]) -> list[dict[str, Any]]:
    sections = []
    for key, (heading, wanted, drawn, introduction) in _SECTIONS.items():
        own_tables = [(_TABLE_TITLES[name], tables[name]) for name in wanted if name in tables and tables[name]["rows"]]
        own_images = [(images[name], _READ_FIGURE[name], name) for name in drawn if name in images]
        if key == "quarantine" and not own_tables:
            own_images, introduction = [], "Nothing: every feature could be computed for every clip."
        if own_tables or own_images or key == "quarantine":
            sections.append(
                {
                    "id": key,
                    "heading": heading,
                    "introduction": introduction,
                    "tables": own_tables,
                    "images": own_images,
                }
            )
    if study.report.paper:
        name = f"paper_{study.report.paper}"
        sections.append(
            {
                "id": "paper",
                "heading": "The paper's figures",
                "introduction": "As printed; their weights, labels and splits may differ from those of this study.",
                "tables": [(study.report.paper, tables[name])],
                "images": [],
            }
        )
    return sections


def _prepare_table(name: str, path: Path) -> dict[str, Any]:
    """Columns, rows, what all rows share, and how many rows were left out."""
    frame = present_table(name, read_tidy(path))
    shared = {}
    if frame.height > 1:
        shared = {c: frame[c][0] for c in frame.columns if c in _CONSTANT and frame[c].n_unique() == 1}
        frame = frame.drop(list(shared))
    numeric = [_is_numeric(frame[column]) for column in frame.columns]
    return {
        "name": name,
        "columns": list(zip(frame.columns, numeric, strict=True)),
        "rows": [list(zip(row, numeric, strict=True)) for row in frame.head(SHOWN_ROWS).iter_rows()],
        "shared": {c: value for c, value in shared.items() if value != "–"},
        "hidden": max(0, frame.height - SHOWN_ROWS),
    }


def _is_numeric(column: pl.Series) -> bool:
    """Whether a text column reads as numbers and is set flush right."""
    return bool(column.str.contains(r"^(–|[<\[+−\s]*[\d.,]+.*)$").all())


def _tidy_entry(value: Any) -> dict[str, str] | str:
    """A flat mapping as it is; anything else as indented text."""
    if isinstance(value, Mapping) and not any(isinstance(v, (Mapping, list, tuple)) for v in value.values()):
        return {str(key): str(entry) for key, entry in value.items()}
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _embed(path: Path) -> str:
    """An SVG as a data URI: apart from the page's own names and scripts, and crisp at any size."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _find(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path} is missing; write tables and figures before the report")
    return path
