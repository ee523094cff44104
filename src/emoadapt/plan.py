"""What a study would compute: its features, adaptations and fine-tuning runs, what of them is there, and the hours left.

Reads the configuration and looks for files; lists the corpora that are here, and asks nothing of those that are not. Imports no
heavy library.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoadapt.config import load_study, merge_study
from emoadapt.config.features import needs_video
from emoadapt.corpora.base import Utterance, read_utterances
from emoadapt.dag import Graph
from emoadapt.errors import ClipError, ConfigError, EmoadaptError
from emoadapt.flow.code import digest
from emoadapt.flow.devices import list_devices
from emoadapt.flow.grid import HANDCRAFTED, Setting, batches, settings
from emoadapt.plugins import list_plugins
from emoadapt.schema import SAMPLE_RATE

if TYPE_CHECKING:
    from emoadapt.config import Study

logger = logging.getLogger(__name__)

CALIBRATION = Path("results/.cache/calibration.json")
"""Speeds that `emoadapt plan --calibrate` measured."""
PROBED = 32
"""Clips whose headers tell the mean length of a corpus that has not been extracted yet."""
UNKNOWN_SHARES = (0.70, 0.15, 0.15)
"""Train, dev and test where only the corpus could tell: a guess, said as such."""


@dataclass(frozen=True)
class CorpusSize:
    """What is known of a corpus.

    Args:
        clips: utterances; None = not known.
        seconds: of all of them; None = not known.
        speakers: None = not known.
        source: where this is from: `assumed`, `extracted`, `listed`, `missing`.
        needs: why it cannot be used here; empty if it can.
    """

    clips: int | None = None
    seconds: float | None = None
    speakers: int | None = None
    source: str = "missing"
    needs: str = ""


@dataclass(frozen=True)
class Row:
    """A line of the plan. Hours are None where a size or a speed is not known.

    Args:
        stage: `feature`, `stage1` or `stage2`.
        name: feature, adaptation or task.
        corpus: of a feature, else the corpora that are trained on.
        backbone: None for a feature.
        start: starting point of Stage 2.
        subset: training clips of Stage 2.
        jobs: jobs; None = not known.
        jobs_done: jobs whose files are there.
        runs: trainings; None = not known.
        runs_done: trainings whose files are there.
        media_hours: hours of audio (of video for features of the face) that the work goes through, all epochs counted.
        hours: estimated hours of device of all jobs.
        hours_left: of the jobs that are not done.
        needs: what lacks, as `needs corpus X, Y`.
    """

    stage: str
    name: str
    corpus: str
    backbone: str | None = None
    start: str | None = None
    subset: str | None = None
    jobs: int | None = None
    jobs_done: int = 0
    runs: int | None = None
    runs_done: int = 0
    media_hours: float | None = None
    hours: float | None = None
    hours_left: float | None = None
    needs: str = ""


# --- reading a study whose corpora may be missing


def read_plan_study(paths: Sequence[str | Path]) -> tuple[Study, dict[str, str]]:
    """Read a study as `read_study` does, whether its corpora are here or not, and leave nothing out.

    Returns:
        The study, and for each corpus that is not here why; its root is a folder that does not exist.

    Raises:
        ConfigError: the configuration cannot be used for another reason.
    """
    values = merge_study(paths)
    missing: dict[str, str] = {}
    corpora = values.get("corpora")
    for name, corpus in corpora.items() if isinstance(corpora, dict) else ():
        if not isinstance(corpus, dict):
            continue
        corpus.pop("optional", None)
        unset = _name_variables(corpus)
        for key in list(corpus):
            if isinstance(corpus[key], str):
                corpus[key] = _VARIABLE.sub(lambda found: os.environ.get(found[1], f"missing/{found[1]}"), corpus[key])
        if unset:
            missing[name] = f"{', '.join(unset)} is not set"
        elif (
            corpus.get("importer") != "demo"
            and isinstance(corpus.get("root"), str)
            and not Path(corpus["root"]).is_dir()
        ):
            missing[name] = f"its root {corpus['root']} is missing"
    if isinstance(values.get("models_dir"), str) and _name_variables({"": values["models_dir"]}):
        values["models_dir"] = None
    return load_study(values), missing


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _name_variables(section: Mapping[str, Any]) -> list[str]:
    """Environment variables that a section names and that are not set."""
    texts = [value for value in section.values() if isinstance(value, str)]
    return list(dict.fromkeys(n for text in texts for n in _VARIABLE.findall(text) if n not in os.environ))


def parse_assumptions(texts: Iterable[str]) -> dict[str, CorpusSize]:
    """Sizes of corpora as a user states them: `NAME=CLIPS[:HOURSh][:SPEAKERSs]`, several separated by commas.

    Raises:
        ConfigError: one of them cannot be read.
    """
    found = {}
    for text in (part.strip() for texts_ in texts for part in texts_.split(",")):
        match = re.fullmatch(r"(\w+)=(\d+)(?::([\d.]+)h)?(?::(\d+)s)?", text)
        if match is None:
            raise ConfigError(
                f"--assume {text}: cannot be read; write NAME=CLIPS, NAME=CLIPS:HOURSh or NAME=CLIPS:HOURSh:SPEAKERSs, "
                "for example msp_podcast=151654:238h:1900s"
            )
        name, clips, hours, speakers = match.groups()
        seconds = None if hours is None else 3600 * float(hours)
        found[name] = CorpusSize(int(clips), seconds, None if speakers is None else int(speakers), "assumed")
    return found


def measure_corpora(
    study: Study, missing: Mapping[str, str], assumed: Mapping[str, CorpusSize]
) -> dict[str, CorpusSize]:
    """Size of every corpus: as assumed, else from its extracted audio, else from a listing and some headers.

    Raises:
        ConfigError: a size is assumed for a corpus that the study does not have.
    """
    if unknown := [name for name in assumed if name not in study.corpora]:
        raise ConfigError(f"--assume: there is no corpus {', '.join(unknown)}; there is {', '.join(study.corpora)}")
    sizes = {}
    for name, config in study.corpora.items():
        if name in missing:
            sizes[name] = replace(assumed.get(name, CorpusSize()), needs=missing[name])
            continue
        try:
            utterances = read_utterances(name, config)
        except EmoadaptError as error:
            sizes[name] = replace(assumed.get(name, CorpusSize()), needs=str(error))
            continue
        speakers = len({u.speaker for u in utterances if u.speaker}) or None
        seconds = _read_extracted(study, name)
        listed = CorpusSize(len(utterances), seconds, speakers, "listed" if seconds is None else "extracted")
        if seconds is None:
            mean = _probe_seconds(Path(config.root), utterances)
            listed = replace(listed, seconds=None if mean is None else mean * len(utterances))
        sizes[name] = assumed.get(name, listed)
    return sizes


def _read_extracted(study: Study, corpus: str) -> float | None:
    """Seconds of a corpus's extracted audio; None unless all shards are there."""
    paths = [Path(path) for path in Graph(study).feature_shards("audio", corpus)]
    if not all(path.is_file() for path in paths):
        return None
    from emoadapt.flow.store import read_table

    samples = [n or 0 for n in read_table(paths, columns=["n_samples"]).column("n_samples").to_pylist()]
    return sum(samples) / SAMPLE_RATE


