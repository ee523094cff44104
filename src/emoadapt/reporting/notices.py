"""Sentences that a reader must know before believing the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import polars as pl

from emoadapt.config import Study, objective_features
from emoadapt.config.features import list_upstream
from emoadapt.errors import name_count
from emoadapt.extraction.recipes import find_network
from emoadapt.faces.network_settings import OnnxNetwork
from emoadapt.listing.affect import NOTE as DERIVED
from emoadapt.listing.reading import describe_source
from emoadapt.plugins import collect_declarations, read_declaration
from emoadapt.reporting.style import label_model, listing, model_of, subset_name
from emoadapt.tasks.leaks import name_compared
from emoadapt.tasks.notes import list_class_notes

if TYPE_CHECKING:
    from emoadapt.config import Task


def list_notices(study: Study) -> list[str]:
    """Sentences about untrained networks, synthetic data and stand-in engines that the study uses."""
    notices = []
    if names := study.untrained:
        one = len(names) == 1
        notices.append(
            f"The backbone{'' if one else 's'} {listing(names)} {'is' if one else 'are'} UNTRAINED (randomly initialised): "
            "the scores say nothing about pretrained models."
        )
    networks = [network for feature in used_features(study) if (network := find_network(study, feature))]
    notices += [
        f"The network for {network.role} is UNTRAINED (randomly initialised): what it gives are random features."
        for network in networks
        if network.state == "untrained"
    ]
    generated = collect_declarations("corpora", "GENERATED")
    if demo := [name for name, corpus in study.corpora.items() if generated.get(corpus.importer)]:
        notices.append(
            f"The corpora {listing(demo)} are SYNTHETIC (the built-in demo): the scores say nothing about real speech."
            if len(demo) > 1
            else f"The corpus {demo[0]} is SYNTHETIC (the built-in demo): its scores say nothing about real speech."
        )
    stand_ins = [network.stand_in for network in networks if network.stand_in]
    if stand_ins:
        notices.append(f"Stand-in engines were used: {listing(stand_ins)}. The papers used stronger ones.")
    return notices + _list_assumptions(study) + _list_derived(study) + _list_action_units(study)


def _list_assumptions(study: Study) -> list[str]:
    """A sentence about an embedding network of faces of which nobody declared the input."""
    network = study.features.face_embedding.network
    assumed = network.name_assumptions() if isinstance(network, OnnxNetwork) else ""
    if "face_embedding" not in used_features(study) or not assumed:
        return []
    return [
        f"The network for face embedding ({network.file}) was given {assumed}, which are ASSUMED, as nothing states what it was "
        "trained with: if that was another input, its vectors mean little."
    ]


def _list_derived(study: Study) -> list[str]:
    """A sentence about corpora whose attributes nobody rated, of tasks that predict attributes."""
    rated = [name for task in study.tasks.values() if task.attributes for name in (task.corpus, *task.test_also)]
    derived = [name for name in dict.fromkeys(rated) if DERIVED in describe_source(study.corpora[name])]
    if not derived:
        return []
    one = len(derived) == 1
    return [
        f"The attributes of the corp{'us' if one else 'ora'} {listing(derived)} are DERIVED from the emotion of each clip by the means of "
        "Russell & Mehrabian (1977); nobody rated them. Their scores say how well the emotion is predicted, and nothing about raters."
    ]


def _list_action_units(study: Study) -> list[str]:
    """A sentence about an action unit that another measure stands for, as the landmark detector lacks it."""
    stand_in = read_declaration("landmarkers", study.features.landmarks.detector, "STAND_IN")
    if "action_units" not in used_features(study) or not stand_in:
        return []
    if study.features.action_units.cheek_raiser == "cheekSquint":
        return [
            "AU6 (cheek raiser) is NEVER DETECTED: MediaPipe leaves `cheekSquint` at 0, so that no clip shows happiness by its action units."
        ]
    return [
        "AU6 (cheek raiser), which decides happiness, is a STAND-IN: MediaPipe does not measure it, and the smaller of `eyeSquint` and "
        "`mouthSmile` stands for it (eyes that narrow in a smile)."
    ]


def list_mixed_versions(versions: Mapping[str, str]) -> list[str]:
    """Sentences about libraries of which several versions made the results.

    Args:
        versions: from `flow.provenance.join_versions`.
    """
    return [
        f"Results were made with several versions of {name}: {found}."
        for name, found in versions.items()
        if found.endswith(")")
    ]


_READ_UNLABELLED = {"target_clips": "clips", "target_speakers": "speakers"}
"""Kind of leak between a target's unlabelled part and its test part, the worse one first -> what is shared."""


