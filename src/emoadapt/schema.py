"""The data contract: every Parquet table, its columns, types, shapes and units, in one place.

Each table is a `pyarrow.Schema` whose fields carry a `description`; `describe` prints them for the docs.
A feature table begins with the four `FEATURE_COLUMNS`; a row that is not `ok` has nulls in the others. A row that is `ok` may
carry a note in `reason`: it is used like any other, and listed so that somebody looks at it.
"""

from __future__ import annotations

import pyarrow as pa

from emoadapt.plugins import load_plugin

SAMPLE_RATE = 16_000
"""Hz; every audio column holds mono samples at this rate."""

UNREADABLE = "unreadable"
"""Fingerprint of a media file that is missing or cannot be opened; extraction sets its clips aside."""

SENTIMENTS = ("negative", "neutral", "positive")
"""Order of the columns of every sentiment probability vector."""

ATTRIBUTES = ("arousal", "valence", "dominance")
"""Emotional attributes of the label tables, in the order of every table and report."""


def column(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    """A column: its name, type and meaning."""
    return pa.field(name, kind, nullable, metadata={"description": description})


_column = column
_ID = _column("utterance_id", pa.string(), "<corpus>/<path stem>[#start-end], stable under re-import", nullable=False)
_LABEL_WEIGHTS = pa.list_(pa.struct([("label", pa.string()), ("weight", pa.float64())]))

MANIFEST = pa.schema(
    [
        _ID,
        _column("media", pa.string(), "path relative to the corpus root, / as separator", nullable=False),
        _column("start", pa.float64(), "s; null = from the beginning"),
        _column("end", pa.float64(), "s; null = to the end"),
        _column("speaker", pa.string(), "speaker name, unique within the corpus; null = unknown"),
        _column("sex", pa.string(), "female | male | null"),
        _column("language", pa.string(), "ISO 639-1 code or null"),
        _column("split", pa.string(), "the corpus's official partition: train | dev | test | its own name | null"),
        _column("transcript", pa.string(), "the corpus's own transcript or null"),
        _column("fingerprint", pa.string(), "content hash of the media file", nullable=False),
    ]
)

LABELS = pa.schema(
    [
        _ID,
        _column("label", pa.string(), "categorical label; null = none (for example a dropped tie)"),
        _column("votes", _LABEL_WEIGHTS, "number of raters per label"),
        _column("soft", _LABEL_WEIGHTS, "label distribution, sums to 1"),
        _column("arousal", pa.float64(), "in the corpus's own scale"),
        _column("valence", pa.float64(), "in the corpus's own scale"),
        _column("dominance", pa.float64(), "in the corpus's own scale"),
    ]
)

FEATURE_COLUMNS = [
    _ID,
    _column(
        "key",
        pa.string(),
        "digest of input, parameters, code and model: the row is reused while it holds",
        nullable=False,
    ),
    _column("status", pa.string(), "ok | absent (no face, no words) | failed (could not be read)", nullable=False),
    _column(
        "reason", pa.string(), "'<code>: <detail>' when not ok, or a note on a row that is; else null, never empty"
    ),
]


def make_feature_table(*columns: pa.Field) -> pa.Schema:
    """Table of a feature: the columns of every one, then its own."""
    return pa.schema([*FEATURE_COLUMNS, *columns])


def make_frames_table(name: str, what: str) -> pa.Schema:
    """Table of a feature of openSMILE's frames, in a column of the feature's name."""
    return make_feature_table(
        column(name, pa.binary(), f"(n_frames, dimension) float32 little-endian row-major, {what}"),
        column("n_frames", pa.int32(), "frames; frame i begins i * step after the beginning of the clip"),
        column("dimension", pa.int32(), "descriptors"),
        column("step", pa.float64(), "s, from frame to frame"),
    )


def feature_table(name: str) -> pa.Schema:
    """Table of a feature, which its module declares.

    Raises:
        ConfigError: there is no such feature.
    """
    return load_plugin("features", name).TABLE


FRONTEND = pa.schema(
    [
        *FEATURE_COLUMNS,
        _column(
            "frontend",
            pa.binary(),
            "(n_frames, dimension) float16 row-major, the output of a backbone's frozen front end",
        ),
        _column("n_frames", pa.int32(), "frames"),
        _column("dimension", pa.int32(), "channels of the front end's last layer"),
    ]
)

LAYERS = pa.schema(
    [
        *FEATURE_COLUMNS,
        _column(
            "layers",
            pa.binary(),
            "(n_frames, dimension) float32 row-major, mean over time of each layer of a frozen backbone, its transformer's input first",
        ),
        _column("n_frames", pa.int32(), "layers, the input of the transformer among them"),
        _column("dimension", pa.int32(), "width of the backbone"),
    ]
)

KEPT: dict[str, pa.Schema] = {"frontend": FRONTEND, "layers": LAYERS}
"""Outputs of frozen backbones that are computed once for each clip and kept as features, `<kind>.<backbone>[.<adaptation>]`."""

PARTS = pa.schema(
    [
        _ID,
        _column("corpus", pa.string(), "corpus name", nullable=False),
        _column("speaker", pa.string(), "speaker or null"),
        _column("part", pa.string(), "train | held_out", nullable=False),
    ]
)

NORMALISERS = pa.schema(
    [
        _column("objective", pa.string(), "objective whose target is z-scored", nullable=False),
        _column("corpus", pa.string(), "corpus it applies to; * = all", nullable=False),
        _column(
            "mean",
            pa.list_(pa.float64()),
            "(dimension,) mean over the training part, or its median where the objective wants it, in the feature's units",
        ),
        _column("std", pa.list_(pa.float64()), "(dimension,) standard deviation; 1 where the target is constant"),
        _column("n", pa.int64(), "utterances it was fitted on"),
    ]
)


def training(objectives: tuple[str, ...]) -> pa.Schema:
    """Schema of the Stage-1 training shards of a corpus for these objectives (sorted by name)."""
    fields = [
        _ID,
        _column("audio", pa.binary(), "(n_samples,) int16 little-endian, mono, 16 kHz", nullable=False),
        _column("n_samples", pa.int64(), "number of samples", nullable=False),
    ]
    for name in sorted(objectives):
        fields += [
            _column(
                f"target_{name}", pa.list_(pa.float32()), "raw target; normalised when read, with the saved normaliser"
            ),
            _column(
                f"mask_{name}", pa.bool_(), "True where the target is there and its loss term counts", nullable=False
            ),
        ]
    return pa.schema(fields)


SPLITS = pa.schema(
    [
        _ID,
        _column("corpus", pa.string(), "corpus name", nullable=False),
        _column("speaker", pa.string(), "speaker or null"),
        _column("sex", pa.string(), "female | male | null"),
        _column("label", pa.string(), "class of the task; null in a task of attributes"),
        _column("partition", pa.int32(), "which division of the corpus", nullable=False),
        _column("fold", pa.int32(), "fold of the partition; 0 where there is one", nullable=False),
        _column("split", pa.string(), "train | dev | test", nullable=False),
        _column("soft", pa.list_(pa.float32()), "shares of the task's classes in the raters' votes; null = no votes"),
        *(
            _column(
                name, pa.float64(), "in the corpus's own scale; null = not rated, or not among the task's attributes"
            )
            for name in ATTRIBUTES
        ),
    ]
)

SUBSETS = pa.schema(
    [
        _ID,
        _column("label", pa.string(), "class of the task; null in a task of attributes"),
        _column("partition", pa.int32(), "which division of the corpus", nullable=False),
        _column("fold", pa.int32(), "fold the subset was drawn from", nullable=False),
        _column("resampling", pa.int32(), "which draw", nullable=False),
    ]
)

MODEL_COLUMNS = [
    _column("task", pa.string(), "labelled task", nullable=False),
    _column("backbone", pa.string(), "backbone", nullable=False),
    _column("start", pa.string(), "what it starts from: original, or the name of an adaptation", nullable=False),
    _column("finetuning", pa.string(), "how it is trained on the task", nullable=False),
    _column("subset", pa.string(), "training clips: a number, or full", nullable=False),
]

SCORED_RUN_COLUMNS = [
    *MODEL_COLUMNS,
    _column("partition", pa.int32(), "which division of the corpus, scored alone", nullable=False),
    _column("resampling", pa.int32(), "which draw of the subset", nullable=False),
    _column("seed", pa.int32(), "seed of head, batch order and dropout", nullable=False),
]
"""Of scores: a run is scored with its folds pooled."""

RUN_COLUMNS = [*SCORED_RUN_COLUMNS, _column("fold", pa.int32(), "fold of the partition", nullable=False)]

PREDICTIONS = pa.schema(
    [
        *RUN_COLUMNS,
        _column("test_corpus", pa.string(), "corpus of this test utterance", nullable=False),
        _ID,
        _column("speaker", pa.string(), "speaker or null"),
        _column("sex", pa.string(), "female | male | null"),
        _column("label", pa.string(), "true class", nullable=False),
        _column("predicted", pa.string(), "arg-max class", nullable=False),
        _column("logits", pa.list_(pa.float32()), "(n_classes,) in the order of the task's classes", nullable=False),
    ]
)

ATTRIBUTE_PREDICTIONS = pa.schema(
    [
        *RUN_COLUMNS,
        _column("test_corpus", pa.string(), "corpus of this test utterance", nullable=False),
        _ID,
        _column("speaker", pa.string(), "speaker or null"),
        _column("sex", pa.string(), "female | male | null"),
        _column(
            "attribute", pa.string(), "arousal | valence | dominance; a row for each of the task's", nullable=False
        ),
        _column("value", pa.float64(), "true value, in the scale of the corpus tested on; null = not rated"),
        _column("predicted", pa.float64(), "predicted value, in the scale of the corpus trained on", nullable=False),
    ]
)

EMBEDDINGS = pa.schema(
    [
        *RUN_COLUMNS,
        _column("test_corpus", pa.string(), "corpus of this test utterance", nullable=False),
        _ID,
        _column("tuned", pa.list_(pa.float32()), "(width,) pooled last layer of the fine-tuned model", nullable=False),
        _column(
            "start_point", pa.list_(pa.float32()), "(width,) pooled last layer of its starting point", nullable=False
        ),
    ]
)

CURVES = pa.schema(
    [
        _column("stage", pa.string(), "stage1 | stage2", nullable=False),
        _column("run", pa.string(), "run name", nullable=False),
        _column("epoch", pa.int32(), "0 = before training", nullable=False),
        _column(
            "part",
            pa.string(),
            "train | held_out (Stage 1) | dev (Stage 2) | course (what varied with them)",
            nullable=False,
        ),
        _column(
            "metric",
            pa.string(),
            "loss, loss of one objective (loss_<name>), macro_f1, learning_rate, ...",
            nullable=False,
        ),
        _column("value", pa.float64(), "value", nullable=False),
        _column("best", pa.bool_(), "True on the epoch whose weights are kept", nullable=False),
    ]
)

METRICS = pa.schema(
    [
        *SCORED_RUN_COLUMNS,
        _column("test_corpus", pa.string(), "corpus tested on", nullable=False),
        _column(
            "metric",
            pa.string(),
            "name of a metric (docs/evaluation.md); of attributes <metric>_mean, and <metric>_<attribute> for each",
            nullable=False,
        ),
        _column("label", pa.string(), "class for per-class metrics, else null"),
        _column("value", pa.float64(), "value", nullable=False),
        _column("n", pa.int64(), "test utterances (of the class for per-class metrics), folds pooled", nullable=False),
    ]
)

CONFUSION = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n")],
        _column("label", pa.string(), "true class", nullable=False),
        _column("predicted", pa.string(), "predicted class", nullable=False),
        _column("count", pa.int64(), "test utterances, folds pooled", nullable=False),
    ]
)

