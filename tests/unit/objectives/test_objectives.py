"""Objectives against values worked out by hand and torch's own losses."""

import math

import numpy as np
import pytest
import torch

from emoadapt import objectives
from emoadapt.backbones.speech_transformer import UntrainedBackbone, build_untrained
from emoadapt.config import objective_features
from emoadapt.data.batching import Batch
from emoadapt.errors import ConfigError
from emoadapt.layers.speech import SpeechBackbone
from emoadapt.objectives.base import Outputs, Untargeted, load_objective, load_untargeted
from emoadapt.plugins import FOLDER_VARIABLE


def test_features_are_read_without_importing() -> None:
    assert objective_features() == {
        "acoustic": "pase_frames", "acoustic_egemaps": "egemaps_frames", "semantic": "text_embedding",
        "semantic_whisper": "whisper_frames", "semantic_whisper_frames": "whisper_frames", "semantic_text_frames": "text_frames",
        "action_units": "action_units", "egemaps": "egemaps", "energy": "egemaps", "energy_level": "rms", "energy_rms": "rms",
        "face": "face_embedding", "landmark_motion": "landmark_motion", "landmark_motion_whole": "landmark_motion",
        "sentiment": "sentiment",
    }  # fmt: skip


@pytest.mark.parametrize(("reduction", "expected"), [("mean", (2.5 + 0.5) / 2), ("sum", (5 + 1) / 2)])
def test_regression_averages_over_present_clips_only(reduction: str, expected: float) -> None:
    prediction = torch.tensor([[1.0, 2.0], [9.0, 9.0], [0.0, 1.0]])
    target = torch.tensor([[0.0, 0.0], [float("nan")] * 2, [0.0, 0.0]])
    mask = torch.tensor([True, False, True])
    for name in ("egemaps", "face"):
        assert load_objective(name).loss(prediction, target, mask, reduction).item() == pytest.approx(expected)


def test_sentiment_is_cross_entropy_with_the_most_probable_class() -> None:
    prediction = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.5, 0.0]])
    target = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    expected = torch.nn.functional.cross_entropy(prediction, torch.tensor([2, 0]))
    loss = load_objective("sentiment").loss(prediction, target, torch.tensor([True, True]), "mean")
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("name", "centre"),
    [("energy", "median"), ("energy_rms", "median"), ("energy_level", "mean"), ("landmark_motion_whole", "mean")],
)
def test_levels_are_whether_a_number_is_above_its_centre(name: str, centre: str) -> None:
    objective = load_objective(name)
    raw = np.arange(25.0 if name == "energy" else 1.0) + 7
    assert objective.select(raw).tolist() == [7.0] and objective.centre == centre and objective.normalised
    prediction, target = torch.tensor([[0.0], [2.0], [-1.0]]), torch.tensor([[-0.1], [3.0], [0.2]])
    # -log(1 - sigmoid(0)), -log(sigmoid(2)), -log(sigmoid(-1))
    expected = torch.tensor([math.log(2), math.log(1 + math.exp(-2)), math.log(1 + math.e)])
    torch.testing.assert_close(objective.clip_losses(prediction, target, "mean"), expected)
    assert objective.metrics(prediction, target) == {
        "accuracy": pytest.approx(2 / 3), "majority": pytest.approx(2 / 3),
    }  # fmt: skip
    assert objective.head(8, 1)(torch.zeros(3, 8)).shape == (3, 1)


def test_two_parts_of_the_face_are_two_binary_tasks() -> None:
    objective = load_objective("landmark_motion")
    prediction = torch.tensor([[0.0, 2.0], [-1.0, 1.0], [3.0, -2.0]])
    target = torch.tensor([[1.0, -1.0], [-0.5, 0.2], [2.0, 4.0]])
    # Of the first clip -log(sigmoid(0)) and -log(1 - sigmoid(2)).
    first = [math.log(2), math.log(1 + math.e**2)]
    assert objective.clip_losses(prediction, target, "mean")[0].item() == pytest.approx(sum(first) / 2)
    assert objective.clip_losses(prediction, target, "sum")[0].item() == pytest.approx(sum(first))
    # Right are 2 of 3 (0 is not above) and 1 of 3; most frequent are 2 of 3 and 2 of 3.
    assert objective.metrics(prediction, target) == {"accuracy": pytest.approx(0.5), "majority": pytest.approx(2 / 3)}
    assert objective.head(8, 2)(torch.zeros(3, 8)).shape == (3, 2)


def test_the_emotion_of_action_units_is_one_of_five() -> None:
    prediction = torch.tensor([[2.0, 0.0, 0.0, 0.0, -1.0], [0.0, 0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]])
    target = torch.eye(5)[[0, 4, 4]]
    objective = load_objective("action_units")
    expected = torch.nn.functional.cross_entropy(prediction, torch.tensor([0, 4, 4]))
    assert objective.loss(prediction, target, torch.ones(3, dtype=bool), "mean").item() == pytest.approx(
        expected.item()
    )
    assert objective.metrics(prediction, target) == {
        "accuracy": pytest.approx(2 / 3), "majority": pytest.approx(2 / 3),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["action_units", "egemaps", "sentiment", "face", "energy", "energy_rms", "landmark_motion"]
)
def test_batch_without_targets_costs_nothing_and_still_has_a_gradient(name: str) -> None:
    prediction = torch.ones(2, 3, requires_grad=True)
    loss = load_objective(name).loss(prediction, torch.zeros(2, 3), torch.tensor([False, False]), "mean")
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None
    assert not prediction.grad.any()