def list_exposures(stage1: pl.DataFrame, data: pl.DataFrame, leaks: pl.DataFrame) -> list[str]:
    """Sentences about test clips and test speakers that a model met before its test.

    Args:
        stage1: the tidy table `stage1_data`.
        data: the tidy table `data`.
        leaks: the tidy table `leaks`.
    """
    notices = []
    for row in stage1.iter_rows(named=True):
        place = f"of {row['test_corpus']} (task {row['task']})"
        if row["seen_clips"]:
            notices.append(
                f"{row['seen_clips']:,} of the {row['test_clips']:,} test clips {place} were USED IN STAGE 1 of {row['adaptation']} "
                "(without labels): its scores there are not those of unseen recordings."
            )
        elif row["seen_speakers"]:
            notices.append(
                f"{row['seen_speakers']:,} of the {row['test_speakers']:,} test speakers {place} spoke in Stage 1 of "
                f"{row['adaptation']}, in other clips: its scores there are not those of unseen speakers."
            )
    tested = data.filter(pl.col("label").is_null(), pl.col("split") == "test")
    worst = tested.group_by("task", "corpus", maintain_order=True).agg(pl.col("shared_clips", "shared_speakers").max())
    for task, corpus, clips, speakers in worst.iter_rows():
        if clips:
            are = "is" if clips == 1 else "are"
            notices.append(
                f"{name_count(clips, 'test clip')} of {corpus} (task {task}) {are} ALSO IN TRAIN OR DEV: its scores are too good."
            )
        elif speakers:
            are = "is" if speakers == 1 else "are"
            notices.append(
                f"{name_count(speakers, 'test speaker')} of {corpus} (task {task}) {are} also in train or dev: its scores are not those of "
                "unseen speakers."
            )
    return [*notices, *_list_read_unlabelled(leaks)]


def _list_read_unlabelled(leaks: pl.DataFrame) -> list[str]:
    """Sentences about test clips, or else test speakers, that are among the clips of the target which are read without labels."""
    found: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for row in leaks.filter(pl.col("kind").is_in(_READ_UNLABELLED), pl.col("count") > 0).iter_rows(named=True):
        found.setdefault((row["task"], row["corpus"]), {})[row["kind"]] = row["count"], row["of"]
    notices = []
    for (task, corpus), counts in found.items():
        kind = next(kind for kind in _READ_UNLABELLED if kind in counts)
        count, of = counts[kind]
        notices.append(
            f"{count:,} of the {of:,} test {_READ_UNLABELLED[kind]} of {corpus} (task {task}) {'is' if count == 1 else 'are'} also in the "
            f"part of this corpus that is read WITHOUT LABELS: scores there of models that read it are not those of unseen {_READ_UNLABELLED[kind]}."
        )
    return notices


def list_gaps(per_class: pl.DataFrame, cross_corpus: pl.DataFrame, data: pl.DataFrame, study: Study) -> list[str]:
    """Sentences about test sets without a clip of some class, without values of an attribute, or with a single speaker.

    Args:
        per_class: the tidy table `per_class_f1`; a class of which some run was tested on no clip has `n_least` 0.
        cross_corpus: the tidy table `cross_corpus`; an attribute that cannot be scored has no rows.
        data: the tidy table `data`.
        study: the configuration.
    """
    notices = []
    scored = cross_corpus.group_by("task", "test_corpus", maintain_order=True).agg(pl.col("metric").unique())
    for task, corpus, metrics in scored.iter_rows():
        if names := [name for name in study.tasks[task].attributes if f"ccc_{name}" not in metrics]:
            notices.append(
                f"The test set of {corpus} (task {task}) has NO VALUES of {listing(names)}: its mean CCC is over the other attributes."
            )
    absent = (
        per_class.filter(n_least=0).group_by("task", "test_corpus", maintain_order=True).agg(pl.col("label").unique())
    )
    for task, corpus, labels in absent.iter_rows():
        names = [name for name in study.tasks[task].classes if name in labels]
        part = "test set" if study.count_partitions(task) == 1 else "test set of some partition"
        notices.append(
            f"The {part} of {corpus} (task {task}) has NO CLIP of class {listing(names)}: its scores are over all "
            f"{len(study.tasks[task].classes)} classes, and {'this one counts' if len(names) == 1 else 'these count'} as 0 in them."
        )
    tested = data.filter(pl.col("label").is_null(), pl.col("split") == "test")
    # Folds of the task's own corpus test on different speakers, those of another corpus on the same ones.
    parts = tested.group_by("task", "corpus", "partition", maintain_order=True).agg(
        all=pl.col("speakers").sum(), each=pl.col("speakers").max()
    )
    for (task, corpus), rows in parts.group_by("task", "corpus", maintain_order=True):
        counted = "all" if corpus == study.tasks[str(task)].corpus else "each"
        lone = rows.filter(pl.col(counted) == 1)["partition"].sort().to_list()
        where = (
            f" in {len(lone)} of its {rows.height} partitions ({', '.join(map(str, lone))})"
            if len(lone) < rows.height
            else ""
        )
        if lone:
            notices.append(
                f"The test set of {corpus} (task {task}) has ONE SPEAKER{where}: its scores "
                f"{'there ' if where else ''}say nothing about other speakers."
            )
    return notices