COMPARISONS = pa.schema(
    [
        *MODEL_COLUMNS,
        _column("baseline_backbone", pa.string(), "backbone compared with; null = compared with none"),
        _column("baseline", pa.string(), "start compared with; null = compared with none"),
        _column("baseline_finetuning", pa.string(), "fine-tuning compared with; null = compared with none"),
        _column("test_corpus", pa.string(), "corpus tested on", nullable=False),
        _column("metric", pa.string(), "as in METRICS, without the per-class ones", nullable=False),
        _column("n_runs", pa.int64(), "runs of the model", nullable=False),
        _column("mean", pa.float64(), "mean over its runs", nullable=False),
        _column("std", pa.float64(), "standard deviation over its runs (n - 1); null with one run"),
        _column(
            "low",
            pa.float64(),
            "lower end of the percentile bootstrap interval of the mean (centred on the mean where a metric says so)",
            nullable=False,
        ),
        _column("high", pa.float64(), "upper end of the bootstrap interval of the mean", nullable=False),
        _column(
            "n_pairs", pa.int64(), "runs of the model and its baseline with the same partition, resampling and seed"
        ),
        _column("difference", pa.float64(), "model - baseline, mean over the pairs"),
        _column("difference_low", pa.float64(), "lower end of the bootstrap interval of the difference"),
        _column("difference_high", pa.float64(), "upper end of the bootstrap interval of the difference"),
        _column(
            "p_value",
            pa.float64(),
            "paired t-test over the pairs, those of one partition (else of one resampling) averaged first where there are several; "
            "null with fewer than two",
        ),
        _column(
            "alternative",
            pa.string(),
            "of the t-test: two-sided, or greater (one-tailed: the model is better than its baseline); null where nothing is compared",
        ),
        _column("n", pa.int64(), "test utterances of all its runs, each once", nullable=False),
    ]
)

