from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bsd_core.errors import ConfigError
from bsd_core.methods.kd import KDConfig, KnowledgeDistillation, kd_loss
from bsd_core.models import build_model
from bsd_core.seeds import derive_seed
from tests._dummies import (
    ScriptedModel,
    load_golden,
    make_batch,
    make_logits,
    make_method,
    make_network,
    make_recipe,
    make_targets,
    make_trainer,
)


def make_kd(targets: Tensor, settings: dict[str, Any] | None = None, **training: Any) -> KnowledgeDistillation:
    method = make_method("kd", targets, 3, settings, **training)
    assert isinstance(method, KnowledgeDistillation)
    return method


def save_teacher(path: Path, *, seed: int = 5, wrapped: bool = False, **network: Any) -> dict[str, Tensor]:
    state = make_network(seed=seed, **network).state_dict()
    torch.save({"model": state} if wrapped else state, path)
    return state


@pytest.mark.parametrize("temperature", [1, 2, 3, 4, 10])
def test_the_divergence_and_its_gradient_equal_the_golden_numbers(temperature: int) -> None:
    golden = load_golden("losses")
    at = golden["kd_T"].tolist().index(temperature)
    logits, teacher_logits = (torch.from_numpy(golden[name]).requires_grad_() for name in ("logits", "pair_logits"))
    terms = kd_loss(logits, teacher_logits, torch.from_numpy(golden["labels"]), temperature=temperature, distill_share=0.3)
    terms["total"].backward()  # type: ignore[no-untyped-call]
    assert float(terms["distillation"].detach()) == pytest.approx(float(golden["kd"][at]), rel=1e-12)
    assert float(terms["total"].detach()) == pytest.approx(float(0.7 * golden["ce"] + 0.3 * golden["kd"][at]), rel=1e-12)
    assert logits.grad is not None
    assert np.allclose(logits.grad.numpy(), 0.7 * golden["ce_grad"] + 0.3 * golden["kd_grad"][at], rtol=1e-10, atol=1e-15)
    assert teacher_logits.grad is None


def test_teacher_free_kd_is_the_same_loss_with_another_share_and_scale() -> None:
    golden = load_golden("losses")
    logits, teacher_logits = (torch.from_numpy(golden[name]) for name in ("logits", "pair_logits"))
    # Its KL is averaged over B * K and multiplied by m = 50: at K = 6 that is 50 / 6 times ours.
    label, teacher = 1 - 0.95, 0.95 * 50 / 6
    share = teacher / (label + teacher)
    terms = kd_loss(logits, teacher_logits, torch.from_numpy(golden["labels"]), temperature=6.0, distill_share=share)
    assert (label + teacher) * float(terms["total"]) == pytest.approx(float(golden["tfkd_self_a0.95_T6_m50"]), rel=1e-12)
    # At K = 100, the values that the module's docstring and the search space tell.
    teacher = 0.95 * 50 / 100
    assert teacher / (label + teacher) == pytest.approx(0.905, abs=5e-4)
    assert label + teacher == pytest.approx(0.525)


def test_the_ends_of_the_share_are_cross_entropy_and_the_teacher_alone() -> None:
    logits, teacher_logits, targets = make_logits(8, 5), make_logits(8, 5, seed=1), make_targets(8, 5)
    ends = [kd_loss(logits, teacher_logits, targets, temperature=3.0, distill_share=share) for share in (0.0, 1.0)]
    assert float(ends[0]["total"]) == float(torch.nn.functional.cross_entropy(logits, targets))
    assert float(ends[1]["total"]) == float(ends[1]["distillation"])


def test_a_teacher_is_trained_first_by_cross_entropy_then_frozen() -> None:
    targets = make_targets(6, 3)
    method, student = make_kd(targets), make_network()  # 8 steps, half of them the teacher's
    assert method.stages(8) == (4, 4)
    fresh = make_network(seed=derive_seed(0, "teacher")).state_dict()
    assert all(torch.equal(value, method.teacher.state_dict()[name]) for name, value in fresh.items())

    batch = make_batch(targets, step=3)
    step = method.step(student, batch)
    assert method.trained_network(student) is method.teacher
    assert list(step.terms) == ["total"]
    assert float(step.terms["total"].detach()) == float(torch.nn.functional.cross_entropy(step.logits, targets).detach())
    assert step.images_seen == 6
    step.terms["total"].backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in student.parameters())
    assert all(parameter.grad is not None for parameter in method.teacher.parameters())

    method.train()  # as the trainer says at the start of each epoch
    method.zero_grad(set_to_none=True)
    before = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    step = method.step(student, make_batch(targets, step=4))
    step.terms["total"].backward()  # type: ignore[no-untyped-call]
    assert method.trained_network(student) is student
    assert not method.teacher.training
    assert step.images_seen == 12
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in method.teacher.state_dict().items())


def test_the_student_learns_from_the_teacher_in_evaluation_mode() -> None:
    targets = make_targets(6, 3)
    method, batch, logits = make_kd(targets, {"temperature": 3.0, "distill_share": 0.4}), make_batch(targets, step=7), make_logits(6, 3)
    model = ScriptedModel(logits)
    step = method.step(model, batch)
    teacher_logits = make_network(seed=derive_seed(0, "teacher")).eval()(batch.images).detach()
    expected = kd_loss(logits, teacher_logits.double(), targets, temperature=3.0, distill_share=0.4)
    assert model.seen[0] is batch.images
    assert float(step.terms["total"]) == pytest.approx(float(expected["total"]), rel=1e-5)


