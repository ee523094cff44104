"""The command line: one command per stage, called by the rules and by people. No logic lives here.

Heavy libraries are imported inside the commands, so that `emoadapt --help` and the Snakefile stay light.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emoadapt.errors import EmoadaptError

if TYPE_CHECKING:
    from emoadapt.config import Study

app = typer.Typer(
    help="Emotion-aware speech models from unlabelled audiovisual clips.", no_args_is_help=True, add_completion=False
)

ConfigFiles = Annotated[
    list[Path] | None, typer.Option("--configfile", help="YAML files, later over earlier (default: config.yaml).")
]
Output = Annotated[Path, typer.Option(help="File to write.")]
Files = Annotated[list[Path], typer.Argument(help="Input tables.")]
Threads = Annotated[int, typer.Option(help="Threads the job may use.")]
FOR_PEOPLE, STAGES = "For people", "Stages (what the rules call)"


def main() -> None:
    """Run the command line; a problem of the user's is one sentence, without a traceback."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        app()
    except EmoadaptError as error:
        print(f"emoadapt: {error}", file=sys.stderr)
        sys.exit(1)


def _study(configfiles: list[Path] | None = None) -> Study:
    from emoadapt.config import read_study
    from emoadapt.dag import STUDY_VARIABLE

    handed = os.environ.get(STUDY_VARIABLE)
    return read_study(configfiles or [handed or "config.yaml"])


# --- for people -----------------------------------------------------------------------------------


@app.command(rich_help_panel=FOR_PEOPLE)
def check(configfile: ConfigFiles = None) -> None:
    """Check configuration, corpora and weights before a long run."""
    from emoadapt.check import print_check

    print_check(_study(configfile))


@app.command(rich_help_panel=FOR_PEOPLE)
def quarantine(
    rows: Annotated[bool, typer.Option(help="List every clip, not only counts.")] = False,
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
) -> None:
    """Print which clips were set aside and why."""
    from emoadapt.reporting.tables import print_quarantine

    print_quarantine(results / "quarantine.parquet", rows)


@app.command(rich_help_panel=FOR_PEOPLE)
def docs(folder: Annotated[Path, typer.Option(help="Root of the project.")] = Path()) -> None:
    """Write the generated pages: configuration schema, configuration reference, data contract."""
    from emoadapt.reference import write_reference

    write_reference(folder)


# --- corpora and features ---------------------------------------------------------------------------


@app.command(rich_help_panel=STAGES)
def make_demo(corpus: str, shard: int, output: Output) -> None:
    """Generate the media of one shard of a demo corpus."""
    from emoadapt.demo.shards import make_shard

    make_shard(corpus, _study().corpora[corpus], shard, output)


@app.command(rich_help_panel=STAGES)
def manifest(corpus: str, shard: int, output: Output) -> None:
    """List the clips of one shard."""
    from emoadapt.corpora.manifests import write_manifest

    write_manifest(corpus, _study().corpora[corpus], shard, output)


@app.command(rich_help_panel=STAGES)
def labels(corpus: str, output: Output) -> None:
    """Collect the labels of a corpus."""
    from emoadapt.corpora.manifests import write_labels

    write_labels(corpus, _study().corpora[corpus], output)


@app.command(rich_help_panel=STAGES)
def extract(feature: str, corpus: str, inputs: Files, output: Output, threads: Threads = 1) -> None:
    """Bring one shard of one feature up to date; inputs in the order of the feature's upstream tables."""
    from emoadapt.features.extraction import extract_shard

    extract_shard(_study(), feature, corpus, inputs, output, threads)


@app.command(rich_help_panel=STAGES)
def extract_cnn(
    backbone: str,
    audio: Path,
    output: Output,
    model: Annotated[Path | None, typer.Option(help="Stage-1 model; default: the backbone itself.")] = None,
    threads: Threads = 1,
) -> None:
    """Cache the output of a frozen CNN encoder for one shard."""
    from emoadapt.features.extraction import extract_cnn_shard

    extract_cnn_shard(_study(), backbone, audio, output, model, threads)


# --- Stage 1 ------------------------------------------------------------------------------------------


@app.command(rich_help_panel=STAGES)
def parts(adaptation: str, manifests: Files, output: Output) -> None:
    """Draw the held-out part of an adaptation's clips."""
    from emoadapt.data.targets import assign_parts, group_by_corpus

    config = _study().adaptations[adaptation]
    assign_parts(group_by_corpus(manifests), config.held_out, config.seed, output)


