"""The data contract: every Parquet table, its columns, types, shapes and units, in one place.

Each table is a `pyarrow.Schema` whose fields carry a `description`; `describe` prints them for the docs.
A feature table begins with the four `FEATURE_COLUMNS`; a row that is not `ok` has nulls in the others. A row that is `ok` may
carry a note in `reason`: it is used like any other, and listed so that somebody looks at it.
"""

from __future__ import annotations

import pyarrow as pa

from emoadapt.machine.starting import hidden
from emoadapt.plugins import load_plugin

with hidden("pandas"):
    # The first array asks whether pandas is installed, by an import of half a second. `to_pandas` and the like ask again.
    pa.array([])

SAMPLE_RATE = 16_000
"""Hz; every audio column holds mono samples at this rate."""

UNREADABLE = "unreadable"
"""Fingerprint of a media file that is missing or cannot be opened; extraction sets its clips aside."""

SENTIMENTS = ("negative", "neutral", "positive")
"""Order of the columns of every sentiment probability vector."""

ATTRIBUTES = ("arousal", "valence", "dominance")
"""Emotional attributes of the labels, in the order of every table and report."""


def column(name: str, kind: pa.DataType, description: str, *, nullable: bool = True) -> pa.Field:
    """A column: its name, type and meaning."""
    return pa.field(name, kind, nullable, metadata={"description": description})


_ID = column("utterance_id", pa.string(), "<corpus>/<path stem>[#start-end], stable under re-import", nullable=False)
_LABEL_WEIGHTS = pa.list_(pa.struct([("label", pa.string()), ("weight", pa.float64())]))

MANIFEST = pa.schema(
    [
        _ID,
        column("media", pa.string(), "path relative to the corpus root, / as separator", nullable=False),
        column("start", pa.float64(), "s; null = from the beginning"),
        column("end", pa.float64(), "s; null = to the end"),
        column("speaker", pa.string(), "speaker name, unique within the corpus; null = unknown"),
        column("sex", pa.string(), "female | male | null"),
        column("language", pa.string(), "ISO 639-1 code or null"),
        column("split", pa.string(), "the corpus's official partition: train | dev | test | its own name | null"),
        column("transcript", pa.string(), "the corpus's own transcript or null"),
        column("fingerprint", pa.string(), "content hash of the media file", nullable=False),
    ]
)

LABELS = pa.schema(
    [
        _ID,
        column("label", pa.string(), "categorical label; null = none (for example a dropped tie)"),
        column("votes", _LABEL_WEIGHTS, "number of raters per label"),
        column("soft", _LABEL_WEIGHTS, "label distribution, sums to 1"),
        column("arousal", pa.float64(), "in the corpus's own scale"),
        column("valence", pa.float64(), "in the corpus's own scale"),
        column("dominance", pa.float64(), "in the corpus's own scale"),
    ]
)

FEATURE_COLUMNS = [
    _ID,
    column(
        "key",
        pa.string(),
        "digest of input, parameters, code and model: the row is reused while it holds",
        nullable=False,
    ),
    column("status", pa.string(), "ok | absent (no face, no words) | failed (could not be read)", nullable=False),
    column("reason", pa.string(), "'<code>: <detail>' when not ok, or a note on a row that is; else null, never empty"),
]


def make_feature_table(*columns: pa.Field) -> pa.Schema:
    """Table of a feature: the columns of every one, then its own."""
    return pa.schema([*FEATURE_COLUMNS, *columns])


def make_frames_table(name: str, what: str, kind: str = "float32") -> pa.Schema:
    """Table of a feature of frames, in a column of the feature's name."""
    return make_feature_table(
        column(name, pa.binary(), f"(n_frames, dimension) {kind} little-endian row-major, {what}"),
        column("n_frames", pa.int32(), "frames; frame i begins i * step after the beginning of the clip"),
        column("dimension", pa.int32(), "values of a frame"),
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
        column(
            "frontend",
            pa.binary(),
            "(n_frames, dimension) float16 row-major, the output of a backbone's frozen front end",
        ),
        column("n_frames", pa.int32(), "frames"),
        column("dimension", pa.int32(), "channels of the front end's last layer"),
    ]
)

