"""Which jobs run after each kind of edit, read off dry runs of a finished study."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml
from project import SPEAKERS, Project, create_project, small_study

pytestmark = pytest.mark.slow

TRAININGS = {
    f"train task=emotions model={model} subset={subset} batch=b000"
    for model in ("tiny.original", "tiny.adapted", "egemaps.original.mlp")
    for subset in ("12", "full")
}
REPORT = {"evaluate task=emotions", "report"}
ADAPTED = {job for job in TRAININGS if "tiny.adapted" in job}
VECTOR = {job for job in TRAININGS if "egemaps" in job}
STAGE1 = {"normalisers adaptation=adapted", "adapt backbone=tiny adaptation=adapted"}
CACHED = {f"keep kind=frontend source=tiny.adapted corpus=labelled shard=00{i}" for i in range(2)}
AFTER_STAGE1 = CACHED | ADAPTED | REPORT | {"quarantine"}


OWN_METHOD = """
from typing import ClassVar, Literal

from emoadapt.config.training import Finetuning

SCOPE = "run"


class Config(Finetuning):
    method: Literal["majority"]
    deterministic: ClassVar[bool] = True
    frozen: ClassVar[bool] = True


def train(job):
    raise NotImplementedError
"""


def shard_jobs(corpus: str, shard: str) -> set[str]:
    """All that follows from a changed clip and concerns its shard alone."""
    rules = ("manifest", "audio", "egemaps", "training_shard objectives=egemaps")
    return {f"{rule} corpus={corpus} shard={shard}" for rule in rules}


def after_clip(*shards: str) -> set[str]:
    """All that follows from a change of unlabelled clips in these shards."""
    own = [shard_jobs("unlabelled", shard) for shard in shards]
    return set().union(*own) | {"parts adaptation=adapted", "leaks task=emotions"} | STAGE1 | AFTER_STAGE1


def all_shards(rule: str) -> set[str]:
    return {f"{rule} corpus={c} shard=00{i}" for c in ("unlabelled", "labelled") for i in range(2)}


def test_nothing_changed(project: Project) -> None:
    assert project.jobs() == set()


def test_quarantine_deleted(project: Project) -> None:
    """Nothing asked for it once the report was there."""
    table = project.root / "results/quarantine.parquet"
    kept = table.rename(project.root / "kept.parquet")
    try:
        assert project.jobs() == {"quarantine", "report"}
    finally:
        kept.rename(table)


def test_clip_added(project: Project) -> None:
    project.add_clip("s1_new.wav")
    assert project.jobs() == after_clip(project.shard("unlabelled", "s1_new"))


def test_clip_removed(project: Project) -> None:
    (project.root / "media/unlabelled/s2_3.wav").unlink()
    assert project.jobs() == after_clip(project.shard("unlabelled", "s2_3"))


def test_clip_changed(project: Project) -> None:
    project.add_clip("s0_4.wav")
    assert project.jobs() == after_clip(project.shard("unlabelled", "s0_4"))


def test_clip_renamed(project: Project) -> None:
    folder = project.root / "media/unlabelled"
    (folder / "s3_1.wav").rename(folder / "s3_moved.wav")
    assert project.jobs() == after_clip(project.shard("unlabelled", "s3_1"), project.shard("unlabelled", "s3_moved"))


def test_clips_touched(project: Project) -> None:
    for path in (project.root / "media").rglob("*.wav"):
        os.utime(path)
    assert project.jobs() == set()


def test_label_changed(project: Project) -> None:
    project.edit("media/labelled/labels.csv", "t1_1.wav,t1,high", "t1_1.wav,t1,low")
    assert project.jobs() == {"split task=emotions partition=0", "leaks task=emotions"} | TRAININGS | REPORT


def test_one_more_partition_divides_and_trains_nothing_else(project: Project) -> None:
    """Symptom: the first partition was divided anew and all its runs trained again, with the same result."""
    project.edit("small.yaml", "    subsets:", "    partitions: 2\n    subsets:")
    again = {job.replace("batch=b000", "batch=p1b000") for job in TRAININGS}
    assert project.jobs() == {"split task=emotions partition=1", "leaks task=emotions"} | again | REPORT


def test_subset_added(project: Project) -> None:
    """What was trained on other subsets stays."""
    project.edit("small.yaml", "    - 12\n", "    - 12\n    - 14\n")
    new = {job.replace("subset=12", "subset=14") for job in TRAININGS if "subset=12" in job}
    assert project.jobs() == new | REPORT


def test_draws_edited(project: Project) -> None:
    """All of a small subset; `full` is drawn in one way only."""
    project.edit("small.yaml", "    subsets:\n", "    draws: nested\n    subsets:\n")
    assert project.jobs() == {job for job in TRAININGS if "subset=12" in job} | REPORT


def test_comment_edited_in_a_feature_module(project: Project) -> None:
    path = project.root / "src/emoadapt/features/egemaps.py"
    path.write_text(path.read_text() + "\n# a remark\n")
    assert project.jobs() == set()


def test_feature_module_edited(project: Project) -> None:
    path = project.root / "src/emoadapt/features/egemaps.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    training = {f"training_shard objectives=egemaps corpus=unlabelled shard=00{i}" for i in range(2)}
    assert project.jobs() == all_shards("egemaps") | training | STAGE1 | AFTER_STAGE1 | VECTOR


def test_shared_module_edited(project: Project) -> None:
    """`media` is used by audio, and so concerns all that is heard; manifests, labels, splits and parts do not use it."""
    path = project.root / "src/emoadapt/media/audio.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    training = {f"training_shard objectives=egemaps corpus=unlabelled shard=00{i}" for i in range(2)}
    heard = all_shards("audio") | all_shards("egemaps") | training
    assert project.jobs() == heard | STAGE1 | AFTER_STAGE1 | TRAININGS


def test_training_parameter_edited(project: Project) -> None:
    project.edit("small.yaml", "    epochs: 2\n", "    epochs: 3\n")
    assert project.jobs() == TRAININGS - VECTOR | REPORT


def test_augmentation_added_and_edited(project: Project) -> None:
    """It concerns the trainings that have it, and none of the kept outputs that they no longer read."""
    project.edit("small.yaml", "    epochs: 2\n", "    epochs: 2\n    augment: [{chain: ahn2024, type: 2}]\n")
    concerned = TRAININGS - VECTOR | REPORT | {"quarantine"}
    assert project.jobs() == concerned
    path = project.root / "src/emoadapt/augmentations/ahn2024.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    assert project.jobs() == concerned
    project.edit("small.yaml", "    augment: [{chain: ahn2024, type: 2}]\n", "")
    assert project.jobs() == set()


def test_parameter_of_one_finetuning_edited(project: Project) -> None:
    project.edit("small.yaml", "    epochs: 5\n", "    epochs: 6\n")
    assert project.jobs() == VECTOR | REPORT


def test_stage1_parameter_edited(project: Project) -> None:
    project.edit("small.yaml", "epochs: 4", "epochs: 5")
    assert project.jobs() == {"adapt backbone=tiny adaptation=adapted"} | AFTER_STAGE1


def test_finetunings_added(project: Project) -> None:
    """Two more ways to train are lines of the study; what was trained stays."""
    project.edit(
        "small.yaml",
        "\nfinetunings:\n",
        "\nfinetunings:\n  probe: {method: probe, backbones: [tiny], epochs: 3, seeds: [0]}\n"
        "  svm: {method: svm, backbones: [egemaps]}\n",
    )
    models = ("tiny.original.probe", "tiny.adapted.probe", "egemaps.original.svm")
    new = {f"train task=emotions model={m} subset={n} batch=b000" for m in models for n in ("12", "full")}
    sources = ("tiny", "tiny.adapted")
    kept = {f"keep kind=layers source={s} corpus=labelled shard=00{i}" for s in sources for i in range(2)}
    assert project.jobs() == new | kept | REPORT | {"quarantine"}


def test_method_edited(project: Project) -> None:
    """The code of a method concerns the models that are trained by it."""
    project.edit("small.yaml", "\nfinetunings:\n", "\nfinetunings:\n  svm: {method: svm, backbones: [egemaps]}\n")
    path = project.root / "src/emoadapt/training/machines.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    new = {f"train task=emotions model=egemaps.original.svm subset={n} batch=b000" for n in ("12", "full")}
    assert project.jobs() == new | REPORT


def test_keeping_probes_and_machines_trains_none_of_them_again(copy: Project) -> None:
    """Symptom: the classifier that was offered was the run with the highest score on its own development part."""
    copy.edit(
        "small.yaml", "\nfinetunings:\n", "\nfinetunings:\n  svm: {method: svm, backbones: [egemaps], c: [0.1, 1.0]}\n"
    )
    copy.run()
    copy.edit("small.yaml", "\nfinetunings:\n", "\nkeep_models: best\nfinetunings:\n")
    fitted = {"refit task=emotions model=egemaps.original.svm subset=full"}
    assert copy.jobs() == fitted | (TRAININGS - VECTOR) | REPORT
    target = "results/refits/emotions/egemaps.original.svm/full/models"
    done = copy.snakemake(target)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (folder,) = (copy.root / target).glob("*/")
    assert "all 48 labelled clips" in (folder / "README.md").read_text()
    assert copy.jobs() == (TRAININGS - VECTOR) | REPORT
    path = copy.root / "src/emoadapt/training/refitting.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    assert copy.jobs() == fitted | (TRAININGS - VECTOR) | REPORT
    copy.edit("small.yaml", "c: [0.1, 1.0]", "c: [0.1, 2.0]")
    machines = {f"train task=emotions model=egemaps.original.svm subset={n} batch=b000" for n in ("12", "full")}
    assert copy.jobs() == fitted | machines | (TRAININGS - VECTOR) | REPORT


UPSTREAM = """
finetunings:
  teacher: {backbones: [egemaps], keep: embeddings, seeds: [0, 1], epochs: 3, learning_rate: 1.0e-2}
  student: {method: student, backbones: [tiny], starts: [original], teacher: egemaps.original.teacher, weight: 2, seeds: [0, 1], epochs: 1}
  fused: {method: fuse, of: [tiny.original, egemaps.original.teacher], seeds: [0, 1]}