def test_masked_clips_get_no_gradient() -> None:
    prediction = torch.ones(2, 3, requires_grad=True)
    load_objective("face").loss(prediction, torch.zeros(2, 3), torch.tensor([True, False]), "mean").backward()
    assert prediction.grad is not None
    assert prediction.grad[0].any()
    assert not prediction.grad[1].any()


def test_only_regression_targets_are_normalised() -> None:
    names = ("egemaps", "face", "energy", "sentiment")
    assert [load_objective(name).normalised for name in names] == [True, True, True, False]


def test_ccc_equals_torchmetrics() -> None:
    from torchmetrics.functional import concordance_corrcoef

    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50, 4, generator=generator)
    prediction = 0.6 * target + 0.3 + 0.5 * torch.randn(50, 4, generator=generator)
    ours = load_objective("egemaps").metrics(prediction, target)["ccc"]
    # torchmetrics uses the unbiased variance, which differs by 1/n in the mean's term
    assert ours == pytest.approx(concordance_corrcoef(prediction, target).mean().item(), abs=5e-3)


def test_accuracy_counts_the_most_probable_class() -> None:
    prediction = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    target = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.1, 0.9]])
    assert load_objective("sentiment").metrics(prediction, target) == {"accuracy": 0.5, "majority": 0.5}


def test_unknown_objective_is_answered_with_the_known() -> None:
    with pytest.raises(
        ConfigError,
        match="objective pitch is not known; there is acoustic, acoustic_egemaps, action_units, distillation, egemaps",
    ):
        load_objective("pitch")


@pytest.fixture
def moved() -> tuple[SpeechBackbone, SpeechBackbone]:
    """A small backbone without dropout as it began, and one that has moved from there."""
    shape = UntrainedBackbone(
        conv_dim=[8], conv_kernel=[40], conv_stride=[320], hidden_size=16, layers=2, heads=2, intermediate_size=16,
        conv_pos_kernel=4, conv_pos_groups=4, dropout=0.0,
    )  # fmt: skip
    start, other = (build_untrained("wav2vec2", shape) for _ in range(2))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return start.eval(), other.eval()


def measure(objective: Untargeted, backbone: SpeechBackbone, audio: list[torch.Tensor]) -> float:
    batch = Batch([str(number) for number in range(len(audio))], {"audio": audio}, {}, {})
    found = objective.measure(Outputs(backbone, batch), None)
    assert found.weight == len(audio)
    return found.loss.item()


def test_distillation_is_the_distance_over_the_variation_of_the_start(moved) -> None:
    """Against numpy, clip by clip: in a batch, padding counts as nothing."""
    start, other = moved
    objective = load_untargeted("distillation")
    objective.begin(start)
    audio = [torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (6000, 2500)]
    assert measure(objective, start, audio) == 0.0
    by_hand = []
    for clip in audio:
        frames, lengths = other.encode_cnn([clip])
        pairs = zip(other.encode_layers(frames, lengths), start.encode_layers(frames, lengths), strict=True)
        for state, wanted in ((a[0].detach().numpy(), b[0].detach().numpy()) for a, b in pairs):
            by_hand.append(((state - wanted) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum())
    assert measure(objective, other, audio) == pytest.approx(np.mean(by_hand), rel=1e-4)
    assert not any(parameter.requires_grad for parameter in objective.start.parameters())


def test_distillation_of_a_clip_of_one_frame_is_finite(moved) -> None:
    start, other = moved
    objective = load_untargeted("distillation")
    objective.begin(start)
    assert 0 < measure(objective, other, [torch.randn(300, generator=torch.Generator().manual_seed(0))]) < 1e4


def test_l2_sp_counts_trained_parameters_only(moved) -> None:
    start, other = moved
    objective, audio = load_untargeted("l2_sp"), [torch.zeros(2000)]
    start.set_cnn_trainable(False)
    objective.begin(start)
    other.set_cnn_trainable(False)
    begun, trained = start.state_dict(), {name: p for name, p in other.named_parameters() if p.requires_grad}
    expected = 0.5 * sum(((value - begun[name]) ** 2).sum().item() for name, value in trained.items())
    assert 0 < len(trained) < len(list(other.parameters()))
    assert measure(objective, other, audio) == pytest.approx(expected, rel=1e-5)


def test_an_objective_that_declares_a_target_and_has_none_is_refused(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "objectives"
    folder.mkdir()
    (folder / "mistaken.py").write_text(
        'FEATURE = "egemaps"\nCOLUMN = "egemaps"\nfrom emoadapt.objectives.l2_sp import Objective\n'
    )
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr("emoadapt.objectives.__path__", [*objectives.__path__, str(folder)])
    with pytest.raises(ConfigError, match=r"it has a target .FEATURE., so that its class must extend `Objective`"):
        load_objective("mistaken")