WORD_ERRORS = pa.schema(
    [
        _column("corpus", pa.string(), "corpus with transcripts of its own", nullable=False),
        _column(
            "language",
            pa.string(),
            "ISO 639-1: the manifest's, else the configured, else the detected; null = none known",
        ),
        _column("engine", pa.string(), "recogniser", nullable=False),
        _column("model", pa.string(), "its model; null for engines with one"),
        _column("clips", pa.int64(), "clips with a transcript that the recogniser listened to", nullable=False),
        _column(
            "wordless",
            pa.int64(),
            "of them: it found no words, or none that could be trusted, and all words are deletions",
            nullable=False,
        ),
        _column(
            "unheard",
            pa.int64(),
            "further clips with a transcript, not counted: no audio, or a language that the recogniser does not know",
            nullable=False,
        ),
        _column("words", pa.int64(), "words of the transcripts, normalised", nullable=False),
        _column("substitutions", pa.int64(), "other words in their place", nullable=False),
        _column("deletions", pa.int64(), "words left out", nullable=False),
        _column("insertions", pa.int64(), "words too many", nullable=False),
        _column(
            "word_error_rate",
            pa.float64(),
            "(substitutions + deletions + insertions) / words; may exceed 1; null without words",
        ),
    ]
)

FAIRNESS = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n")],
        _column("grouping", pa.string(), "what test utterances are grouped by: sex | speaker", nullable=False),
        _column("group", pa.string(), "the sex or the speaker; null = over all groups"),
        _column(
            "metric",
            pa.string(),
            "of a group: macro_f1, recall (of a class); over the groups that are large enough: macro_f1_gap and recall_gap "
            "(largest - smallest), macro_f1_std (n - 1), macro_f1_lowest",
            nullable=False,
        ),
        _column("label", pa.string(), "class for recall and its gap (null = mean over classes), else null"),
        _column("value", pa.float64(), "value", nullable=False),
        _column("n", pa.int64(), "test utterances that it rests on, folds pooled", nullable=False),
        _column("groups", pa.int64(), "groups that it rests on", nullable=False),
    ]
)