"""


def test_what_a_training_needs_of_another_one_is_followed(copy: Project) -> None:
    """A teacher that changed trains its students again; a student's key trains no teacher; nothing else is touched."""
    copy.edit("small.yaml", "\nfinetunings:\n", UPSTREAM)
    names = ("egemaps.original.teacher", "tiny.original.student", "tiny.original.fused")
    teachers, students, fused = (
        {f"train task=emotions model={name} subset={n} batch=b000" for n in ("12", "full")} for name in names
    )
    assert copy.jobs() == teachers | students | fused | REPORT
    copy.run()
    assert copy.jobs() == set()
    copy.edit("small.yaml", "weight: 2", "weight: 3")
    assert copy.jobs() == students | REPORT
    copy.edit("small.yaml", "weight: 3", "weight: 2")
    copy.edit("small.yaml", "epochs: 3, learning", "epochs: 4, learning")
    assert copy.jobs() == teachers | students | fused | REPORT
    copy.edit("small.yaml", "epochs: 4, learning", "epochs: 3, learning")
    copy.edit("small.yaml", "    epochs: 2\n", "    epochs: 3\n")
    assert copy.jobs() == TRAININGS - VECTOR | fused | REPORT
    copy.edit("small.yaml", "    epochs: 3\n", "    epochs: 2\n")
    path = copy.root / "src/emoadapt/training/students.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    assert copy.jobs() == students | REPORT


