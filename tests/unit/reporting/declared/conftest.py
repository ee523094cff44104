"""The paper's study with invented scores: what stands in its tables is recomputed here from the scores."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import yaml
from scipy import stats

from emoadapt import schema
from emoadapt.config import load_study
from emoadapt.storage.tables import write_table
from emoadapt.study.nodes import Model
from emoadapt.study.tables import list_comparisons

STUDY = Path(__file__).parents[4] / "studies" / "goncalves2025.yaml"
CORPORA = ("MSP_FACE", "CREMA_D", "MSP_IMPROV", "MSP_PODCAST")
SEEDS = 5


def open_study(folder, monkeypatch, absent=()):
    for name in CORPORA:
        monkeypatch.setenv(name, str(folder / "absent" if name in absent else folder))
    return load_study(yaml.safe_load(STUDY.read_text()))


def invent_scores(study):
    """(task, test corpus, subset, metric, model) -> a score per seed."""
    generator = np.random.default_rng(1)
    scores = {}
    for setting in study.list_settings():
        task = study.tasks[setting.task]
        for corpus in (task.corpus, *task.test_also):
            for metric in ("macro_f1", "f1_bias", "cosine_distance"):
                level = generator.uniform(0.3, 0.7)
                key = (setting.task, corpus, setting.subset, metric, setting.model)
                scores[key] = level + 0.03 * generator.standard_normal(SEEDS)
    return scores


def compare(study, scores):
    """COMPARISONS rows, by numpy and scipy."""
    rows = []
    for (task, corpus, subset, metric, model), values in scores.items():
        wanted = {None, *(b for m, b in list_comparisons(study, task) if m == model)}
        wanted |= {Model.parse(study.report.baseline)} - {model}
        if model != model.find_original():
            wanted = wanted - {None} | {model.find_original()}
        for baseline in wanted:
            theirs = scores.get((task, corpus, subset, metric, baseline))
            test = {}
            if theirs is not None:
                test = {
                    "n_pairs": SEEDS, "difference": float((values - theirs).mean()), "difference_low": -1.0,
                    "difference_high": 1.0, "p_value": float(stats.ttest_rel(values, theirs).pvalue),
                }  # fmt: skip
            rows.append(
                {
                    "task": task, **model._asdict(), "subset": subset, "test_corpus": corpus, "metric": metric,
                    "baseline_backbone": baseline and baseline.backbone, "baseline": baseline and baseline.start,
                    "baseline_finetuning": baseline and baseline.finetuning, "n_runs": SEEDS,
                    "mean": float(values.mean()), "std": float(values.std(ddof=1)), "low": 0.2, "high": 0.8, "n": 321,
                    **dict.fromkeys(("n_pairs", "difference", "difference_low", "difference_high", "p_value")), **test,
                }
            )  # fmt: skip
    return rows


@pytest.fixture(scope="session")
def make_paper(tmp_path_factory):
    """The study without some of its corpora; each made once, since thousands of tests are computed for it."""
    made = {}

    def make(absent=()):
        if absent not in made:
            folder = tmp_path_factory.mktemp("paper")
            with pytest.MonkeyPatch.context() as monkeypatch:
                study = open_study(folder, monkeypatch, absent)
            scores = invent_scores(study)
            path = folder / "comparisons.parquet"
            write_table(path, compare(study, scores), schema.COMPARISONS)
            made[absent] = SimpleNamespace(study=study, scores=scores, path=path, frame=pl.read_parquet(path))
        return made[absent]

    return make


@pytest.fixture
def paper(make_paper):
    return make_paper()
