"""The command line: one command per stage, called by the rules and by people. No logic lives here.

Heavy libraries are imported inside the commands, so that `emoadapt --help` and the Snakefile stay light.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emoadapt import __version__
from emoadapt.errors import ConfigError, EmoadaptError, explain_disk_error, explain_missing_library, name_known
from emoadapt.machine.devices import fit_threads
from emoadapt.machine.run import join_run
from emoadapt.machine.starting import collect_rarely

if TYPE_CHECKING:
    from emoadapt.config import Study
    from emoadapt.flow.claims import Origin
    from emoadapt.study.origins import Origins

app = typer.Typer(no_args_is_help=True, add_completion=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"emoadapt {__version__}")
        raise typer.Exit


@app.callback()
def _begin(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Emotion-aware speech models from unlabelled audiovisual clips."""


ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--configfile", help="YAML files, later over earlier, as Snakemake takes them (default: the built-in demo)."
    ),
]
UnusedConfigFiles = Annotated[
    list[Path] | None, typer.Option("--configfile", help="Accepted as by the other commands, and not needed.")
]
Output = Annotated[Path, typer.Option(help="File to write.")]
Made = Annotated[
    str | None,
    typer.Option(help="Digest of what decides the outputs, from the graph. They state it; default: nothing."),
]
State = Annotated[str | None, typer.Option(help="Of the shard, from the graph; default: list the corpus.")]
Threads = Annotated[
    int, typer.Option(help="Threads the job may use, at most the cores of the machine.", callback=fit_threads)
]
Results = Annotated[Path, typer.Option(help="Folder of results.")]
FOR_PEOPLE, STAGES = "For people", "Stages (what the rules call)"

models = typer.Typer(help="List, fetch and verify the weights of models.", no_args_is_help=True)
app.add_typer(models, name="models", rich_help_panel=FOR_PEOPLE)
ModelNames = Annotated[
    list[str] | None,
    typer.Argument(help="Registered names, or hub ids as ID or ID@REVISION. Default: what the study needs."),
]
ModelsDir = Annotated[Path | None, typer.Option(help="Folder of weights (default: the study's models_dir).")]