def test_own_method_dropped_in(project: Project) -> None:
    """A method is one new file and one line of the study."""
    folder = project.root / "mine/methods"
    folder.mkdir(parents=True)
    (folder / "majority.py").write_text(OWN_METHOD)
    project.edit(
        "small.yaml",
        "\nfinetunings:\n",
        "\nplugins: mine\nfinetunings:\n  most: {method: majority, backbones: [egemaps]}\n",
    )
    new = {f"train task=emotions model=egemaps.original.most subset={n} batch=b000" for n in ("12", "full")}
    assert project.jobs() == new | REPORT


def test_report_parameter_edited(project: Project) -> None:
    project.edit("small.yaml", "bootstrap: 100", "bootstrap: 200")
    assert project.jobs() == {"evaluate task=emotions", "report"}


def test_leaks_are_judged_anew_without_training(project: Project) -> None:
    """What is refused, and how leaks are looked for, changes no training; what does is seen at the same time."""
    project.edit("small.yaml", "  emotions:\n", "  emotions:\n    leaks: {transcripts: refuse}\n")
    path = project.root / "src/emoadapt/tasks/leaks.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    assert project.jobs() == {"leaks task=emotions", "report"}
    project.edit("small.yaml", "    epochs: 2\n", "    epochs: 3\n")
    assert project.jobs() == {"leaks task=emotions"} | (TRAININGS - VECTOR) | REPORT


def test_a_leak_stops_the_study_before_it_trains(copy: Project) -> None:
    """The first clips of all speakers become one recording: in every fold two are trained on and two tested."""
    media = copy.root / "media/labelled"
    for speaker in range(1, SPEAKERS):
        shutil.copy(media / "t0_0.wav", media / f"t{speaker}_0.wav")
    table = copy.root / "results/leaks/emotions.parquet"
    before = table.stat().st_mtime_ns
    done = copy.snakemake()
    said = done.stdout + done.stderr
    assert done.returncode != 0 and table.stat().st_mtime_ns == before, "a job was run"
    assert "task emotions: 6 of the 48 test clips of labelled (in 3 folds) are recordings that are in train too" in said
    assert "tasks.emotions.leaks: {clips: report}" in said