CALIBRATION = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n")],
        _column(
            "metric",
            pa.string(),
            "ece, adaptive_ece, overconfidence, brier, nll, aurc, excess_aurc, accuracy_80, accuracy_50",
            nullable=False,
        ),
        _column("value", pa.float64(), "value", nullable=False),
        _column("n", pa.int64(), "test utterances, folds pooled", nullable=False),
    ]
)

RELIABILITY = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n")],
        _column("low", pa.float64(), "lower edge of the bin, left out of it (but 0)", nullable=False),
        _column("high", pa.float64(), "upper edge of the bin, part of it", nullable=False),
        _column("count", pa.int64(), "test utterances whose largest probability lies in the bin", nullable=False),
        _column("confidence", pa.float64(), "mean largest probability of them; null = none"),
        _column("accuracy", pa.float64(), "share of them that is classified rightly; null = none"),
    ]
)

COVERAGE = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n")],
        _column(
            "coverage", pa.float64(), "share of the test utterances kept, the most confident first", nullable=False
        ),
        _column("kept", pa.int64(), "utterances kept", nullable=False),
        _column(
            "accuracy", pa.float64(), "selective accuracy: share of them that is classified rightly", nullable=False
        ),
        _column("threshold", pa.float64(), "smallest confidence among them", nullable=False),
    ]
)

LEAKS = pa.schema(
    [
        _column("task", pa.string(), "labelled task", nullable=False),
        _column(
            "kind",
            pa.string(),
            "speakers | clips | development | transcripts | stage1_clips | stage1_speakers | labels | duplicates | stage1_copies | overlaps",
            nullable=False,
        ),
        _column(
            "between",
            pa.string(),
            "what is compared, the later one last: 'train / test', ...; within one part 'test / test', ...",
            nullable=False,
        ),
        _column("adaptation", pa.string(), "adaptation whose Stage 1 is compared; null = none"),
        _column("corpus", pa.string(), "corpus of the later part", nullable=False),
        _column(
            "count", pa.int64(), "speakers or utterances of the later part that are in the earlier too", nullable=False
        ),
        _column("of", pa.int64(), "speakers or utterances of the later part that could be compared", nullable=False),
        _column(
            "unchecked",
            pa.int64(),
            "utterances of the two parts that could not be compared: no speaker, no transcript, no readable file",
            nullable=False,
        ),
        _column("folds", pa.int64(), "folds, of all partitions, in which it is so", nullable=False),
        _column("examples", pa.list_(pa.string()), "up to three of them; of labels, five pairs", nullable=False),
        _column(
            "verdict",
            pa.string(),
            "none | unknown (nothing to compare) | reported | refused (tasks.<name>.leaks)",
            nullable=False,
        ),
    ]
)

QUARANTINE = pa.schema(
    [
        _column("corpus", pa.string(), "corpus", nullable=False),
        _column("feature", pa.string(), "feature that could not be computed, or that has a note", nullable=False),
        _ID,
        _column("status", pa.string(), "absent | failed | noted (the row is ok and in use)", nullable=False),
        _column("reason", pa.string(), "'<code>: <detail>'", nullable=False),
    ]
)


def describe(table: pa.Schema) -> list[tuple[str, str, str]]:
    """(column, type, description) for each column of a table."""
    return [(field.name, str(field.type), field.metadata[b"description"].decode()) for field in table]