def list_class_warnings(study: Study, splits: Mapping[str, pl.DataFrame]) -> list[str]:
    """Sentences about classes that are mostly of one speaker, or that some test parts lack, as `emoadapt check` says them.

    Args:
        study: the configuration.
        splits: task -> its SPLITS rows.
    """
    return [
        f"{_name_task(study, name)}: {note}."
        for name, rows in splits.items()
        for note in list_class_notes(study.tasks[name], rows)
    ]


def _name_task(study: Study, name: str) -> str:
    corpus = study.tasks[name].corpus
    return f"Task {name}" if name == corpus else f"Task {name} ({corpus})"


def list_lone_answers(per_class: pl.DataFrame, study: Study) -> list[str]:
    """Sentences about models that (nearly) always name one class, which is no recognition whatever the score.

    Args:
        per_class: the tidy table `per_class_f1`.
        study: the configuration.
    """
    notices = []
    found = per_class.filter(pl.col("lone_runs") > 0)
    for (task, corpus), rows in found.group_by(["task", "test_corpus"], maintain_order=True):
        models: dict[str, list[str]] = {}
        for row in rows.iter_rows(named=True):
            name = f"{label_model(model_of(row), row['weights'], study.report.names)} ({subset_name(row['subset'])})"
            models.setdefault(name, []).append(
                f"{row['label']} in {row['lone_runs']} of {name_count(row['n_runs'], 'run')}"
            )
        named = [f"{name}: {listing(classes)}" for name, classes in models.items()]
        more = f"; and {len(named) - NAMED} more" if len(named) > NAMED else ""
        notices.append(
            f"Models that give ONE CLASS as (nearly) every answer on {corpus} (task {task}): {'; '.join(named[:NAMED])}{more}. "
            "They recognise nothing there, whatever their score."
        )
    return notices


def list_few_runs(results: pl.DataFrame, study: Study) -> list[str]:
    """Sentences about tasks of which some models have fewer than three runs, although another run could give another score.

    Args:
        results: rows of the tidy tables `results` and `cross_corpus`.
        study: the configuration.
    """
    few = results.filter(pl.col("n_runs") < FEW_RUNS)
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for task, finetuning, subset, runs in (
        few.select("task", "finetuning", "subset", "n_runs").unique(maintain_order=True).iter_rows()
    ):
        if varied := list_varied(study, task, finetuning, subset):
            least = found.setdefault(varied, {})
            least[task] = min(runs, least.get(task, runs))
    tested = few.filter(pl.col("p_value").is_not_null(), pl.col("n_pairs") < FEW_RUNS)
    doubted = set(tested["task"])
    notices = []
    for varied, least in found.items():
        named = listing(f"{task} ({name_count(runs, 'run')})" for task, runs in least.items())
        doubt = ", and a p-value over two runs is worth little" if doubted & least.keys() else ""
        notices.append(
            f"Some models have FEWER THAN {FEW_RUNS} RUNS, on {named}: how much {_name_others(varied)} would change is hardly known{doubt}."
        )
    return notices


def _name_others(varied: Iterable[str]) -> str:
    return listing((f"another {name}" for name in varied), last="or")


