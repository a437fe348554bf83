"""Gauss-Newton and Fisher matrices against J'MJ of explicit Jacobians."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.gauss_newton import empirical_fisher, fisher, gauss_newton, per_example
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import hessian
from tests.numerics import cases
from tests.numerics.test_products import agree

COUPLED = ("batch_norm", "dropout", "encoder")  # one example alone is not what it is in the batch


def jacobian(case: cases.Case, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Outputs of a batch, and their derivatives by all trained parameters, ``(outputs, parameters)``."""
    params = {name: param for name, param in case.params.items() if param.requires_grad}
    outputs = case.loss_at.outputs(batch, case.params)
    rows = [
        torch.autograd.grad(z, list(params.values()), retain_graph=True, allow_unused=True) for z in outputs.flatten()
    ]
    flat = [
        torch.cat(
            [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(r, params.values(), strict=True)]
        )
        for r in rows
    ]
    return outputs.detach(), torch.stack(flat)


def middle(case: cases.Case, outputs: Tensor, targets: Tensor) -> Tensor:
    """Second derivative of the loss by the outputs, dense."""
    assert case.loss is not None
    loss = lambda z: case.loss(z.view_as(outputs), targets)  # type: ignore[misc]  # noqa: E731
    return torch.autograd.functional.hessian(loss, outputs.flatten())  # type: ignore[return-value]


@pytest.mark.parametrize("name", cases.OF_OUTPUTS)
def test_gauss_newton_is_the_sandwich(name: str) -> None:
    case = cases.ALL[name]()
    wanted: Tensor = torch.zeros((), dtype=torch.float64)
    for share, batch in case.batches or [(1.0, case.probe)]:
        outputs, slopes = jacobian(case, batch)
        wanted = wanted + share * slopes.T @ middle(case, outputs, batch[1]) @ slopes
    found = gauss_newton(case.loss_at, case.params)
    agree(found.dense(), wanted)
    agree(found.gradient(), hessian(case.loss_at, case.params).gradient())


@pytest.mark.parametrize(("name", "loss"), [("mlp", F.cross_entropy), ("mse", F.mse_loss), ("tied", F.cross_entropy)])
def test_the_fisher_matrix_is_the_expected_square_of_the_score(name: str, loss: object) -> None:
    """For cross-entropy by summing over all labels; for MSE the noise has variance (outputs of an example) / 2."""
    case = cases.ALL[name]()
    outputs, slopes = jacobian(case, case.probe)
    count, width = outputs.shape
    wanted = torch.zeros(slopes.shape[1], slopes.shape[1], dtype=torch.float64)
    for example in range(count):
        here = slopes[example * width : (example + 1) * width]
        if loss is F.cross_entropy:
            chances = outputs[example].softmax(0)
            for label, chance in enumerate(chances):
                score = here.T @ (chances - F.one_hot(torch.tensor(label), width))
                wanted += chance * torch.outer(score, score) / count
        else:
            wanted += here.T @ here * 2 / (count * width)
    agree(fisher(case.loss_at, case.params).dense(), wanted)


@pytest.mark.parametrize("name", [name for name in cases.OF_OUTPUTS if name not in COUPLED])
def test_the_empirical_fisher_matrix_is_the_mean_square_of_single_gradients(name: str) -> None:
    case = cases.ALL[name]()
    params = [param for param in case.params.values() if param.requires_grad]
    squares, count = [], 0
    for _, (inputs, targets) in case.batches or [(1.0, case.probe)]:
        for i in range(len(targets)):
            one = slice(i, i + 1)
            if isinstance(inputs, dict):
                single = {key: value[one] for key, value in inputs.items()}
            else:
                single = tuple(part[one] for part in inputs) if isinstance(inputs, tuple) else inputs[one]
            loss = LossAt(case.model, (single, targets[one]), case.loss)(case.params)
            found = torch.autograd.grad(loss, params, allow_unused=True)
            g = torch.cat([(p * 0 if g is None else g).flatten() for g, p in zip(found, params, strict=True)]).detach()
            squares.append(torch.outer(g, g))
            count += 1
    agree(empirical_fisher(case.loss_at, case.params).dense(), torch.stack(squares).sum(0) / count)


def test_each_example_has_its_loss() -> None:
    case = cases.mse()
    losses = per_example(case.loss_at, case.probe, case.params)
    assert losses.shape == (9,)
    torch.testing.assert_close(losses.mean(), case.live_loss())


def test_a_loss_linear_in_the_outputs_has_no_gauss_newton_curvature() -> None:
    case = cases.linear()
    assert float(gauss_newton(case.loss_at, case.params).dense().abs().max()) == 0.0


def test_unknown_likelihoods_and_hidden_outputs_are_refused() -> None:
    case = cases.mlp()
    with pytest.raises(ValueError, match="known likelihood"):
        fisher(LossAt(case.model, case.probe, lambda z, y: F.cross_entropy(z, y)), case.params)
    hidden = cases.function()
    with pytest.raises(ValueError, match="hides the outputs"):
        gauss_newton(hidden.loss_at, hidden.params)(torch.zeros(43).double())


def test_the_module_of_a_loss_counts_as_its_function() -> None:
    case = cases.mse()
    found = fisher(LossAt(case.model, case.probe, nn.MSELoss()), case.params)
    agree(found.dense(), gauss_newton(case.loss_at, case.params).dense())
