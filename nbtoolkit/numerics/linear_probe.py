"""A linear classifier on given features, in closed form: what of the classes lies in them linearly."""

import torch
from torch import Tensor


def ridge_probe(features: Tensor, labels: Tensor, ridge: float) -> "RidgeProbe":
    """Ridge regression of one-hot labels on standardised features, with a bias.

    The weights W minimise ``|Y - X W|^2 / n + ridge |W|^2``, X the features less their means over their standard
    deviations (a constant feature counts as 0), Y the one-hot labels less the shares of the classes. Solved exactly in
    float64, in the smaller of both dims of X.

    Args:
        features: ``(examples, ...)``, all that follows the first dim flattened.
        labels: ``(examples,)``, whole numbers.
        ridge: above 0.

    Raises:
        ValueError: there is no example, a feature is not finite, or the ridge is not above 0.

    Source: Alain & Bengio (2017), Understanding intermediate layers using linear classifier probes, arXiv:1610.01644;
    here with a squared loss, whose minimum is known in closed form.
    """
    if not ridge > 0:
        raise ValueError(f"ridge={ridge}: expected a number above 0")
    if not len(features):
        raise ValueError("there is no example to fit the probe to")
    x = _flat(features)
    if not bool(torch.isfinite(x).all()):
        raise ValueError("a feature is not finite")
    classes, places = torch.unique(labels.to(x.device), return_inverse=True)
    mean, scale = x.mean(0), x.std(0, correction=0)
    constant = scale <= torch.finfo(torch.float64).eps * mean.abs()
    inverse = torch.where(constant, 0.0, 1.0 / torch.where(constant, 1.0, scale))
    x = (x - mean) * inverse
    y = torch.nn.functional.one_hot(places, len(classes)).double()
    bias, shift = y.mean(0), ridge * len(x)
    if x.shape[1] <= len(x):
        weights = _solved(x.T @ x, shift, x.T @ (y - bias))
    else:
        weights = x.T @ _solved(x @ x.T, shift, y - bias)
    return RidgeProbe(classes, weights, bias, mean, inverse)


class RidgeProbe:
    """A fitted probe. Made by `ridge_probe`.

    Args:
        classes: labels by output.
        weights: ``(features, classes)``, of standardised features.
        bias: ``(classes,)``.
        mean: of each feature.
        inverse: of the standard deviation of each feature.
    """

    def __init__(self, classes: Tensor, weights: Tensor, bias: Tensor, mean: Tensor, inverse: Tensor) -> None:
        self.classes, self.weights, self.bias, self.mean, self.inverse = classes, weights, bias, mean, inverse

    def scores(self, features: Tensor) -> Tensor:
        """``(examples, classes)``."""
        return (_flat(features) - self.mean) * self.inverse @ self.weights + self.bias

    def right(self, features: Tensor, labels: Tensor) -> int:
        """How many examples have the largest score at their label."""
        return int((self.classes[self.scores(features).argmax(1)] == labels.to(self.classes.device)).sum())


def _flat(features: Tensor) -> Tensor:
    flat = features.detach().reshape(len(features), -1)
    return (flat.cpu() if flat.device.type == "mps" else flat).double()


def _solved(matrix: Tensor, shift: float, right: Tensor) -> Tensor:
    """(matrix + shift) ^ -1 right, of a positive semi-definite matrix."""
    matrix.diagonal().add_(shift)
    return torch.cholesky_solve(right, torch.linalg.cholesky(matrix))
