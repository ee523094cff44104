import re

from emoadapt.schema import KEPT
from emoadapt.study.origins import Origins

# Lookups that several rules share. What they answer is decided in emoadapt.study.graph and emoadapt.study.origins.
STUDY = graph.study
origins = Origins(graph)


wildcard_constraints:
    corpus="|".join(STUDY.corpora),
    shard=r"\d\d\d+",
    task="|".join(STUDY.tasks) or "none",
    backbone="|".join(STUDY.backbones) or "none",
    model="|".join(map(re.escape, map(str, STUDY.list_models()))) or "none",
    kind="|".join(KEPT),
    source="|".join(map(re.escape, [*STUDY.backbones, *graph.adapted_models()]))
    or "none",
    objectives="|".join(map(re.escape, graph.objective_sets())) or "none",
    adaptation="|".join(STUDY.adaptations) or "none",
    subset=r"\d+|full",
    partition=r"\d+",
    batch=r"([pr]\d+)?b\d\d\d+",


def growing(base, per_thread=0):
    """MB of memory of a job: as much again each time it is tried again, since it may have failed for want of it.

    Trainings ask for much and fail for other reasons: three times as much would soon be more than a node has.
    """
    return lambda wildcards, threads, attempt: attempt * (base + per_thread * threads)


def memory_of_training(gpus):
    """MB of a training job: one process for each GPU."""
    return 16000 * max(1, gpus)


def memory_of_run(wildcards, attempt):
    """MB of a training on a task; one on vectors holds little, but a backbone where it is kept, and grows like an extraction."""
    setting = setting_of(wildcards)
    if graph.reads_vectors(setting):
        return (6000 if STUDY.keeps_frozen(setting.model) else 2000) * attempt
    return memory_of_training(graph.training_gpus(setting))


def setting_of(wildcards):
    """The setting that a training on a task is of."""
    return graph.setting(wildcards.task, wildcards.model, wildcards.subset)


def runs_of(wildcards):
    """The runs of a batch."""
    return graph.batches(setting_of(wildcards))[wildcards.batch]


def origin_of(job, **names):
    """What a job of given wildcards reads, and what decides its outputs."""
    return lambda wildcards: getattr(origins, job)(**names, **dict(wildcards.items()))


def inputs_of(job, **names):
    """Inputs of a job, by name."""
    return lambda wildcards: origin_of(job, **names)(wildcards).inputs


def made_of(job, **names):
    """Digest of all that decides the outputs of a job besides its inputs; the outputs state it (emoadapt.flow.records)."""
    return lambda wildcards: origin_of(job, **names)(wildcards).made


def outside_of(job):
    """State of what a job reads and no job writes."""
    return lambda wildcards: origin_of(job)(wildcards).outside