STATES = pa.schema(
    [
        *FEATURE_COLUMNS,
        column(
            "states",
            pa.binary(),
            "(n_frames, dimension) float16 row-major, the last layer of a frozen backbone, before pooling",
        ),
        column("n_frames", pa.int32(), "frames, or tokens"),
        column("dimension", pa.int32(), "width of the backbone"),
    ]
)

LAYERS = pa.schema(
    [
        *FEATURE_COLUMNS,
        column(
            "layers",
            pa.binary(),
            "(n_frames, dimension) float32 row-major, mean over time of each layer of a frozen backbone, its transformer's input first",
        ),
        column("n_frames", pa.int32(), "layers, the input of the transformer among them"),
        column("dimension", pa.int32(), "width of the backbone"),
    ]
)

KEPT: dict[str, pa.Schema] = {"frontend": FRONTEND, "states": STATES, "layers": LAYERS}
"""Outputs of frozen backbones that are computed once for each clip and kept as features, `<kind>.<backbone>[.<adaptation>]`."""

PARTS = pa.schema(
    [
        _ID,
        column("corpus", pa.string(), "corpus name", nullable=False),
        column("speaker", pa.string(), "speaker or null"),
        column("part", pa.string(), "train | held_out", nullable=False),
    ]
)

NORMALISERS = pa.schema(
    [
        column("objective", pa.string(), "objective whose target is z-scored", nullable=False),
        column("corpus", pa.string(), "corpus it applies to; * = all", nullable=False),
        column(
            "mean",
            pa.list_(pa.float64()),
            "(dimension,) mean over the training part, or its median where the objective wants it, in the feature's units",
        ),
        column("std", pa.list_(pa.float64()), "(dimension,) standard deviation; 1 where the target is constant"),
        column("n", pa.int64(), "utterances it was fitted on"),
    ]
)


def training(objectives: tuple[str, ...]) -> pa.Schema:
    """Schema of the Stage-1 training shards of a corpus for these objectives (sorted by name)."""
    fields = [
        _ID,
        column("audio", pa.binary(), "(n_samples,) int16 little-endian, mono, 16 kHz", nullable=False),
        column("n_samples", pa.int64(), "number of samples", nullable=False),
    ]
    for name in sorted(objectives):
        fields += [
            column(
                f"target_{name}", pa.list_(pa.float32()), "raw target; normalised when read, with the saved normaliser"
            ),
            column(
                f"mask_{name}", pa.bool_(), "True where the target is there and its loss term counts", nullable=False
            ),
        ]
    return pa.schema(fields)


SPLITS = pa.schema(
    [
        _ID,
        column("corpus", pa.string(), "corpus name", nullable=False),
        column("speaker", pa.string(), "speaker or null"),
        column("sex", pa.string(), "female | male | null"),
        column(
            "label",
            pa.string(),
            "class of the task; null in a task of attributes, and of a target where training reads it",
        ),
        column("partition", pa.int32(), "which division of the corpus", nullable=False),
        column("fold", pa.int32(), "fold of the partition; 0 where there is one", nullable=False),
        column("split", pa.string(), "train | dev | test | unlabelled (of a target)", nullable=False),
        column("soft", pa.list_(pa.float32()), "shares of the task's classes in the raters' votes; null = no votes"),
        *(
            column(
                name, pa.float64(), "in the corpus's own scale; null = not rated, or not among the task's attributes"
            )
            for name in ATTRIBUTES
        ),
    ]
)

SUBSETS = pa.schema(
    [
        _ID,
        column("label", pa.string(), "class of the task; null in a task of attributes"),
        column("partition", pa.int32(), "which division of the corpus", nullable=False),
        column("fold", pa.int32(), "fold the subset was drawn from", nullable=False),
        column("resampling", pa.int32(), "which draw", nullable=False),
    ]
)

MODEL_COLUMNS = [
    column("task", pa.string(), "labelled task", nullable=False),
    column("backbone", pa.string(), "backbone", nullable=False),
    column("start", pa.string(), "what it starts from: original, or the name of an adaptation", nullable=False),
    column("finetuning", pa.string(), "how it is trained on the task", nullable=False),
    column("subset", pa.string(), "training clips: a number, or full", nullable=False),
]