def main() -> None:
    """Run the command line; a problem of the user's is one sentence, without a traceback."""
    collect_rarely()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        join_run()
        app(_name_each_configfile(sys.argv[1:]))
    except EmoadaptError as error:
        print(f"emoadapt: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        sentence = explain_disk_error(error) or explain_missing_library(error)
        if sentence is None:
            raise
        print(f"emoadapt: {sentence}", file=sys.stderr)
        sys.exit(1)


def _name_each_configfile(arguments: Sequence[str]) -> list[str]:
    """Snakemake's `--configfile a.yaml b.yaml` with an option before each file, as Typer takes it.

    Raises:
        ConfigError: the flag is given twice, which Snakemake reads differently, or not at all before a file.
    """
    if "--configfile" in " ".join(arguments):
        from emoadapt.config import refuse_repeated_flag

        refuse_repeated_flag(arguments)
    named: list[str] = []
    for argument in arguments:
        if _is_bare_configfile(argument, named):
            raise ConfigError(f"{argument} has no option before it; write --configfile {argument}")
        if named[-2:-1] == ["--configfile"] and argument.endswith((".yaml", ".yml", ".json")):
            named.append("--configfile")
        named.append(argument)
    return named


def _is_bare_configfile(argument: str, before: Sequence[str]) -> bool:
    """Detect a YAML file without `--configfile` behind a command that reads a study."""
    return (
        argument.endswith((".yaml", ".yml"))
        and before[:1] in (["check"], ["plan"], ["contact-sheet"], ["explore"], ["subset"], ["models"])
        and not argument.startswith("-")
        and not before[-1].startswith("-")
        and before[-2:-1] != ["--configfile"]
    )


def _study(configfiles: list[Path] | None = None) -> Study:
    from emoadapt.config import load_study, read_configfiles, read_study
    from emoadapt.config.reading import STUDY_VARIABLE
    from emoadapt.flow.code import remember_modules

    handed = os.environ.get(STUDY_VARIABLE)
    if not handed or configfiles:
        return read_study(configfiles or [])
    remember_modules(Path("results/.cache/code").absolute())
    return load_study(read_configfiles([handed]))


def _study_of(results: Path, configfiles: list[Path] | None) -> Study:
    """The study, unless another one owns a folder of results."""
    from emoadapt.config.reading import STUDY_VARIABLE
    from emoadapt.machine.owner import refuse_other_study
    from emoadapt.storage.disk import refuse_files

    study = _study(configfiles)
    refuse_files(results.parent)
    refuse_other_study(results, study.study, chosen=bool(configfiles or os.environ.get(STUDY_VARIABLE)))
    return study


def _refuse_other_settings(study: Study, paths: Iterable[Path], results: Path) -> None:
    """Refuse what a person would take for results of this configuration."""
    from emoadapt.study.graph import Graph
    from emoadapt.study.origins import Origins

    Origins(Graph(study)).refuse_other_settings(filter(Path.exists, paths), results)


def _origins(**names: str) -> Origins:
    """What the jobs of the study read.

    Args:
        names: section of the study -> a name in it that the job was given, such as `corpora="talks"`.

    Raises:
        ConfigError: the command was called by hand, without a study or with a name that the study does not have.
    """
    from emoadapt.config.reading import STUDY_VARIABLE
    from emoadapt.study.graph import Graph
    from emoadapt.study.origins import Origins

    if not os.environ.get(STUDY_VARIABLE):
        raise ConfigError(
            f"this command is a job of a study, and {STUDY_VARIABLE} names no configuration; let Snakemake run it, or set "
            f"{STUDY_VARIABLE}=my_study.yaml"
        )
    study = _study()
    for section, name in names.items():
        if name not in (known := getattr(study, section)):
            raise ConfigError(f"study {study.study} has no {name} among its {section}; {name_known(name, known)}")
    return Origins(Graph(study))


def _claim(origin: Origin, made: str | None, outside: str | None = None) -> dict[str, list[Path]]:
    """Let all outputs of this process state what they are made from; returns the files that it reads, by name."""
    origin.state(made, outside)
    return {name: [Path(path) for path in paths] for name, paths in origin.inputs.items()}


def _take_gpus(count: int) -> None:
    """Before anything looks for a GPU: several jobs of a machine share its GPUs out among themselves."""
    if count:
        from emoadapt.machine.devices import take_devices

        take_devices(count)


# --- for people -----------------------------------------------------------------------------------


@app.command(rich_help_panel=FOR_PEOPLE)
def new_study(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of clips, labelled or not.")] = None,
    output: Annotated[Path | None, typer.Option(help="Study to write (default: named by its corpora).")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the study.")] = None,
    importer: Annotated[str | None, typer.Option(help="Importer of the corpora (default: proposed).")] = None,
    label: Annotated[
        str | None, typer.Option(help="Column of the label; or folders, none, or a regular expression.")
    ] = None,
    speaker: Annotated[
        str | None, typer.Option(help="Column of the speaker; or folders, none, or a regular expression.")
    ] = None,
    models_dir: ModelsDir = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Look at folders of clips and write a commented study for them, which passes check."""
    from emoadapt.storage.caches import make_no_folder
    from emoadapt.study.new.command import run_new_study
    from emoadapt.study.new.drafts import Wishes
    from emoadapt.study.new.questions import choose_ask

    wishes = Wishes(importer, label, speaker, choose_ask(bool(output or name or importer or label or speaker or force)))
    with make_no_folder():
        run_new_study(folders or [], wishes, output=output, name=name, models_dir=models_dir, force=force)


@app.command(rich_help_panel=FOR_PEOPLE)
def check(
    configfile: ConfigFiles = None,
    fix_hints: Annotated[
        bool, typer.Option("--fix-hints", help="For each problem, write the YAML lines that would fix it.")
    ] = False,
) -> None:
    """Check configuration, corpora and weights before a long run."""
    from emoadapt.storage.caches import make_no_folder
    from emoadapt.study.check.study import print_check

    try:
        with make_no_folder():
            print_check(_study_of(Path("results"), configfile), configfile or [])
    except EmoadaptError as error:
        if not fix_hints:
            raise
        from emoadapt.study.check.hints import explain_fixes

        raise EmoadaptError(explain_fixes(error, configfile or [])) from None


@app.command(rich_help_panel=FOR_PEOPLE)
def plan(
    configfile: ConfigFiles = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="First train a few steps of each backbone here, to estimate hours.")
    ] = False,
    gpus: Annotated[int, typer.Option(min=1, help="Training jobs at a time, for the time that is left.")] = 1,
    assume: Annotated[
        list[str] | None,
        typer.Option(help="Size of a corpus that is not here: NAME=CLIPS[:HOURSh][:SPEAKERSs], separated by commas."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of tables.")] = False,
    partitions: Annotated[
        bool, typer.Option("--partitions", help="List the partitions of the tasks with their speakers instead.")
    ] = False,
) -> None:
    """Show what a study would compute, what is done, and the hours left, before anything runs; corpora may be missing."""
    from emoadapt.machine.owner import refuse_other_study
    from emoadapt.storage.disk import refuse_files
    from emoadapt.study.plan.printing import print_plan, write_csv
    from emoadapt.study.plan.sizes import measure_corpora, parse_assumptions, read_plan_study
    from emoadapt.study.plan.work import CALIBRATION, plan_study, read_calibration

    study, missing = read_plan_study(configfile or [])
    refuse_files(Path())
    refuse_other_study(Path("results"), study.study, chosen=bool(configfile))
    if partitions:
        from emoadapt.study.plan.partitions import describe_partitions

        print("\n".join(describe_partitions(study, missing)))
        return
    sizes = measure_corpora(study, missing, parse_assumptions(assume or []))
    if calibrate:
        from emoadapt.training.calibration import calibrate as measure_speeds

        _take_gpus(int(study.device != "cpu"))
        measure_speeds(study, CALIBRATION)
    speeds = read_calibration()
    rows = plan_study(study, sizes, speeds)
    if csv:
        print(write_csv(rows), end="")
    else:
        print_plan(study, sizes, rows, speeds, gpus)


@app.command(rich_help_panel=FOR_PEOPLE)
def quarantine(
    rows: Annotated[bool, typer.Option(help="List every clip, not only counts.")] = False,
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
    configfile: UnusedConfigFiles = None,
) -> None:
    """Print which clips were set aside and why, and which were kept with a note."""
    from emoadapt.reporting.tables import print_quarantine

    print_quarantine(results / "quarantine.parquet", rows)


@app.command("results", rich_help_panel=FOR_PEOPLE)
def show_results(
    table: Annotated[str | None, typer.Argument(help="Table to show; default: list tables and kept models.")] = None,
    results: Results = Path("results"),
    against: Annotated[
        Path | None, typer.Option(help="Another folder of results: compare the scores, row by row and run by run.")
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Runs that changed since --against, or since the scores were computed.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Rows to keep: COLUMN=VALUE[,VALUE], !=, ~ (contains), <, <=, >, >=. May be given again."),
    ] = None,
    sort: Annotated[str | None, typer.Option(help="Column or metric to sort by.")] = None,
    descending: Annotated[bool, typer.Option("--descending", help="Largest first.")] = False,
    rows: Annotated[int | None, typer.Option(min=1, help="Most rows to show.")] = None,
    form: Annotated[
        Literal["terminal", "markdown", "csv"],
        typer.Option("--format", help="markdown: all columns of the report. csv: the numbers, unrounded."),
    ] = "terminal",
    configfile: ConfigFiles = None,
) -> None:
    """Show the tables of a study, compare two folders of results, and say where the kept models lie."""
    from emoadapt.terminal.results.command import Wanted, print_results

    if configfile:
        _study(configfile)  # knows metrics of its own
    print_results(results, Wanted(table, where or (), sort, descending, rows, form), against, changed=changed)


Recordings = Annotated[
    list[Path] | None,
    typer.Argument(help="Audio or video files of any format and length; - is WAV or raw samples from a pipe."),
]
OutputForm = Annotated[
    Literal["json", "csv", "parquet", "audacity", "webvtt"],
    typer.Option("--format", help="Table of windows, or labels of segments."),
]
OutputPlace = Annotated[
    Path | None, typer.Option(help="File to write (default: the terminal); a folder for labels of several files.")
]
Picture = Annotated[
    Path | None,
    typer.Option(help="Picture of emotions over time: .png, .svg or .pdf; of several files a folder."),
]
WindowSeconds = Annotated[
    float | None, typer.Option(help="Seconds of a window (default: 10, for recordings over 30 s only).")
]
SilenceLevel = Annotated[
    float | None,
    typer.Option(help="No emotion for windows whose loudest 0.1 s is below this level, dB of full scale: -50."),
]
PipeRate = Annotated[
    int | None, typer.Option(help="Hz, if the pipe holds raw samples: 16-bit little-endian, one channel.")
]
ComputeDevice = Annotated[
    str, typer.Option(help="Where to compute: auto, cpu, cuda, or GPUs by number: cuda:0,cuda:1.")
]
PredictJobs = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that each hold the model (default: 1, or one for each GPU named)."),
]
Transcripts = Annotated[
    Path | None,
    typer.Option(help="Texts of the files, for a model that reads text: .csv or .tsv with file and text, or lines."),
]
SpokenLanguage = Annotated[
    str | None,
    typer.Option(
        help="Language of the files, for a model that reads text: en, de, ..., or a table with file and language."
    ),
]
OthersWeights = Annotated[
    Path | None,
    typer.Option(help="Folder of weights, for a model that reads what other models compute (default: models)."),
]


@app.command(rich_help_panel=FOR_PEOPLE)
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a fine-tuned model.")],
    files: Recordings = None,
    form: OutputForm = "json",
    segments: Annotated[bool, typer.Option("--segments", help="Merge windows where the class stays.")] = False,
    output: OutputPlace = None,
    plot: Picture = None,
    window: WindowSeconds = None,
    hop: Annotated[float | None, typer.Option(help="Seconds from window to window (default: half a window).")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Take each recording as one, however long.")] = False,
    skip_silence: SilenceLevel = None,
    rate: PipeRate = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Clips that are judged together.")] = 8,
    device: ComputeDevice = "auto",
    jobs: PredictJobs = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Take folders, with all below them.")] = False,
    listed: Annotated[Path | None, typer.Option("--list", help="Text file with one path per line; - is stdin.")] = None,
    transcripts: Transcripts = None,
    language: SpokenLanguage = None,
    models_dir: OthersWeights = None,
) -> None:
    """Predict the emotions of audio or video files. Exits with status 1 if any file failed."""
    from emoadapt.inference.command import run_predict

    if not run_predict(
        model, files or [], output, form=form, segments=segments, plot=plot, window=window, hop=hop, whole=whole,
        quietest=skip_silence, rate=rate, batch_size=batch_size, device=device, jobs=jobs, recursive=recursive,
        listed=listed, transcripts=transcripts, language=language, models_dir=models_dir,
    ):  # fmt: skip
        raise typer.Exit(1)


@app.command(rich_help_panel=FOR_PEOPLE)
def export(
    model: Annotated[Path, typer.Argument(help="Folder of a fine-tuned model.")],
    onnx: Annotated[Path, typer.Option(help="ONNX file to write.")],
) -> None:
    """Export a fine-tuned model to ONNX and compare the file with torch."""
    from emoadapt.inference.classifier import load_classifier
    from emoadapt.inference.onnx_export import export_onnx, print_comparisons

    print_comparisons(export_onnx(load_classifier(model), onnx))


@models.command("list")
def list_models(configfile: ConfigFiles = None, models_dir: ModelsDir = None) -> None:
    """List the registered models: role, size, licence, and whether they are here."""
    from emoadapt.weights.inventory import print_list

    print_list(models_dir or _study(configfile).weights_folder)


@models.command("fetch")
def fetch_models(
    names: ModelNames = None,
    configfile: ConfigFiles = None,
    models_dir: ModelsDir = None,
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing, say what is lacking.")] = False,
) -> None:
    """Download weights that are missing or altered, each checked against its pin."""
    from emoadapt.study.graph import Graph
    from emoadapt.weights.fetching import fetch_all
    from emoadapt.weights.inventory import parse_name

    study = None if names and models_dir else _study(configfile)
    folder = models_dir or study.weights_folder
    wanted = [parse_name(name, folder) for name in names or []] or list(Graph(study).weights_in_use().values())
    fetch_all(list(dict.fromkeys(wanted)), folder, offline=offline)


@models.command("verify")
def verify_models(names: ModelNames = None, configfile: ConfigFiles = None, models_dir: ModelsDir = None) -> None:
    """Read weights whole and compare them with their pins; without names: what is here, and what the study needs."""
    from emoadapt.study.graph import Graph
    from emoadapt.weights.inventory import list_present, parse_name, print_verification

    study = None if names and models_dir else _study(configfile)
    folder = models_dir or study.weights_folder
    wanted = [parse_name(name, folder) for name in names or []]
    if not names:
        wanted = list(Graph(study).weights_in_use().values())
        wanted += list_present(folder, besides=wanted)
    print_verification(list(dict.fromkeys(wanted)), folder)


@app.command(rich_help_panel=FOR_PEOPLE)
def contact_sheet(
    corpus: str,
    output: Annotated[Path, typer.Option(help="Picture to write, .png or .jpg.")] = Path("contact_sheet.png"),
    clips: Annotated[int, typer.Option(min=1, help="Clips to show, spread over the corpus or over each class.")] = 24,
    feature: Annotated[Literal["faces", "landmarks"], typer.Option(help="What to draw.")] = "faces",
    target: Annotated[
        str | None, typer.Option(help="ADAPTATION.OBJECTIVE: show clips of each class of this target.")
    ] = None,
    configfile: ConfigFiles = None,
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
) -> None:
    """Draw frames of a corpus with the faces that were found, and their crops, or with landmarks."""
    from emoadapt.faces.contact_sheet import draw_contact_sheet, write_contact_sheet

    study = _study_of(results, configfile)
    if corpus not in study.corpora:
        raise ConfigError(f"there is no corpus {corpus}; {name_known(corpus, study.corpora)}")
    if "video" not in study.corpora[corpus].modalities:
        raise ConfigError(f"{corpus} has no video; corpora.{corpus}.modalities lists what its clips hold")
    manifests, tables = (
        sorted((results / kind / corpus).glob("*.parquet")) for kind in ("manifests", f"features/{feature}")
    )
    _refuse_other_settings(study, [*manifests, *tables], results)
    classes = target and _group_clips(study, corpus, target, results)
    root, units = Path(study.corpora[corpus].root), study.features.action_units
    sheet = draw_contact_sheet(root, manifests, tables, clips, feature, classes or None, units)
    write_contact_sheet(sheet, output)
    print(output)


def _group_clips(study: Study, corpus: str, target: str, results: Path) -> dict[str, list[str]]:
    """Class of a target, `ADAPTATION.OBJECTIVE`, -> clips of a corpus."""
    from emoadapt.data.objective_targets import describe_target
    from emoadapt.data.target_classes import group_by_class

    adaptation, _, objective = target.partition(".")
    if adaptation not in study.adaptations or objective not in study.adaptations[adaptation].objectives:
        given = [f"{name}.{goal}" for name, config in study.adaptations.items() for goal in config.objectives]
        raise ConfigError(f"--target {target}: there is no such objective; choose from {', '.join(given) or 'none'}")
    if corpus not in study.adaptations[adaptation].corpora:
        raise ConfigError(f"--target {target}: {adaptation} is not trained on {corpus}")
    shards = sorted((results / "features" / str(describe_target(objective)[0]) / corpus).glob("*.parquet"))
    normalisers = results / "targets" / adaptation / "normalisers.parquet"
    _refuse_other_settings(study, [*shards, normalisers], results)
    return group_by_class(objective, corpus, shards, normalisers)


@app.command(rich_help_panel=FOR_PEOPLE)
def explore(
    corpus: str,
    output: Annotated[
        Path | None, typer.Option(help="HTML file to write (default: explore/CORPUS.html in the folder of results).")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Clips to show, drawn at random.")] = 24,
    feature: Annotated[
        list[str] | None, typer.Option(help="Feature to draw a map of, repeatable (default: eGeMAPS, face, text).")
    ] = None,
    method: Annotated[Literal["pca", "umap"], typer.Option("--map", help="Projection of the map.")] = "pca",
    points: Annotated[int, typer.Option(min=3, help="Clips on a map, at most.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all draws.")] = 0,
    configfile: ConfigFiles = None,
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
) -> None:
    """Write a page about a corpus, which needs no training: labels, lengths, levels, what is missing, samples, outliers."""
    from emoadapt.exploring.explore import Wishes, explore_corpus

    study = _study_of(results, configfile)
    if corpus not in study.corpora:
        raise ConfigError(f"there is no corpus {corpus}; {name_known(corpus, study.corpora)}")
    page = output or results / "explore" / f"{corpus}.html"
    if page.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output {page}: a page is an HTML file; write {page.with_suffix('.html')}")
    explore_corpus(study, corpus, results, page, Wishes(samples, points, feature or [], method, seed, configfile or []))
    print(page)


@app.command(rich_help_panel=FOR_PEOPLE)
def subset(
    task: str,
    subset: Annotated[str, typer.Argument(help="Number of training clips, or full.")],
    output: Output,
    configfile: ConfigFiles = None,
    results: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
) -> None:
    """Write the training clips that are drawn for a subset of a task, in each partition, fold and draw."""
    from emoadapt.study.layout import name_splits
    from emoadapt.tasks.subsets import write_subsets

    study = _study_of(results, configfile)
    tasks = study.tasks
    if task not in tasks or subset not in map(str, tasks[task].subsets):
        known = "; ".join(f"{name}: {', '.join(map(str, config.subsets))}" for name, config in tasks.items())
        raise ConfigError(f"there is no subset {subset} of a task {task}; there are {known or 'no tasks'}")
    splits = [Path(name_splits(task, number, results)) for number in range(study.count_partitions(task))]
    _refuse_other_settings(study, splits, results)
    write_subsets(task, subset, tasks[task], splits, output)


@app.command(rich_help_panel=FOR_PEOPLE)
def similarity(
    task: str,
    model: Annotated[str, typer.Argument(help="<backbone>.<start>, such as care.care.")],
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of each kind.")] = 1750,
    layer: Annotated[
        int | None, typer.Option(min=0, help="Layer; by default the first of the branches, or the last.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the pairs.")] = 0,
    output: Annotated[Path | None, typer.Option(help="CSV file for the similarity of each pair.")] = None,
    configfile: ConfigFiles = None,
) -> None:
    """Compare clips of one emotion and two speakers that say the same, or other, words, in a layer of a frozen model."""
    from emoadapt.evaluation.similarity import compare_content, list_tables, summarise
    from emoadapt.storage.files import write_text
    from emoadapt.storage.spreadsheets import format_frame
    from emoadapt.study.graph import Graph

    study = _study_of(Path("results"), configfile)
    graph = Graph(study)
    tables = list_tables(graph, task, model)
    _refuse_other_settings(study, tables, Path("results"))
    found = compare_content(graph, task, model, pairs, layer, seed)
    print("\n".join(summarise(found)))
    if output is not None:
        write_text(output, format_frame(found))


@app.command(rich_help_panel=FOR_PEOPLE)
def disk(results: Results = Path("results"), configfile: UnusedConfigFiles = None) -> None:
    """Show what each stage holds on disk."""
    from emoadapt.storage.disk import measure_disk

    holdings = measure_disk(results)
    width = max((len(holding.name) for holding in holdings), default=0)
    for holding in holdings:
        print(f"{holding.name:<{width}} {holding.size / 1e6:>10,.1f} MB {holding.files:>7,} files  {holding.purpose}")


@app.command(rich_help_panel=FOR_PEOPLE)
def workflow() -> None:
    """Print where the Snakefile lies: snakemake --snakefile "$(emoadapt workflow)" ..."""
    from emoadapt.config.reading import find_project

    print(find_project() / "Snakefile")


@app.command(rich_help_panel=FOR_PEOPLE)
def docs(folder: Annotated[Path, typer.Option(help="Root of the project.")] = Path()) -> None:
    """Write the generated pages: configuration schema, configuration reference, data contract."""
    from emoadapt.reference import write_reference

    write_reference(folder)


# --- corpora and features ---------------------------------------------------------------------------


@app.command(rich_help_panel=STAGES)
def make_demo(corpus: str, shard: int, output: Output, state: State = None, made: Made = None) -> None:
    """Generate the media of one shard of a demo corpus."""
    from emoadapt.demo.shards import make_shard

    origins = _origins(corpora=corpus)
    _claim(origins.make_demo(corpus, str(shard)), made, state)
    make_shard(corpus, origins.study.corpora[corpus], shard, output)


@app.command(rich_help_panel=STAGES)
def manifest(corpus: str, shard: int, output: Output, state: State = None, made: Made = None) -> None:
    """List the clips of one shard."""
    from emoadapt.listing.manifests import write_manifest

    origins = _origins(corpora=corpus)
    _claim(origins.manifest(corpus, str(shard)), made, state)
    write_manifest(corpus, origins.study.corpora[corpus], shard, state, output)


@app.command(rich_help_panel=STAGES)
def extract(feature: str, corpus: str, shard: str, output: Output, made: Made = None, threads: Threads = 1) -> None:
    """Bring one shard of one feature up to date."""
    from emoadapt.extraction.recipes import needs_gpu
    from emoadapt.extraction.shards import extract_shard

    origins = _origins(corpora=corpus)
    _take_gpus(int(needs_gpu(origins.study, feature)))
    read = _claim(origins.extract(feature, corpus, shard), made)
    tables = [path for name, paths in read.items() if name != "ready" for path in paths]
    extract_shard(origins.study, feature, corpus, tables, output, threads)


@app.command(rich_help_panel=STAGES)
def keep(
    kind: str, source: str, corpus: str, shard: str, output: Output, made: Made = None, threads: Threads = 1
) -> None:
    """Keep an output of a frozen backbone for one shard: KIND is frontend or layers, SOURCE a backbone or Stage-1 model."""
    from emoadapt.extraction.kept import keep_shard

    origins = _origins(corpora=corpus, backbones=source.split(".")[0])
    study = origins.study
    _take_gpus(int(study.device != "cpu"))
    read = _claim(origins.keep(kind, source, corpus, shard), made)
    model = next(iter(read["model"]), None)
    recipe = origins.graph.kept_recipe(source)
    backbone = source.split(".")[0]
    features = dict(zip(study.backbones[backbone].features, read["features"], strict=True))
    keep_shard(study, kind, backbone, model, features, output, **recipe, threads=threads)


# --- Stage 1 ------------------------------------------------------------------------------------------


@app.command(rich_help_panel=STAGES)
def parts(adaptation: str, output: Output, made: Made = None) -> None:
    """Draw the held-out part of an adaptation's clips."""
    from emoadapt.data.held_out import assign_parts
    from emoadapt.flow.shards import group_by_corpus

    origins = _origins(adaptations=adaptation)
    read = _claim(origins.parts(adaptation), made)
    config = origins.study.adaptations[adaptation]
    assign_parts(group_by_corpus(read["manifests"]), config.held_out, config.seed, output)


@app.command(rich_help_panel=STAGES)
def normalisers(adaptation: str, output: Output, made: Made = None) -> None:
    """Fit the normalisers of an adaptation's targets on its training part."""
    from emoadapt.data.normalisers import fit_adaptation_normalisers

    origins = _origins(adaptations=adaptation)
    read = _claim(origins.normalisers(adaptation), made)
    fit_adaptation_normalisers(origins.study.adaptations[adaptation], read["features"], read["parts"][0], output)


@app.command(rich_help_panel=STAGES)
def training_shard(objectives: str, corpus: str, shard: str, output: Output, made: Made = None) -> None:
    """Pack one training shard of a set of objectives, which are joined by +."""
    from emoadapt.data.objective_targets import split_set
    from emoadapt.data.targets import pack_training_shard

    read = _claim(_origins(corpora=corpus).training_shard(objectives, corpus, shard), made)
    pack_training_shard(read["features"], split_set(objectives), output)


@app.command(rich_help_panel=STAGES)
def adapt(
    backbone: str, adaptation: str, output: Output, curves: Output, made: Made = None, threads: Threads = 1
) -> None:
    """Stage 1: adapt a backbone to unlabelled clips."""
    from emoadapt.training.jobs import run_job

    origins = _origins(backbones=backbone, adaptations=adaptation)
    graph = origins.graph
    _claim(origins.adapt(backbone, adaptation), made)
    run_job(graph.adaptation_job(backbone, adaptation, output, curves, threads), graph.stage1_gpus())


# --- Stage 2 ------------------------------------------------------------------------------------------


@app.command(rich_help_panel=STAGES)
def split(
    task: str,
    partition: int,
    output: Output,
    labels: Annotated[
        str | None, typer.Option(help="States of the labels, CORPUS=STATE, from the graph; default: list the corpora.")
    ] = None,
    made: Made = None,
) -> None:
    """Collect labels, map them to classes, and assign train, dev and test in a partition."""
    from emoadapt.listing.manifests import take_labels
    from emoadapt.storage.frames import to_frame
    from emoadapt.tasks.splits import write_splits

    origins = _origins(tasks=task)
    study = origins.study
    read = _claim(origins.split(task, str(partition)), made, labels)
    states = dict(pair.split("=") for pair in (labels or "").split())
    corpora = origins.graph.task_corpora(task)
    taken = {name: take_labels(name, study.corpora[name], states.get(name)) for name in corpora}
    frames = {name: to_frame(table) for name, table in taken.items()}
    write_splits(study, task, partition, read["manifests"], frames, output)


@app.command(rich_help_panel=STAGES)
def divide(
    task: str,
    partition: int,
    output: Output,
    members: Annotated[str, typer.Option(help="States of labels and members, CORPUS=STATE, from the graph.")],
    made: Made = None,
) -> None:
    """Write a partition of a task for trainings: without the labels of its target."""
    from emoadapt.errors import DataError
    from emoadapt.listing.manifests import take_labels
    from emoadapt.storage.frames import to_frame
    from emoadapt.tasks.splits import write_splits

    origins = _origins()
    study, graph = origins.study, origins.graph
    read = _claim(origins.divide(task, str(partition)), made, members)
    if graph.membership_states(task) != members:
        raise DataError(
            f"task {task}: labels of its corpora changed since they were listed; run the same command again"
        )
    states = dict(pair.split("=") for pair in graph.label_states(task).split())
    frames = {name: to_frame(take_labels(name, study.corpora[name], state)) for name, state in states.items()}
    target = study.tasks[task].target
    write_splits(study, task, partition, read["manifests"], frames, output, hidden=[target.corpus] if target else [])


@app.command(rich_help_panel=STAGES)
def leaks(task: str, output: Output, made: Made = None) -> None:
    """Look for speakers, recordings and sentences of the test set in train, dev and Stage 1; refuse what the study refuses."""
    from emoadapt.tasks.leaks import write_leaks

    origins = _origins(tasks=task)
    read = _claim(origins.leaks(task), made)
    write_leaks(origins.study, task, read["splits"], read["manifests"], output)


@app.command(rich_help_panel=STAGES)
def train(
    task: str,
    model: str,
    subset: str,
    runs: Annotated[str, typer.Option(help="Runs, as p0f0r0s0, separated by spaces.")],
    output: Annotated[Path, typer.Option(help="Folder of the tables and models to write.")],
    made: Made = None,
    threads: Threads = 1,
) -> None:
    """Stage 2: train and test a model on a task, several runs in one process."""
    from emoadapt.study.nodes import Run
    from emoadapt.tasks.refusals import check_training
    from emoadapt.training.jobs import run_job

    origins = _origins(tasks=task, backbones=model.split(".")[0])
    graph = origins.graph
    setting, wanted = graph.setting(task, model, subset), [Run.parse(run) for run in runs.split()]
    read = _claim(origins.training(setting, wanted), made)
    check_training(origins.study, task, setting.model.start, read["splits"], read["manifests"])
    run_job(graph.task_job(setting, wanted, output, threads), graph.training_gpus(setting))


@app.command(rich_help_panel=STAGES)
def refit(
    task: str,
    model: str,
    subset: str,
    output: Annotated[Path, typer.Option(help="Folder of the classifier to write.")],
    made: Made = None,
    threads: Threads = 1,
) -> None:
    """Fit a probe or a support vector machine once more, to predict with it."""
    from emoadapt.training.refitting import refit_classifier

    origins = _origins(tasks=task, backbones=model.split(".")[0])
    graph = origins.graph
    setting = graph.setting(task, model, subset)
    _claim(origins.refit(task, model, subset), made)
    job = graph.task_job(setting, graph.list_every_run(setting), output.parent, threads, kept=True)
    refit_classifier(job, [Path(path) for path in graph.refit_tables(setting)])


# --- evaluation and report ----------------------------------------------------------------------------


@app.command(rich_help_panel=STAGES)
def evaluate(
    task: str,
    folder: Annotated[Path, typer.Option(help="Folder of the tables to write.")],
    made: Made = None,
) -> None:
    """Compute all scores of a task from its predictions and the embeddings beside them."""
    from emoadapt.evaluation.comparisons import Scoring
    from emoadapt.evaluation.coverage import refuse_other_clips
    from emoadapt.evaluation.evaluate import evaluate_task
    from emoadapt.evaluation.predictions import read_labels
    from emoadapt.evaluation.questions import pose_question
    from emoadapt.study.tables import list_comparisons

    origins = _origins(tasks=task)
    study, origin = origins.study, origins.evaluate(task)
    read = _claim(origin, made)
    origins.refuse_others(origin.list_inputs())
    config = study.tasks[task]
    refuse_other_clips(read["predictions"], read["splits"])
    labels = read_labels(read["splits"], config.target.corpus) if config.target else None
    question = pose_question(task, config.kind, config.outputs, parents=config.score == "parents", labels=labels)
    scoring = Scoring.of(study.report, list_comparisons(study, task))
    evaluate_task(question, read["predictions"], read["embeddings"], folder, scoring)


@app.command(rich_help_panel=STAGES)
def word_errors(
    output: Output,
    corpora: Annotated[
        list[str] | None, typer.Argument(help="Corpora with transcripts of their own; default: all of the study.")
    ] = None,
    made: Made = None,
) -> None:
    """Compare recognised words with the corpora's own transcripts."""
    from emoadapt.evaluation.word_errors import collect_word_errors

    origins = _origins()
    config = origins.study.features.transcript
    read = _claim(origins.word_errors(corpora), made)
    model = config.model if config.engine == "whisper" else None
    found = read["manifests"], read["transcripts"]
    languages = origins.graph.stated_languages()
    collect_word_errors(*found, config.engine, model, config.language, output, languages)


@app.command(rich_help_panel=STAGES)
def collect_quarantine(output: Output, made: Made = None) -> None:
    """List all rows of the study's features that are not ok, or that have a note."""
    from emoadapt.storage.quarantine import collect_quarantine

    collect_quarantine(_claim(_origins().quarantine(), made)["features"], output)


@app.command(rich_help_panel=STAGES)
def report(tables: Output, figures: Output, page: Output, made: Made = None) -> None:
    """Write tables, figures and the HTML report from Parquet files, which must belong to the study."""
    from emoadapt.reporting import write_all

    origins = _origins()
    origin = origins.report()
    read = _claim(origin, made)
    versions = origins.collect_versions(origins.refuse_others(origin.list_inputs()))
    word_errors = next(iter(read["word_errors"]), None)
    write_all(origins.study, Path("results"), tables, figures, page, word_errors, versions, read["features"])