def list_varied(study: Study, task: str, finetuning: str, subset: str) -> tuple[str, ...]:
    """What another run of a model could differ in; nothing where training and division are the only ones of their kind.

    Args:
        study: the configuration.
        task: name of a task.
        finetuning: of the model.
        subset: number of training clips, or `full`.
    """
    varied = {
        "seed": not study.finetunings[finetuning].deterministic,
        "draw of the training clips": subset != "full",
        "division of the clips": study.tasks[task].divided_by_choice,
    }
    return tuple(name for name, possible in varied.items() if possible)


def describe_lone_runs(results: pl.DataFrame, study: Study) -> str:
    """A sentence below scores that are each of one run: whether another run could differ; empty where models have several runs.

    Args:
        results: rows of the tidy tables `results` and `cross_corpus`.
        study: the configuration.
    """
    if results.is_empty() or results["n_runs"].max() != 1:
        return ""
    rows = results.select("task", "finetuning", "subset").unique(maintain_order=True).iter_rows()
    varied = dict.fromkeys(name for row in rows for name in list_varied(study, *row))
    if not varied:
        return "Each score is that of one run. A second run would be the same: the training draws nothing, and the corpus gives the division."
    return f"Each score is that of one run: how much {_name_others(varied)} would change is not known."


FEW_RUNS = 3
"""Runs below which the report warns."""
NAMED = 6
"""Models that a warning names; the others are counted."""


def list_copies(leaks: pl.DataFrame) -> list[str]:
    """Sentences about recordings that have two labels, or are in a test set more than once.

    Args:
        leaks: the tidy table `leaks`.
    """
    notices = []
    for row in leaks.filter(pl.col("count") > 0).iter_rows(named=True):
        place = f"{row['corpus']}{name_compared(row)} (task {row['task']})"
        if row["kind"] == "labels":
            notices.append(
                f"{row['count']:,} of the {row['of']:,} clips of {place} are recordings that HAVE ANOTHER LABEL TOO "
                f"({row['examples']}): no model can be right about both."
            )
        elif row["kind"] == "duplicates" and row["between"] == "test / test":
            notices.append(
                f"{row['count']:,} of the {row['of']:,} test clips of {place} are recordings that are there more than once: "
                "its scores count each copy."
            )
    return notices


def describe_partitions(study: Study) -> list[str]:
    """A sentence for each task with several partitions: what its runs are, and what they vary in."""
    return [
        f"{name}: {task.partitions} partitions of {task.corpus}, each scored alone; a run is one partition, one draw of the training "
        f"clips and one seed{_name_pairing(task)}, so that standard deviations are over partitions, draws and seeds together, and "
        "p-values over partitions; `n test` counts the clips of all partitions, each once."
        for name, task in study.tasks.items()
        if task.partitions > 1
    ]


def _name_pairing(task: Task) -> str:
    return " (trial i has partition i, draw i and seed i)" if task.trials == "paired" else ""


def used_features(study: Study) -> list[str]:
    """Features that objectives rest on, those that backbones read, and those that are wanted for themselves."""
    known = objective_features()
    wanted = [
        known[name] for adaptation in study.adaptations.values() for name in adaptation.objectives if name in known
    ]
    wanted += [feature for backbone in study.backbones.values() for feature in backbone.features]
    return list(dict.fromkeys(name for feature in [*wanted, *study.features.also] for name in list_upstream(feature)))


def describe_left_out(study: Study) -> str:
    """One sentence about tasks and trainings that this machine has no corpora for; empty where there are none."""
    kinds = {"tasks": "task", "adaptations": "adaptation", "finetunings": "fine-tuning"}
    found = {
        kind: [path.split(".")[1] for path in study.left_out if path.startswith(f"{kind}.") and path.count(".") == 1]
        for kind in kinds
    }
    parts = [
        f"{'the ' if names else ''}{kinds[kind]}{'s' if len(names) > 1 else ''} {listing(names)}"
        for kind, names in found.items()
        if names
    ]
    return f"Not computed, because corpora are missing: {'; '.join(parts)}." if parts else ""


def list_size_notes(tidy: pl.DataFrame) -> list[str]:
    """Say where models were tested on different clips.

    So it is where one model reads words and some clips have none.

    Args:
        tidy: scores, with the columns `task`, `test_corpus` and `n`.
    """
    sizes = tidy.group_by("task", "test_corpus", maintain_order=True).agg(pl.min("n"), most=pl.max("n"))
    return [
        f"{task} ({corpus}): models were tested on different clips, n = {least:,} to {most:,}. A mean is over the clips of its model, a "
        "difference and its test are over the clips of both models."
        for task, corpus, least, most in sizes.iter_rows()
        if least != most
    ]
