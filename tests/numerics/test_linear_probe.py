"""Ridge regression of labels on features, against the dense formula."""

import numpy as np
import pytest
import torch

from nbtoolkit.numerics.linear_probe import ridge_probe


def data(examples: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(examples, width, generator=generator, dtype=torch.float64) * 3 + 7
    return features, torch.randint(0, 3, (examples,), generator=generator) * 10


def by_descent(x: torch.Tensor, labels: torch.Tensor, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The normal equations with the bias as one more weight, without a penalty of its own."""
    standard = (x - x.mean(0)) / x.std(0, correction=0)
    design = torch.cat([standard, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    targets = (labels[:, None] == torch.unique(labels)).double()
    penalty = torch.eye(design.shape[1], dtype=torch.float64) * ridge * len(x)
    penalty[-1, -1] = 0
    solved = torch.linalg.lstsq(design.T @ design + penalty, design.T @ targets).solution
    return solved[:-1], solved[-1]


@pytest.mark.parametrize("shape", [(60, 5), (20, 35), (30, 30)])
@pytest.mark.parametrize("ridge", [1e-3, 1.0])
def test_it_is_the_dense_solution_on_both_sides(shape: tuple[int, int], ridge: float) -> None:
    x, labels = data(*shape)
    probe = ridge_probe(x, labels, ridge)
    weights, bias = by_descent(x, labels, ridge)
    np.testing.assert_allclose(probe.weights, weights, rtol=0, atol=1e-9)
    np.testing.assert_allclose(probe.bias, bias, rtol=0, atol=1e-9)
    assert probe.classes.tolist() == [0, 10, 20]


def test_scores_are_of_features_as_they_were_given() -> None:
    x, labels = data(60, 5)
    probe, moved = ridge_probe(x, labels, 0.1), ridge_probe(100 - 4 * x, labels, 0.1)
    np.testing.assert_allclose(probe.scores(x), moved.scores(100 - 4 * x), atol=1e-10)
    cut = ridge_probe(x.reshape(60, 1, 5, 1), labels, 0.1)
    np.testing.assert_array_equal(cut.scores(x), probe.scores(x))


def test_a_constant_feature_says_nothing() -> None:
    x, labels = data(60, 5)
    probe, without = ridge_probe(torch.cat([x, torch.full((60, 1), 0.3)], 1), labels, 0.1), ridge_probe(x, labels, 0.1)
    np.testing.assert_allclose(probe.weights[:5], without.weights, rtol=1e-12)
    assert (probe.weights[5] == 0).all()


def test_classes_that_lie_apart_are_told_apart() -> None:
    x, labels = data(90, 4)
    x[torch.arange(90), labels // 10] += 30
    probe = ridge_probe(x[:60], labels[:60], 1e-3)
    assert probe.right(x[60:], labels[60:]) == 30
    assert probe.right(x[60:], labels[60:] + 1) == 0  # no class that was seen


@pytest.mark.parametrize(
    ("x", "ridge", "message"),
    [
        (torch.ones(2, 2), 0.0, "ridge=0.0: expected a number above 0"),
        (torch.ones(0, 2), 1.0, "no example to fit"),
        (torch.tensor([[1.0], [torch.inf]]), 1.0, "a feature is not finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(x: torch.Tensor, ridge: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ridge_probe(x, torch.zeros(len(x), dtype=torch.long), ridge)
