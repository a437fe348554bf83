"""Gradients of tasks and of terms of a loss, where they are known."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.instruments import Tasks, TasksAt, Unknown, gradient_conflict, term_conflict
from nbtoolkit.numerics.tasks import Episode
from tests.instruments.streams import identity, parameters, sign_tasks, tasks_at


def by_autograd(model: nn.Module, data: tuple[Tensor, Tensor], outputs: list[int] | None = None) -> Tensor:
    """The gradient of the mean loss of a task, a vector; only some outputs competing."""
    x, y = data
    scores = model(x)
    if outputs is not None:
        scores = scores[:, outputs]
        y = torch.tensor([outputs.index(int(label)) for label in y])
    grads = torch.autograd.grad(F.cross_entropy(scores, y), list(model.parameters()))
    return torch.cat([grad.reshape(-1) for grad in grads])


def dense(gradients: list[Tensor]) -> dict[str, Any]:
    matrix = torch.stack(gradients)
    unit = matrix / matrix.norm(dim=1, keepdim=True)
    sigma = torch.linalg.svdvals(matrix)
    return {"cosine": unit @ unit.T, "gradient_norm": matrix.norm(dim=1), "condition": sigma[0] / sigma[-1]}


def mlp() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 2)).double()


def updates_of(model: nn.Module) -> dict[str, Tensor | None]:
    generator = torch.Generator().manual_seed(4)
    return {
        name: torch.randn(param.shape, generator=generator, dtype=param.dtype)
        for name, param in model.named_parameters()
    }


def test_it_is_the_dense_answer() -> None:
    model = mlp()
    updates = updates_of(model)
    tasks = tasks_at(model, ("larger", 0, 30), ("few", 30, 40), ("smaller", 40, None))
    found = gradient_conflict(tasks, parameters(model), updates)
    gradients = [by_autograd(model.eval(), data) for data in sign_tasks().values()]
    for key, value in dense(gradients).items():
        np.testing.assert_allclose(found[key], value, rtol=1e-10)
    flat = torch.cat([update.reshape(-1) for update in updates.values() if update is not None])
    np.testing.assert_allclose(found["first_order_change"], [g @ flat for g in gradients], rtol=1e-10)
    larger, smaller, few = gradients
    earlier = (larger + few) / 2
    assert found["stability"] == pytest.approx(float(earlier.norm()), rel=1e-10)
    assert found["plasticity"] == pytest.approx(float(smaller.norm()), rel=1e-10)
    assert found["opposition"] == pytest.approx(float(F.cosine_similarity(earlier, smaller, dim=0)), rel=1e-10)
    assert found["opposition"] < 0
    assert found["conflict"] == pytest.approx(2 / 3)


def test_the_step_changes_the_loss_as_it_says() -> None:
    model = mlp().eval()
    updates = {name: None if update is None else 1e-6 * update for name, update in updates_of(model).items()}
    found = gradient_conflict(tasks_at(model), parameters(model), updates)
    before = [F.cross_entropy(model(x), y).item() for x, y in sign_tasks().values()]
    with torch.no_grad():
        for name, param in model.named_parameters():
            param.add_(updates[name])  # type: ignore[arg-type]
    after = [F.cross_entropy(model(x), y).item() for x, y in sign_tasks().values()]
    np.testing.assert_allclose(found["first_order_change"], np.subtract(after, before), rtol=1e-4)


def test_outputs_that_do_not_compete_have_no_gradient() -> None:
    torch.manual_seed(5)
    model = nn.Linear(2, 4).double()
    x, y = sign_tasks()["larger"]
    data = {"low": (x, y), "high": (x, y + 2)}
    tasks = TasksAt(model, Tasks(data, classes={"low": [0, 1], "high": [2, 3]}), F.cross_entropy)
    found = gradient_conflict(tasks, parameters(model), updates_of(model))
    gradients = [by_autograd(model, data["low"], [0, 1]), by_autograd(model, data["high"], [2, 3])]
    np.testing.assert_allclose(found["gradient_norm"], [g.norm() for g in gradients], rtol=1e-10)
    assert found["cosine"][0, 1] == 0  # of different rows of the matrix
    assert found["conflict"] == 0


def test_without_boundary_without_earlier_task_and_without_gradient() -> None:
    model = mlp()
    never = gradient_conflict.measure(tasks_at(model), parameters(model), updates_of(model))
    for key in ("stability", "plasticity", "opposition"):
        assert never[key] == Unknown("no task is being trained, as far as is known")
    first = gradient_conflict.measure(
        tasks_at(model, ("larger", 0, 9), ("larger (2)", 9, None)), parameters(model), updates_of(model)
    )
    assert first["stability"] == first["opposition"] == Unknown("no other task was trained before")
    assert first["plasticity"] == pytest.approx(first["gradient_norm"][0], rel=1e-12)

    certain = nn.Linear(2, 2, bias=False).double()
    nn.init.zeros_(certain.weight)
    x = torch.ones(4, 2, dtype=torch.float64)
    balanced, one_sided = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 0, 0])
    tasks = TasksAt(certain, Tasks({"balanced": (x, balanced), "one": (x, one_sided)}))
    tasks.episodes[:] = [Episode("balanced", "balanced", 0, 5), Episode("one", "one", 5, None)]
    found = gradient_conflict.measure(tasks, parameters(certain), {"weight": None})
    assert found["gradient_norm"][0] == 0
    assert torch.isnan(found["cosine"][0]).all()
    assert found["conflict"] == Unknown("there are no two gradients that are not zero")
    assert found["opposition"] == Unknown("one of the two gradients is zero")
    assert found["first_order_change"] == [0.0, 0.0]


def test_one_task_twice_is_dependent() -> None:
    model = identity()
    data = sign_tasks()["larger"]
    tasks = TasksAt(model, Tasks({"one": data, "again": data}))
    found = gradient_conflict.measure(tasks, parameters(model), updates_of(model))
    assert found["condition"] == Unknown("the gradients are linearly dependent: no condition number bounds them")
    assert found["cosine"][0, 1] == pytest.approx(1, abs=1e-15)


def test_a_frozen_parameter_does_not_count() -> None:
    model = mlp()
    model[0].requires_grad_(False)
    found = gradient_conflict(tasks_at(model), parameters(model), updates_of(model))
    model.eval()
    head = [
        torch.autograd.grad(F.cross_entropy(model(x), y), list(model[3].parameters())) for x, y in sign_tasks().values()
    ]
    np.testing.assert_allclose(
        found["gradient_norm"], [torch.cat([part.reshape(-1) for part in parts]).norm() for parts in head], rtol=1e-10
    )


def test_examples_that_are_none_are_refused() -> None:
    model = identity()
    with pytest.raises(ValueError, match="examples=0: expected a whole number of 1 or more"):
        gradient_conflict(tasks_at(model), parameters(model), updates_of(model), examples=0)


# -- terms ---------------------------------------------------------------------------------


def test_terms_are_related_by_their_gradients() -> None:
    fit = {"w": torch.tensor([3.0, 0.0]), "b": None}
    decay = {"w": torch.tensor([-4.0, 0.0]), "b": torch.tensor([3.0])}
    found = term_conflict({"fit": fit, "decay": decay})
    np.testing.assert_allclose(found["cosine"], [[1, -0.8], [-0.8, 1]], rtol=1e-12)
    np.testing.assert_allclose(found["gradient_norm"], [3, 5], rtol=1e-12)
    assert found["conflict"] == 1.0
    sigma = np.linalg.svd(np.array([[3.0, 0, 0], [-4, 0, 3]]), compute_uv=False)
    assert found["condition"] == pytest.approx(sigma[0] / sigma[-1], rel=1e-12)


def test_a_term_that_was_not_named_is_blank() -> None:
    one, other = {"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 2.0])}
    found = term_conflict({"one": one, "absent": None, "other": other})
    np.testing.assert_array_equal(found["gradient_norm"], [1, np.nan, 2])
    np.testing.assert_array_equal(found["cosine"], [[1, np.nan, 0], [np.nan] * 3, [0, np.nan, 1]])
    assert (found["conflict"], found["condition"]) == (0.0, 2.0)
    alone = term_conflict.measure({"one": one, "absent": None})
    assert alone["conflict"] == Unknown("there are no two gradients that are not zero")
    with pytest.raises(ValueError, match="there is no gradient"):
        term_conflict({"absent": None})