SCORED_RUN_COLUMNS = [
    *MODEL_COLUMNS,
    column("partition", pa.int32(), "which division of the corpus, scored alone", nullable=False),
    column("resampling", pa.int32(), "which draw of the subset", nullable=False),
    column("seed", pa.int32(), "seed of head, batch order and dropout", nullable=False),
]
"""Of scores: a run is scored with its folds pooled."""

RUN_COLUMNS = [*SCORED_RUN_COLUMNS, column("fold", pa.int32(), "fold of the partition", nullable=False)]

PREDICTIONS = pa.schema(
    [
        *RUN_COLUMNS,
        column("test_corpus", pa.string(), "corpus of this test utterance", nullable=False),
        _ID,
        column("speaker", pa.string(), "speaker or null"),
        column("sex", pa.string(), "female | male | null"),
        column("label", pa.string(), "true class; null of a target, whose labels no training reads"),
        column("predicted", pa.string(), "arg-max class", nullable=False),
        column("logits", pa.list_(pa.float32()), "(n_classes,) in the order of the task's classes", nullable=False),
    ]
)

ATTRIBUTE_PREDICTIONS = pa.schema(
    [
        *RUN_COLUMNS,
        column("test_corpus", pa.string(), "corpus of this test utterance", nullable=False),
        _ID,
        column("speaker", pa.string(), "speaker or null"),
        column("sex", pa.string(), "female | male | null"),
        column("attribute", pa.string(), "arousal | valence | dominance; a row for each of the task's", nullable=False),
        column("value", pa.float64(), "true value, in the scale of the corpus tested on; null = not rated"),
        column("predicted", pa.float64(), "predicted value, in the scale of the corpus trained on", nullable=False),
    ]
)

EMBEDDINGS = pa.schema(
    [
        *RUN_COLUMNS,
        column("test_corpus", pa.string(), "corpus of this test utterance", nullable=False),
        _ID,
        column("tuned", pa.list_(pa.float32()), "(width,) pooled last layer of the fine-tuned model", nullable=False),
        column(
            "start_point", pa.list_(pa.float32()), "(width,) pooled last layer of its starting point", nullable=False
        ),
    ]
)

TRAINING_CLIPS = pa.schema(
    [
        *RUN_COLUMNS,
        _ID,
        column("embedding", pa.list_(pa.float32()), "(width,) pooled embedding by the trained model; null = not kept"),
        column("outputs", pa.list_(pa.float32()), "(n_outputs,) its logits or values; null = not kept"),
        column(
            "use",
            pa.string(),
            "what a further loss term made of the clip: taught | residual | misclassified (left out because of the teacher's outputs) | "
            "absent (the teacher has none); null = there is no such term",
        ),
        column(
            "residuals",
            pa.list_(pa.float64()),
            "(n_outputs,) distance of the label from the teacher's value on the least-squares line, in standard deviations; NaN = not "
            "rated; null = not computed",
        ),
    ]
)
"""Of the clips that a run was trained on; empty where nothing of them is kept."""

CURVES = pa.schema(
    [
        column("stage", pa.string(), "stage1 | stage2", nullable=False),
        column("run", pa.string(), "run name", nullable=False),
        column("epoch", pa.int32(), "0 = before training", nullable=False),
        column(
            "part",
            pa.string(),
            "train | held_out (Stage 1) | dev (Stage 2), dev_trained if it was trained on | course (what varied with them) | choice (of a "
            "combination of settings: epoch = its place, metric = its name, best = chosen) | teacher (of what is known of a teacher on "
            "the training clips)",
            nullable=False,
        ),
        column(
            "metric",
            pa.string(),
            "loss, loss of one objective (loss_<name>), macro_f1, learning_rate, ...",
            nullable=False,
        ),
        column("value", pa.float64(), "value", nullable=False),
        column("best", pa.bool_(), "True on the epoch whose weights are kept", nullable=False),
    ]
)

_N_ALL = column("n_all", pa.int64(), "the same of all runs of the model, each utterance once", nullable=False)