def test_corpus_added(project: Project) -> None:
    shutil.copytree(project.root / "media/unlabelled", project.root / "media/more")
    project.edit(
        "small.yaml",
        "  labelled:\n",
        "  more: {importer: folder, root: media/more, shards: 2, speaker_pattern: 's(?P<speaker>\\d)_'}\n  labelled:\n",
    )
    project.edit("small.yaml", "    - unlabelled\n", "    - unlabelled\n    - more\n")
    new = shard_jobs("more", "000") | shard_jobs("more", "001")
    assert project.jobs() == new | {"parts adaptation=adapted", "leaks task=emotions"} | STAGE1 | AFTER_STAGE1


def test_objective_added(project: Project) -> None:
    """One new file and one line of configuration; the other adaptation is not touched."""
    (project.root / "src/emoadapt/objectives/loudness.py").write_text(
        "from emoadapt.objectives.base import Regression\n"
        'FEATURE = "egemaps"\nCOLUMN = "egemaps"\n\n\nclass Objective(Regression):\n    pass\n'
    )
    project.edit(
        "small.yaml",
        "\ntasks:\n",
        "\n  louder: {corpora: [unlabelled], objectives: {egemaps: 1.0, loudness: 0.5}}\ntasks:\n",
    )
    new = {f"training_shard objectives=egemaps+loudness corpus=unlabelled shard=00{i}" for i in range(2)}
    new |= {f"keep kind=frontend source=tiny.louder corpus=labelled shard=00{i}" for i in range(2)}
    new |= {job.replace("tiny.adapted", "tiny.louder") for job in ADAPTED}
    new |= {f"{rule} adaptation=louder" for rule in ("parts", "normalisers", "adapt backbone=tiny")}
    assert project.jobs() == new | REPORT | {"quarantine", "leaks task=emotions"}


def test_word_errors_where_there_is_something_to_compare(tmp_path: Path) -> None:
    project = create_project(tmp_path)
    study = small_study()
    study["adaptations"]["adapted"] |= {"corpora": ["unlabelled", "labelled"], "objectives": {"sentiment": 1.0}}
    study["features"] = {"transcript": {"engine": "pocketsphinx"}, "sentiment": {"engine": "vader"}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(study))
    without = project.jobs()
    assert "transcript corpus=labelled shard=000" in without and "word_errors" not in without
    study["corpora"]["labelled"]["columns"]["transcript"] = "emotion"
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(study))
    assert project.jobs() == without | {"word_errors"}
    study["features"]["transcript"]["engine"] = "corpus"
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(study))
    assert project.jobs() == without


def test_an_order_and_a_language_change_nothing(project: Project) -> None:
    """Symptom: seeds in another order, or a corpus's language, had all trained again."""
    project.edit("small.yaml", "    - 0\n    - 1\n    epochs: 2\n", "    - 1\n    - 0\n    epochs: 2\n")
    project.edit("small.yaml", "  labelled:\n", "  labelled:\n    language: de\n")
    assert project.jobs() == {"report"}


def test_code_that_only_saves_rows_computes_none_again(project: Project) -> None:
    """It runs the jobs of features again, which reuse their rows; what makes the input of extractors computes all again."""
    path = project.root / "src/emoadapt/tasks/refusals.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    assert project.jobs() == set(), "exempt"
    path = project.root / "src/emoadapt/flow/rows.py"
    path.write_text(path.read_text() + "\n_EDITED = True\n")
    features = all_shards("audio") | all_shards("egemaps")
    assert (
        features | {f"keep kind=frontend source=tiny.adapted corpus=labelled shard=00{i}" for i in range(2)}
        <= project.jobs()
    )


def test_what_a_command_does_is_in_the_digest_of_its_job(project: Project) -> None:
    """Symptom: bodies of the command line were in no digest."""
    project.edit("src/emoadapt/cli.py", 'parents=config.score == "parents"', 'parents=config.score != "utterances"')
    assert project.jobs() == REPORT


def test_unused_corpus_changes_nothing(project: Project) -> None:
    project.edit("small.yaml", "  labelled:\n", "  idle: {importer: folder, root: media/unlabelled}\n  labelled:\n")
    assert project.jobs() == {"report"}