@pytest.mark.parametrize(("share", "total_steps", "stages"), [(0.5, 8, (4, 4)), (0.5, 9, (5, 4)), (0.25, 8, (2, 6)), (0.999, 8, (7, 1))])
def test_the_teacher_s_steps_are_rounded_up_and_leave_one_to_the_student(share: float, total_steps: int, stages: tuple[int, int]) -> None:
    method = make_kd(make_targets(6, 3), {"teacher_share": share}, epochs=1, steps_per_epoch=total_steps)
    assert method.stages(total_steps) == stages


def test_a_training_of_one_step_has_none_for_a_teacher() -> None:
    with pytest.raises(ConfigError, match=r"A teacher that is trained first needs a step of its own"):
        make_kd(make_targets(6, 3), {}, epochs=1, steps_per_epoch=1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_teacher_from_a_file_teaches_from_the_first_step(tmp_path: Path, wrapped: bool) -> None:
    state = save_teacher(tmp_path / "teacher.pt", wrapped=wrapped)
    targets, student = make_targets(6, 3), make_network()
    settings = {"teacher": str(tmp_path / "teacher.pt")}
    method = make_kd(targets, settings)
    assert method.stages(8) == (0, 8)
    assert method.trained_network(student) is student
    assert method.config.images_per_sample == 2.0
    assert all(torch.equal(value, method.teacher.state_dict()[name]) for name, value in state.items())
    step = method.step(student, make_batch(targets, step=0))
    assert step.images_seen == 12
    assert not method.teacher.training
    assert not any(parameter.requires_grad for parameter in method.teacher.parameters())


def test_a_training_with_a_teacher_from_a_file_leaves_it_as_it_is(tmp_path: Path) -> None:
    state = save_teacher(tmp_path / "teacher.pt")
    trainer = make_trainer(make_recipe("kd", settings={"teacher": str(tmp_path / "teacher.pt")}))
    records = list(trainer.records())
    assert all(record.images_seen == 100 for record in records)
    assert isinstance(trainer.method, KnowledgeDistillation)
    assert all(torch.equal(value, trainer.method.teacher.state_dict()[name]) for name, value in state.items())


def test_a_training_of_both_has_two_schedules_and_evaluates_whom_it_trains() -> None:
    trainer = make_trainer(make_recipe("kd", epochs=4, learning_rate=0.1), n=48)  # 12 steps
    assert isinstance(trainer.method, KnowledgeDistillation)
    records, networks = [], []
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    for _ in range(4):
        records.append(trainer.run_epoch())
        networks.append(trainer.network)
        if len(records) == 2:
            assert all(torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))
    assert [network is trainer.method.teacher for network in networks] == [True, True, False, False]
    assert records[0].learning_rate == records[2].learning_rate
    assert records[1].learning_rate == records[3].learning_rate < records[0].learning_rate
    assert [record.images_seen for record in records] == [48, 48, 96, 96]


def test_who_is_trained_is_part_of_the_state() -> None:
    targets, student = make_targets(6, 3), make_network()
    method, twin = make_kd(targets), make_kd(targets)
    method.step(student, make_batch(targets, step=7))
    assert twin.trained_network(student) is twin.teacher
    twin.load_state_dict(method.state_dict())
    assert twin.trained_network(student) is student


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"The teacher cannot be loaded: There is no file"),
        ("wider", r"stem\.weight has shape \(8, 1, 3, 3\) in the file and \(4, 1, 3, 3\) in the network"),
        ("deeper", r"The teacher cannot be loaded: .*holds the weights of another network"),
        ("other classes", r"does not tell 3 classes apart"),
        ("no weights", r"The teacher cannot be loaded: .*holds neither a state dict nor a checkpoint"),
        ("not a file of torch", r"The teacher cannot be loaded: .*is not a file of weights"),
        ("other channels", r"another stem"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "teacher.pt"
    if content == "wider":
        save_teacher(path, width=8)
    elif content == "deeper":
        torch.save(build_model("resnet20", in_channels=1, n_classes=3, width=4, seed=0).state_dict(), path)
    elif content == "other classes":
        save_teacher(path, n_classes=4)
    elif content == "other channels":
        save_teacher(path, channels=3)
    elif content == "no weights":
        torch.save({"model": {"weight": 3}}, path)
    elif content is not None:
        path.write_bytes(b"no archive")
    with pytest.raises(ConfigError, match=message):
        make_kd(make_targets(6, 3), {"teacher": str(path)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"`0 < temperature < inf` must hold"),
        ({"temperature": math.inf}, r"temperature=inf"),
        ({"distill_share": 1.1}, r"`0 <= distill_share <= 1` must hold, but got distill_share=1\.1"),
        ({"distill_share": -0.1}, r"distill_share=-0\.1"),
        ({"teacher_share": 0.0}, r"`0 < teacher_share < 1` must hold"),
        ({"teacher_share": 1.0}, r"teacher_share=1\.0"),
        ({"teacher_share": math.nan}, r"teacher_share=nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KDConfig(**settings)


@pytest.mark.parametrize(("temperature", "share"), [(0.0, 0.5), (1.0, -0.1), (1.0, 1.1)])
def test_the_loss_refuses_settings_out_of_range(temperature: float, share: float) -> None:
    with pytest.raises(ConfigError, match="must hold"):
        kd_loss(make_logits(2, 3), make_logits(2, 3), torch.tensor([0, 1]), temperature=temperature, distill_share=share)


@pytest.mark.parametrize(("settings", "images"), [({}, 1.5), ({"teacher_share": 0.25}, 1.75), ({"teacher": "a file"}, 2.0)])
def test_the_teacher_s_training_is_part_of_the_budget(settings: dict[str, Any], images: float) -> None:
    assert KDConfig(**settings).images_per_sample == images