METRICS = pa.schema(
    [
        *SCORED_RUN_COLUMNS,
        column("test_corpus", pa.string(), "corpus tested on", nullable=False),
        column(
            "metric",
            pa.string(),
            "name of a metric (docs/evaluation.md); of attributes <metric>_mean, and <metric>_<attribute> for each",
            nullable=False,
        ),
        column("label", pa.string(), "class for per-class metrics, else null"),
        column("value", pa.float64(), "value", nullable=False),
        column("n", pa.int64(), "test utterances (of the class for per-class metrics), folds pooled", nullable=False),
        _N_ALL,
    ]
)

CONFUSION = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n", "n_all")],
        column("label", pa.string(), "true class", nullable=False),
        column("predicted", pa.string(), "predicted class", nullable=False),
        column("count", pa.int64(), "test utterances, folds pooled", nullable=False),
    ]
)

COMPARISONS = pa.schema(
    [
        *MODEL_COLUMNS,
        column("baseline_backbone", pa.string(), "backbone compared with; null = compared with none"),
        column("baseline", pa.string(), "start compared with; null = compared with none"),
        column("baseline_finetuning", pa.string(), "fine-tuning compared with; null = compared with none"),
        column("test_corpus", pa.string(), "corpus tested on", nullable=False),
        column("metric", pa.string(), "as in METRICS, without the per-class ones", nullable=False),
        column("n_runs", pa.int64(), "runs of the model", nullable=False),
        column("mean", pa.float64(), "mean over its runs", nullable=False),
        column("std", pa.float64(), "standard deviation over its runs (n - 1); null with one run"),
        column(
            "low",
            pa.float64(),
            "lower end of the percentile bootstrap interval of the mean (centred on the mean where a metric says so)",
            nullable=False,
        ),
        column("high", pa.float64(), "upper end of the bootstrap interval of the mean", nullable=False),
        column(
            "n_pairs", pa.int64(), "runs of the model and its baseline with the same partition, resampling and seed"
        ),
        column("difference", pa.float64(), "model - baseline, mean over the pairs"),
        column("difference_low", pa.float64(), "lower end of the bootstrap interval of the difference"),
        column("difference_high", pa.float64(), "upper end of the bootstrap interval of the difference"),
        column(
            "p_value",
            pa.float64(),
            "paired t-test over the pairs, those of one partition (else of one resampling) averaged first where there are several; "
            "null with fewer than two",
        ),
        column(
            "alternative",
            pa.string(),
            "of the t-test: two-sided, or greater (one-tailed: the model is better than its baseline); null where nothing is compared",
        ),
        column("n", pa.int64(), "test utterances of all its runs, each once", nullable=False),
    ]
)

WORD_ERRORS = pa.schema(
    [
        column("corpus", pa.string(), "corpus with transcripts of its own", nullable=False),
        column(
            "language",
            pa.string(),
            "ISO 639-1: the manifest's, else the configured, else the detected; null = none known",
        ),
        column("engine", pa.string(), "recogniser", nullable=False),
        column("model", pa.string(), "its model; null for engines with one"),
        column("clips", pa.int64(), "clips with a transcript that the recogniser listened to", nullable=False),
        column(
            "wordless",
            pa.int64(),
            "of them: it found no words, or none that could be trusted, and all words are deletions",
            nullable=False,
        ),
        column(
            "unheard",
            pa.int64(),
            "further clips with a transcript, not counted: no audio, or a language that the recogniser does not know",
            nullable=False,
        ),
        column("words", pa.int64(), "words of the transcripts, normalised", nullable=False),
        column("substitutions", pa.int64(), "other words in their place", nullable=False),
        column("deletions", pa.int64(), "words left out", nullable=False),
        column("insertions", pa.int64(), "words too many", nullable=False),
        column(
            "word_error_rate",
            pa.float64(),
            "(substitutions + deletions + insertions) / words; may exceed 1; null without words",
        ),
    ]
)

