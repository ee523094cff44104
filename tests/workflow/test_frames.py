"""A backbone that reads frames of descriptors, through both stages."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from project import Project, create_project, small_study
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

RUNS = "results/runs/emotions/lld.adapted/full/b000/predictions.parquet"
TRAINED = {"adapt backbone=lld adaptation=adapted", "train task=emotions model=lld.adapted subset=full batch=b000"}


def make_study() -> dict:
    study = small_study()
    lld = {"architecture": "lld_transformer", "reads": "compare_frames", "layers": 1, "scaled_layers": 1}
    study["backbones"] = {"lld": lld}
    study["finetunings"] = {"default": {"seeds": [0], "epochs": 3, "learning_rate": 7.25e-4}}
    study["tasks"]["emotions"]["subsets"] = ["full"]
    study["report"] = {"bootstrap": 100}
    for corpus in study["corpora"].values():
        corpus["shards"] = 1
    return study


def list_frames(root: Path, corpus: str) -> dict[str, np.ndarray]:
    """Utterance -> (n_frames, 130)."""
    table = pl.read_parquet(root / f"results/features/compare_frames/{corpus}/*.parquet")
    rows = table.select("utterance_id", "compare_frames").iter_rows()
    return {name: np.frombuffer(frames, "<f4").reshape(-1, 130) for name, frames in rows}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = create_project(tmp_path_factory.mktemp("frames") / "project")
    (project.root / "small.yaml").write_text(yaml.safe_dump(make_study(), sort_keys=False))
    done = project.snakemake(RUNS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


def test_both_stages_train_on_frames(trained: Project) -> None:
    """High and low tones, which are told apart by their spectrum, of speakers that were not trained on."""
    found = pl.read_parquet(trained.root / RUNS)
    assert found.height == 48 == found["utterance_id"].n_unique()
    assert (found["label"] == found["predicted"]).mean() > 0.9
    curves = pl.read_parquet(trained.root / "results/curves/lld.adapted.parquet")
    losses = curves.filter(part="held_out", metric="loss").sort("epoch")["value"]
    assert losses[-1] < 0.95 * losses[0]


def test_model_of_stage_1_keeps_the_statistics_of_its_training_clips(trained: Project) -> None:
    state = load_file(trained.root / "results/models/lld.adapted/model.safetensors")
    parts = pl.read_parquet(trained.root / "results/targets/adapted/parts.parquet")
    chosen = parts.filter(part="train")["utterance_id"]
    frames = list_frames(trained.root, "unlabelled")
    together = np.concatenate([frames[name] for name in chosen]).astype(np.float64)
    assert 0 < len(chosen) < len(frames)
    np.testing.assert_allclose(state["mean"], together.mean(axis=0), rtol=1e-4, atol=1e-6)
    std = together.std(axis=0)
    np.testing.assert_allclose(state["std"], np.where(std == 0, 1, std), rtol=1e-3, atol=1e-6)


def test_nothing_runs_again_without_an_edit(trained: Project) -> None:
    assert trained.jobs(RUNS) == set()


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("small.yaml", "scaled_layers: 1", "scaled_layers: 2"),
        ("src/emoadapt/layers/lld_transformer.py", "residual + branch", "branch + residual + 0.0"),
        ("src/emoadapt/backbones/lld_transformer.py", "trained=False", "trained=bool(0)"),
    ],
)
def test_edit_of_the_network_trains_both_stages_again(trained: Project, path: str, old: str, new: str) -> None:
    before = (trained.root / path).read_text()
    trained.edit(path, old, new)
    try:
        assert trained.jobs(RUNS) == TRAINED
    finally:
        (trained.root / path).write_text(before)


def test_other_windows_make_frames_and_both_trainings_again(trained: Project) -> None:
    study = make_study() | {"features": {"compare_frames": {"window": "stock"}}}
    (trained.root / "other.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    frames = {f"compare_frames corpus={corpus} shard=000" for corpus in ("labelled", "unlabelled")}
    assert trained.jobs(RUNS, configfile="other.yaml") == TRAINED | frames


def test_network_of_another_dimension_is_refused_in_a_sentence(trained: Project) -> None:
    study = make_study()
    study["backbones"]["lld"] |= {"dimension": 25, "width": 20}
    (trained.root / "narrow.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    shutil.copytree(models := trained.root / "results/models", kept := trained.root / "kept")
    done = trained.snakemake("results/models/lld.adapted", configfile="narrow.yaml")
    # Snakemake deletes what a failed job was to make, and the folder that is then empty.
    shutil.rmtree(models, ignore_errors=True)
    kept.rename(models)
    assert done.returncode != 0
    assert "frames of compare_frames have 130 values, and the lld_transformer reads 25" in done.stdout + done.stderr
