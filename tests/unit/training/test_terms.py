"""Further loss terms of a training on a task, as docs/add-a-method.md adds one."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from emoadapt.methods.finetune import Config
from emoadapt.plugins import use_folder
from emoadapt.training.curve import Curve
from emoadapt.training.regression import AttributeLearner
from emoadapt.training.terms import FurtherTerm
from emoadapt.training.totals import Term

PAGE = (Path(__file__).parents[3] / "docs/add-a-method.md").read_text()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A folder for plug-ins of one's own, forgotten afterwards."""
    (tmp_path / "my_plugins/methods").mkdir(parents=True)
    yield tmp_path / "my_plugins"
    use_folder(None)
    sys.modules.pop("emoadapt.methods.short", None)


def test_the_term_of_the_page_shortens_embeddings(work, own: Path) -> None:
    (module,) = re.findall(r"^```python\n# my_plugins/methods/short.py\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (own / "methods/short.py").write_text(module)
    work.write_labelled()
    work.values["plugins"] = str(own)
    work.tune("short", method="short", backbones=["tiny"], epochs=3, batch_size=8, learning_rate=3e-3, weight=1.0)
    curves = work.train("tiny.original.short")["curves"]
    lengths = curves.filter(part="train", metric="loss_length").sort("epoch")["value"].to_list()
    assert len(lengths) == 3 and lengths[-1] < lengths[0]
    losses = curves.filter(part="train").pivot("metric", index="epoch", values="value")
    expected = (losses["loss_cross_entropy"] + losses["loss_length"]).to_list()
    assert losses["loss"].to_list() == pytest.approx(expected)


class Ratio(FurtherTerm):
    """A term with a parameter."""

    def __init__(self) -> None:
        super().__init__("ratio", 2.0)
        self.factor = nn.Parameter(torch.ones(1))

    def measure(self, embedding, outputs, batch):
        return Term((self.factor * outputs).sum(), torch.tensor(1))


class Fixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(1, 1)

    def forward(self, batch):
        return torch.zeros(2, 1), torch.zeros(2, 1) + self.backbone.weight


def make_learner(*terms: FurtherTerm) -> AttributeLearner:
    return AttributeLearner(Fixed(), Config(), Curve("stage2", "run"), 0, ("arousal",), terms)


def test_parameters_of_a_term_are_trained_and_in_checkpoints_but_in_no_model() -> None:
    learner, plain = make_learner(Ratio()), make_learner()
    (group,) = learner.group_parameters()
    assert any(parameter is learner.terms[0].factor for parameter in group["params"])
    assert learner.state_dict().keys() - plain.state_dict().keys() == {"terms.0.factor"}
    assert learner.model.state_dict().keys() == plain.model.state_dict().keys()


def test_a_term_does_not_count_where_the_loss_is_compared_with_the_one_before_training() -> None:
    """Symptom: a weight of 30 on distances of wide embeddings was taken for a loss that has run away."""
    learner = make_learner(Ratio())
    assert (learner.compared, learner.weights) == (["arousal"], {"arousal": 1.0, "ratio": 2.0})