def _probe_seconds(root: Path, utterances: Sequence[Utterance]) -> float | None:
    """Mean length of some clips spread over a corpus, from time stamps or file headers; None where it cannot be found."""
    chosen = utterances[:: max(1, len(utterances) // PROBED)][:PROBED]
    lengths = [length for u in chosen if (length := _probe(root, u)) is not None]
    return sum(lengths) / len(lengths) if lengths else None


def _probe(root: Path, utterance: Utterance) -> float | None:
    if utterance.end is not None:
        return utterance.end - (utterance.start or 0.0)
    path = root / utterance.media
    if not path.is_file():
        return None
    from emoadapt.media import open_container

    try:
        with open_container(path) as container:
            return None if container.duration is None else container.duration / 1e6
    except (ClipError, OSError, ValueError):
        return None


# --- what there is to do


def plan_study(study: Study, sizes: Mapping[str, CorpusSize], speeds: Mapping[str, Any] | None = None) -> list[Row]:
    """All jobs of a study: features, then Stage 1, then Stage 2.

    Args:
        study: from `read_plan_study`.
        sizes: of its corpora.
        speeds: what `calibrate` measured; None = no hours.
    """
    planner = _Planner(study, sizes, speeds or {})
    return [*planner.plan_features(), *planner.plan_stage1(), *planner.plan_stage2()]


class _Planner:
    def __init__(self, study: Study, sizes: Mapping[str, CorpusSize], speeds: Mapping[str, Any]) -> None:
        self.study, self.sizes, self.speeds = study, sizes, speeds
        self.graph = Graph(study)

    def plan_features(self) -> list[Row]:
        groups: dict[tuple[str, str], list[str]] = {}
        for path in self.graph.all_features():
            _, _, feature, corpus, _ = Path(path).parts
            groups.setdefault((feature, corpus), []).append(path)
        rows = []
        for (feature, corpus), paths in groups.items():
            done = sum(Path(path).is_file() for path in paths)
            media = _hours(self.sizes[corpus].seconds)
            hours = None
            if feature.startswith("cnn."):
                speed = self._speed(feature.split(".")[1], "cnn")
                hours = None if media is None or speed is None else media / speed
            left = None if hours is None else hours * (1 - done / len(paths))
            needs = self._needs([corpus])
            rows.append(Row("feature", feature, corpus, jobs=len(paths), jobs_done=done, media_hours=media, hours=hours,
                            hours_left=left, needs=needs))  # fmt: skip
        return rows

    def plan_stage1(self) -> list[Row]:
        rows = []
        for model in self.graph.adapted_models():
            backbone, adaptation = model.split(".", 1)
            config = self.study.adaptations[adaptation]
            seconds = _total([self._seconds(corpus, config.max_seconds) for corpus in config.corpora])
            work = None
            if seconds is not None:
                work = (
                    seconds * (1 - config.held_out) * config.epochs,
                    seconds * config.held_out * (config.epochs + 1),
                )
            done = int(Path(f"results/models/{model}").is_dir() and Path(f"results/curves/{model}.parquet").is_file())
            hours = self._estimate(backbone, adaptation, "stage1", work, jobs=1)
            rows.append(
                Row(
                    "stage1",
                    adaptation,
                    "+".join(config.corpora),
                    backbone,
                    adaptation,
                    None,
                    1,
                    done,
                    1,
                    done,
                    _hours(None if work is None else sum(work)),
                    hours,
                    None if hours is None else hours * (1 - done),
                    self._needs(config.corpora),
                )
            )
        return rows

    def plan_stage2(self) -> list[Row]:
        folds = {task: self._count_folds(task) for task in self.study.tasks}
        return [self._plan_setting(setting, folds[setting.task]) for setting in settings(self.study)]

    def _plan_setting(self, setting: Setting, folds: int | None) -> Row:
        task = self.study.tasks[setting.task]
        adaptation = self.study.adaptations.get(setting.start)
        needs = self._needs([task.corpus, *task.test_also, *(adaptation.corpora if adaptation else ())])
        row = Row("stage2", setting.task, task.corpus, setting.backbone, setting.start, setting.subset, needs=needs)
        if folds is None:
            return row
        jobs = batches(self.study, setting, folds)
        runs = sum(map(len, jobs.values()))
        folder = Path("results/runs", setting.task, setting.model, setting.subset)
        done = [batch for batch in jobs if all((folder / batch / f"{n}.parquet").is_file() for n in _RUN_FILES)]
        runs_done = sum(len(jobs[batch]) for batch in done)
        work = self._work_of_run(setting)
        media = None if work is None else _hours(runs * sum(work))
        hours = self._estimate(setting.backbone, setting.start, "stage2", work, runs, len(jobs))
        left = None if hours is None or not runs else hours * (1 - runs_done / runs)
        return replace(row, jobs=len(jobs), jobs_done=len(done), runs=runs, runs_done=runs_done, media_hours=media,
                       hours=hours, hours_left=left)  # fmt: skip

    def _work_of_run(self, setting: Setting) -> tuple[float, float] | None:
        """Audio seconds that a run trains on and evaluates, all epochs counted; None where sizes are not known."""
        if setting.backbone == HANDCRAFTED[0]:
            return (0.0, 0.0)
        task, settings_ = self.study.tasks[setting.task], self.study.finetuning
        seconds, clips = self._seconds(task.corpus, settings_.max_seconds), self.sizes[task.corpus].clips
        others = _total([self._seconds(corpus, settings_.max_seconds) for corpus in task.test_also])
        if seconds is None or not clips or others is None:
            return None
        train, dev, test = self._shares(setting.task)
        if setting.subset != "full":
            train = min(train, int(setting.subset) / clips)
        tested = seconds * test + others
        # Before and after training the test clips are embedded: the starting point's once a fold, counted with each run.
        return settings_.epochs * seconds * train, (settings_.epochs + 1) * seconds * dev + 2 * tested

    def _shares(self, task: str) -> tuple[float, float, float]:
        """Shares of a task's corpus in train, dev and test of a fold."""
        split = self.study.tasks[task].split
        if split.by == "fractions":
            return split.train, split.dev, split.test
        folds = self._count_folds(task)
        if split.by in ("folds", "leave_one_speaker_out", "leave_one_part_out") and folds:
            return (folds - 2) / folds, 1 / folds, 1 / folds
        return UNKNOWN_SHARES

    def _count_folds(self, task: str) -> int | None:
        config = self.study.tasks[task]
        if self.sizes[config.corpus].source in ("assumed", "missing"):
            if config.split.by == "leave_one_speaker_out":
                return self.sizes[config.corpus].speakers
            if config.split.by == "leave_one_part_out":
                return None
        return self.graph.folds(task)

    def _seconds(self, corpus: str, longest: float | None) -> float | None:
        """Seconds of a corpus, clips cropped (by their mean length) where the training crops them."""
        size = self.sizes[corpus]
        if size.seconds is None or longest is None or not size.clips:
            return size.seconds
        return min(size.seconds, size.clips * longest)

    def _estimate(
        self, backbone: str, start: str, stage: str, work: tuple[float, float] | None, runs: int = 1, jobs: int = 1
    ) -> float | None:
        """Hours of device."""
        if work is None or not self.speeds:
            return None
        startup = jobs * float(self.speeds["startup"]) / 3600
        if backbone == HANDCRAFTED[0]:
            return startup
        trains = self.study.backbones[backbone].trains_cnn(stage, start)  # type: ignore[arg-type]
        speed = self._speed(backbone, "whole" if trains else "cached")
        return (
            None if speed is None else startup + runs * (work[0] / speed["train"] + work[1] / speed["evaluate"]) / 3600
        )

    def _speed(self, backbone: str, kind: str) -> Any:
        """What was measured of a backbone with these settings; None where it was not, or with others."""
        found = self.speeds.get("backbones", {}).get(backbone)
        return found[kind] if found and found["settings"] == describe_calibrated(self.study, backbone) else None

    def _needs(self, corpora: Iterable[str]) -> str:
        lacking = [corpus for corpus in dict.fromkeys(corpora) if self.sizes[corpus].needs]
        return f"needs corpus {', '.join(lacking)}" if lacking else ""


_RUN_FILES = ("predictions", "embeddings", "curves")


def describe_calibrated(study: Study, backbone: str) -> str:
    """Digest of what the speed of a backbone depends on besides the machine."""
    keys = {"batch_size", "batch_seconds", "precision", "head", "head_hidden"}
    finetuning = study.finetuning.model_dump_json(include=keys)
    return digest(study.backbones[backbone].describe(), finetuning, study.training_threads, study.device == "cpu")


def read_calibration(path: Path = CALIBRATION) -> dict[str, Any] | None:
    """Speeds that were measured in this folder; None if there are none."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError:
        logger.warning("%s is damaged, and left aside: call `emoadapt plan --calibrate` again", path)
        return None


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / 3600


# --- printing


def write_csv(rows: Sequence[Row]) -> str:
    """The plan as CSV: a line per row, empty where something is not known."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: f"{v:.4g}" if isinstance(v, float) else v for key, v in asdict(row).items()})
    return text.getvalue()


def print_plan(
    study: Study, sizes: Mapping[str, CorpusSize], rows: Sequence[Row], speeds: Mapping[str, Any] | None, gpus: int
) -> None:
    """Print the plan for a person."""
    print(f"study {study.study}\n")
    print("done: the files are there. Whether they are up to date, `snakemake --dry-run` says.\n")
    _print_table(
        ["corpus", "clips", "hours", "speakers", "known from"],
        [[n, _count(s.clips), _length(_hours(s.seconds)), _count(s.speakers), _origin(s)] for n, s in sizes.items()],
    )
    by_stage = {stage: [row for row in rows if row.stage == stage] for stage in ("feature", "stage1", "stage2")}
    if by_stage["feature"]:
        print("\nfeatures: hours of media to extract from")
        _print_table(
            ["feature", "corpus", "shards", "done", "media", "hours", ""],
            [
                [r.name, r.corpus, _count(r.jobs), _count(r.jobs_done), _medium(r.name),
                 _length(r.media_hours), r.needs]
                for r in by_stage["feature"]
            ],
        )  # fmt: skip
    device = _name_processor(study, speeds)
    if by_stage["stage1"]:
        print("\nStage 1")
        _print_table(
            ["backbone", "adaptation", "corpora", "done", "audio hours, all epochs", f"{device} hours", ""],
            [
                [r.backbone, r.start, r.corpus, "yes" if r.jobs_done else "no", _length(r.media_hours), _length(r.hours), r.needs]
                for r in by_stage["stage1"]
            ],
        )  # fmt: skip
    if by_stage["stage2"]:
        print("\nStage 2")
        _print_table(
            ["task", "backbone", "start", "clips", "runs", "done", "jobs", "audio hours, all runs", f"{device} hours", ""],
            [
                [r.name, r.backbone, r.start, r.subset, _count(r.runs), _count(r.runs and r.runs_done), _count(r.jobs),
                 _length(r.media_hours), _length(r.hours), r.needs]
                for r in by_stage["stage2"]
            ],
        )  # fmt: skip
    print()
    for line in summarise_plan(study, rows, speeds, gpus, device):
        print(line)


def _name_processor(study: Study, speeds: Mapping[str, Any] | None) -> str:
    """`CPU` or `GPU`: the one that was calibrated, else the one that the study would use here."""
    if speeds:
        return "CPU" if study.device == "cpu" or speeds["device"].startswith("CPU") else "GPU"
    return "CPU" if study.device == "cpu" or (study.device == "auto" and not list_devices()) else "GPU"


def summarise_plan(
    study: Study, rows: Sequence[Row], speeds: Mapping[str, Any] | None, gpus: int, device: str = "GPU"
) -> list[str]:
    """Totals in sentences, and what is not known."""
    stage1, stage2 = ([row for row in rows if row.stage == stage] for stage in ("stage1", "stage2"))
    known = [row for row in stage2 if row.runs is not None]
    runs, done = sum(row.runs or 0 for row in known), sum(row.runs_done for row in known)
    jobs = sum(row.jobs or 0 for row in known)
    lines = [
        f"Stage 1: {len(stage1)} jobs, {sum(row.jobs_done for row in stage1)} done. "
        f"Stage 2: {runs:,} runs in {jobs:,} jobs, {done:,} runs done.",
    ]
    if len(known) < len(stage2):
        lines.append(
            f"Runs of {len(stage2) - len(known)} settings are not known: their folds are speakers of a corpus that is not here."
        )
    training = [*(row for row in rows if row.name.startswith("cnn.") and row.stage == "feature"), *stage1, *stage2]
    if not study.backbones:
        return lines
    if not speeds:
        lines.append(
            f"Not calibrated: {device} hours of training are not known. `emoadapt plan --calibrate` finds them with a few steps of each "
            "backbone on this machine."
        )
        return lines
    timed = [row for row in training if row.hours is not None and row.hours_left is not None]
    total, left = sum(row.hours or 0 for row in timed), sum(row.hours_left or 0 for row in timed)
    chain = sum(
        max((row.hours_left / max(1, (row.jobs or 1) - row.jobs_done) for row in group if row.hours_left), default=0.0)
        for group in (stage1, stage2)
    )
    lines.append(
        f"Training, and the CNN outputs that it caches: {_length(total)} {device} hours at most (all epochs), "
        f"{_length(left)} of them left; "
        f"with {gpus} at a time about {_length(max(left / gpus, chain))} hours. Calibrated on {speeds['device']}, torch {speeds['torch']}."
    )
    stand_ins = [name for name, found in speeds["backbones"].items() if found["stand_in"] and name in study.backbones]
    if stand_ins:
        lines.append(
            f"The weights of {', '.join(stand_ins)} are not here: models of the usual size stood in for the calibration."
        )
    if len(timed) < len(training):
        lines.append(
            f"{len(training) - len(timed)} of {len(training)} lines have no hours: the size of a corpus (--assume), or the speed of a "
            "backbone with these settings (--calibrate), is not known."
        )
    if any(
        row.stage == "feature" and not row.name.startswith("cnn.") and row.jobs_done < (row.jobs or 0) for row in rows
    ):
        lines.append("The time to extract faces, transcripts, sentiment and descriptors is not estimated.")
    guessed = [name for name, task in study.tasks.items() if task.split.by in ("official", "speakers")]
    if guessed:
        shares = "/".join(f"{100 * share:.0f}" for share in UNKNOWN_SHARES)
        lines.append(
            f"Train, dev and test of {', '.join(guessed)} are taken to be {shares} % of the corpus; its partition may differ."
        )
    return lines


def _print_table(heads: Sequence[str], lines: Sequence[Sequence[str | None]]) -> None:
    cells = [list(heads), *[[cell or "" for cell in line] for line in lines]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    right = [all(re.fullmatch(r"[\d,.]*|unknown", line[column]) for line in cells[1:]) for column in range(len(heads))]
    for line in cells:
        pairs = zip(line, widths, right, strict=True)
        print("  ".join(cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in pairs).rstrip())


def _medium(feature: str) -> str:
    """What a feature is computed from."""
    return "video" if feature in list_plugins("features") and needs_video(feature) else "audio"


def _origin(size: CorpusSize) -> str:
    return " and not here: ".join(filter(None, (size.source if size.source != "missing" else "nothing", size.needs)))


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"


def _length(hours: float | None) -> str:
    """Hours with three digits at most."""
    if hours is None:
        return "unknown"
    if hours == 0:
        return "0"
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}"