@app.command(rich_help_panel=STAGES)
def normalisers(adaptation: str, features: Files, parts: Output, output: Output) -> None:
    """Fit the normalisers of an adaptation's targets on its training part."""
    from emoadapt.data.normalisers import fit_adaptation_normalisers

    fit_adaptation_normalisers(_study().adaptations[adaptation], features, parts, output)


@app.command(rich_help_panel=STAGES)
def training_shard(features: Files, objectives: Annotated[str, typer.Option()], output: Output) -> None:
    """Pack one training shard; features begin with audio."""
    from emoadapt.data.targets import pack_training_shard

    pack_training_shard(features, objectives.split("+"), output)


@app.command(rich_help_panel=STAGES)
def adapt(
    backbone: str,
    adaptation: str,
    shards: Files,
    parts: Output,
    normalisers: Output,
    output: Output,
    curves: Output,
    threads: Threads = 1,
) -> None:
    """Stage 1: adapt a backbone; shards are those of training and, where the CNN is frozen, of its cached output."""
    from emoadapt.data.targets import group_by_corpus, separate_cnn
    from emoadapt.training.stage1 import adapt

    shards, cnn = separate_cnn(shards)
    adapt(
        _study(), backbone, adaptation, group_by_corpus(shards), group_by_corpus(cnn) or None,
        parts, normalisers, output, curves, threads,
    )  # fmt: skip


# --- Stage 2 ------------------------------------------------------------------------------------------


@app.command(rich_help_panel=STAGES)
def split(task: str, manifests: Files, labels: Annotated[str, typer.Option()], output: Output) -> None:
    """Map labels to classes and assign train, dev and test."""
    from emoadapt.corpora.tasks import write_splits

    write_splits(_study(), task, manifests, [Path(path) for path in labels.split()], output)


@app.command(rich_help_panel=STAGES)
def subset(task: str, subset: str, splits: Path, output: Output) -> None:
    """Draw the training clips of a low-resource setting, all draws and folds."""
    from emoadapt.corpora.tasks import write_subsets

    write_subsets(task, subset, _study().tasks[task], splits, output)


@app.command(rich_help_panel=STAGES)
def finetune(
    task: str,
    backbone: str,
    start: str,
    subset: str,
    shards: Files,
    runs: Annotated[str, typer.Option(help="Runs, as r0f0s0, separated by spaces.")],
    splits: Output,
    subsets: Output,
    output: Annotated[Path, typer.Option(help="Folder of predictions, embeddings, curves, models.")],
    model: Annotated[Path | None, typer.Option(help="Stage-1 model to start from.")] = None,
    threads: Threads = 1,
) -> None:
    """Stage 2: fine-tune and test, several runs in one process; shards as in `adapt`, of audio or eGeMAPS."""
    from emoadapt.training.jobs import run_setting

    run_setting(
        _study(),
        task,
        backbone,
        start,
        subset,
        shards,
        runs.split(),
        splits,
        subsets,
        output,
        model,
        threads,
    )


# --- evaluation and report ----------------------------------------------------------------------------


@app.command(rich_help_panel=STAGES)
def evaluate(task: str, predictions: Files, metrics: Output, confusion: Output, comparisons: Output) -> None:
    """Compute all metrics of a task from its predictions and the embeddings beside them."""
    from emoadapt.evaluation.evaluate import evaluate_task

    study = _study()
    embeddings = [path.with_name("embeddings.parquet") for path in predictions]
    evaluate_task(
        task, study.tasks[task].classes, predictions, embeddings, metrics, confusion, comparisons,
        study.report.bootstrap, study.report.confidence,
    )  # fmt: skip


@app.command(rich_help_panel=STAGES)
def collect_quarantine(features: Files, output: Output) -> None:
    """List all rows that are not ok."""
    from emoadapt.data.quarantine import collect_quarantine

    collect_quarantine(features, output)


@app.command(rich_help_panel=STAGES)
def report(
    tables: Output,
    figures: Output,
    page: Output,
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
) -> None:
    """Write tables, figures and the HTML report from Parquet files."""
    from emoadapt.reporting import write_all

    write_all(_study(), results, tables, figures, page)