FAIRNESS = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n", "n_all")],
        column("grouping", pa.string(), "what test utterances are grouped by: sex | speaker", nullable=False),
        column("group", pa.string(), "the sex or the speaker; null = over all groups"),
        column(
            "metric",
            pa.string(),
            "of a group: macro_f1, recall (of a class); over the groups that are large enough: macro_f1_gap and recall_gap "
            "(largest - smallest), macro_f1_std (n - 1), macro_f1_lowest",
            nullable=False,
        ),
        column("label", pa.string(), "class for recall and its gap (null = mean over classes), else null"),
        column("value", pa.float64(), "value", nullable=False),
        column("n", pa.int64(), "test utterances that it rests on, folds pooled", nullable=False),
        _N_ALL,
        column("groups", pa.int64(), "groups that it rests on", nullable=False),
    ]
)

CALIBRATION = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n", "n_all")],
        column(
            "metric",
            pa.string(),
            "ece, adaptive_ece, overconfidence, brier, nll, aurc, excess_aurc, accuracy_80, accuracy_50",
            nullable=False,
        ),
        column("value", pa.float64(), "value", nullable=False),
        column("n", pa.int64(), "test utterances, folds pooled", nullable=False),
        _N_ALL,
    ]
)

RELIABILITY = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n", "n_all")],
        column("low", pa.float64(), "lower edge of the bin, left out of it (but 0)", nullable=False),
        column("high", pa.float64(), "upper edge of the bin, part of it", nullable=False),
        column("count", pa.int64(), "test utterances whose largest probability lies in the bin", nullable=False),
        column("confidence", pa.float64(), "mean largest probability of them; null = none"),
        column("accuracy", pa.float64(), "share of them that is classified rightly; null = none"),
    ]
)

COVERAGE = pa.schema(
    [
        *[field for field in METRICS if field.name not in ("metric", "label", "value", "n", "n_all")],
        column("coverage", pa.float64(), "share of the test utterances kept, the most confident first", nullable=False),
        column("kept", pa.int64(), "utterances kept", nullable=False),
        column(
            "accuracy", pa.float64(), "selective accuracy: share of them that is classified rightly", nullable=False
        ),
        column("threshold", pa.float64(), "smallest confidence among them", nullable=False),
    ]
)

LEAKS = pa.schema(
    [
        column("task", pa.string(), "labelled task", nullable=False),
        column(
            "kind",
            pa.string(),
            "speakers | clips | development | transcripts | target_clips | target_speakers | stage1_clips | stage1_speakers | labels | duplicates | stage1_copies | overlaps",
            nullable=False,
        ),
        column(
            "between",
            pa.string(),
            "what is compared, the later one last: 'train / test', ...; within one part 'test / test', ...",
            nullable=False,
        ),
        column("adaptation", pa.string(), "adaptation whose Stage 1 is compared; null = none"),
        column("corpus", pa.string(), "corpus of the later part", nullable=False),
        column(
            "count", pa.int64(), "speakers or utterances of the later part that are in the earlier too", nullable=False
        ),
        column("of", pa.int64(), "speakers or utterances of the later part that could be compared", nullable=False),
        column(
            "unchecked",
            pa.int64(),
            "utterances of the two parts that could not be compared: no speaker, no transcript, no readable file",
            nullable=False,
        ),
        column("folds", pa.int64(), "folds, of all partitions, in which it is so", nullable=False),
        column("partitions", pa.int64(), "partitions in which it is so", nullable=False),
        column(
            "examples",
            pa.list_(pa.string()),
            "up to three of them; of labels, five pairs, and an entry that says so if there are more",
            nullable=False,
        ),
        column(
            "verdict",
            pa.string(),
            "none | unknown (nothing to compare) | reported | refused (tasks.<name>.leaks)",
            nullable=False,
        ),
    ]
)

QUARANTINE = pa.schema(
    [
        column("corpus", pa.string(), "corpus", nullable=False),
        column("feature", pa.string(), "feature that could not be computed, or that has a note", nullable=False),
        _ID,
        column("status", pa.string(), "absent | failed | noted (the row is ok and in use)", nullable=False),
        column("reason", pa.string(), "'<code>: <detail>'", nullable=False),
    ]
)


def describe(table: pa.Schema) -> list[tuple[str, str, str]]:
    """(column, type, description) for each column of a table."""
    return [(field.name, str(field.type), field.metadata[b"description"].decode()) for field in table]
