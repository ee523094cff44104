"""Names of models and runs."""

import pytest

from emoadapt.study.nodes import Model, Run, Setting


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Model("hubert"), "hubert.original"),
        (Model("hubert", "adapted"), "hubert.adapted"),
        (Model("hubert", "adapted", "default"), "hubert.adapted"),
        (Model("hubert", "original", "probe"), "hubert.original.probe"),
    ],
)
def test_a_models_name_is_read_back(model: Model, name: str) -> None:
    """The default fine-tuning is no part of it."""
    assert str(model) == name
    assert Model.parse(name) == model


@pytest.mark.parametrize("text", ["hubert", "a.b.c.d", "hubert.", ".original", ""])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a model; write <backbone>.<start>"):
        Model.parse(text)


def test_run_names_are_read_back() -> None:
    run = Run(partition=2, fold=12, resampling=3, seed=7)
    assert str(run) == "p2f12r3s7" and Run.parse(str(run)) == run


@pytest.mark.parametrize("text", ["r0f0s0", "p0f0r0", "p0f0r0s0x", "p-1f0r0s0", ""])
def test_what_is_no_run_is_refused(text: str) -> None:
    """`r0f0s0` was a run before there were partitions."""
    with pytest.raises(ValueError, match="is not a run; write p<partition>f<fold>r<resampling>s<seed>"):
        Run.parse(text)


def test_names_of_runs_differ_where_the_runs_do() -> None:
    runs = [Run(), Run(partition=1), Run(fold=1), Run(resampling=1), Run(seed=1)]
    settings = [Setting("t", Model("h"), "full"), Setting("t", Model("h", finetuning="probe"), "full")]
    names = {setting.name(run) for setting in settings for run in runs}
    assert len(names) == 10 and "t.h.original.probe.full.p0f1r0s0" in names
