"""Other tools for Hessians, each asked for the same: top eigenvalue to 1e-3, spectral density by Lanczos quadrature."""

# pyright: reportMissingImports=false
# The peers come with the bench group alone.

import contextlib
import functools
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nbtoolkit.numerics.lanczos import extreme_eigenpairs, tridiagonal
from tests.benchmarks.curvature_problems import Curved

TOLERANCE = 1e-3

Top = Callable[[Curved, int], tuple[float, int]]  # of a problem and a seed: the value and the products it took
Density = Callable[[Curved, int, int], object]  # of a problem, probes and steps


@dataclass(frozen=True)
class Peer:
    """How one tool does both."""

    name: str
    top: Top
    density: Density


def our_top(problem: Curved, seed: int) -> tuple[float, int]:
    operator = problem.hessian()
    found = extreme_eigenpairs(operator, normal(operator.size, 1, seed, problem.device), tolerance=TOLERANCE)
    return float(found.values[0]), found.products


def our_density(problem: Curved, probes: int, steps: int) -> object:
    operator = problem.hessian()
    return tridiagonal(operator, normal(operator.size, probes, 0, problem.device), steps).quadrature()


def normal(size: int, rows: int, seed: int, device: str) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)).to(device)


OURS = Peer("nbtoolkit", our_top, our_density)


# --- PyHessian -----------------------------------------------------------------------------------


def pyhessian_top(problem: Curved, seed: int, tolerance: float = TOLERANCE) -> tuple[float, int]:
    """Power iteration with its own stop: the last relative change below the tolerance."""
    made = _pyhessian(problem)
    module = sys.modules["pyhessian.hessian"]  # as an attribute the class of the same name hides it
    torch.manual_seed(seed)
    with mock.patch.object(module, "hessian_vector_product", wraps=module.hessian_vector_product) as counted:
        values, _ = made.eigenvalues(maxIter=1000, tol=tolerance)
    return values[0], counted.call_count


def pyhessian_density(problem: Curved, probes: int, steps: int) -> object:
    """With a `torch.eig` that PyTorch has no more: without it the release raises."""

    def eig(matrix: Tensor, eigenvectors: bool) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        return torch.stack([values, torch.zeros_like(values)], 1), vectors

    with mock.patch.object(torch, "eig", eig):
        return _pyhessian(problem).density(iter=steps, n_v=probes)


def _pyhessian(problem: Curved) -> Any:
    from pyhessian import hessian

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a cycle through .grad, by PyTorch
        made = hessian(
            problem.model, F.cross_entropy, data=(problem.inputs, problem.targets), cuda=problem.device == "cuda"
        )
    return made


# --- hessian-eigenthings -------------------------------------------------------------------------


def eigenthings_top(problem: Curved, seed: int) -> tuple[float, int]:
    """Twice the steps, from its default of 2, until its own flag says converged; every run begins anew."""
    total = 0
    for steps in (2**k for k in range(1, 9)):
        value, converged = _eigenthings_run(problem, seed, steps)
        total += steps
        if converged:
            return value, total
    raise RuntimeError("not converged")


def eigenthings_told(problem: Curved, seed: int) -> tuple[float, int]:
    """As if the user knew after how many steps its flag will say converged; it has no stop of its own."""
    steps = _eigenthings_needs(problem.name, seed, lambda steps: _eigenthings_run(problem, seed, steps)[1])
    return _eigenthings_run(problem, seed, steps)[0], steps


_NEEDS: dict[tuple[str, int], int] = {}


def _eigenthings_needs(name: str, seed: int, converged: Callable[[int], bool]) -> int:
    if (name, seed) not in _NEEDS:
        _NEEDS[name, seed] = next(steps for steps in range(2, 200) if converged(steps))
    return _NEEDS[name, seed]


def _eigenthings_run(problem: Curved, seed: int, steps: int) -> tuple[float, bool]:
    from hessian_eigenthings import lanczos

    operator = _eigenthings(problem)
    found = lanczos(operator, k=1, max_iter=steps, tol=TOLERANCE, which="LA", seed=seed, reorthogonalize=True)
    return float(found.eigenvalues[0]), bool(found.converged[0])


def eigenthings_density(problem: Curved, probes: int, steps: int) -> object:
    from hessian_eigenthings import spectral_density

    return spectral_density(_eigenthings(problem), num_runs=probes, lanczos_steps=steps)


def _eigenthings(problem: Curved) -> Any:
    from hessian_eigenthings import HessianOperator, supervised_loss

    return HessianOperator(problem.model, [(problem.inputs, problem.targets)], supervised_loss(F.cross_entropy))


# --- curvlinops ----------------------------------------------------------------------------------


def curvlinops_top(problem: Curved, seed: int) -> tuple[float, int]:
    """Through SciPy's eigsh with its own tolerance."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    operator, products = curvlinops_operator(problem).to_scipy(dtype=np.float32), 0

    def product(vector: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return operator.matvec(vector)

    counted = LinearOperator(operator.shape, product, dtype=np.float32)  # type: ignore[call-arg]
    start = np.random.default_rng(seed).standard_normal(operator.shape[0]).astype(np.float32)
    settings: dict[str, Any] = {"tol": TOLERANCE, "v0": start, "return_eigenvectors": False}
    values = eigsh(counted, k=1, which="LA", **settings)
    return float(values[0]), products


def curvlinops_density(problem: Curved, probes: int, steps: int) -> object:
    from curvlinops import lanczos_approximate_spectrum

    operator = curvlinops_operator(problem)
    return lanczos_approximate_spectrum(operator, steps, num_repeats=probes, boundaries=(-1.0, 20.0))


def curvlinops_operator(problem: Curved) -> Any:
    """Without its check that the data stay the same, which costs more passes."""
    from curvlinops import HessianLinearOperator
    from torch import nn

    params, data = list(problem.model.parameters()), [(problem.inputs, problem.targets)]
    return HessianLinearOperator(problem.model, nn.CrossEntropyLoss(), params, data, check_deterministic=False)


def available() -> list[Peer]:
    """Those that are installed; each other one is named in a printed line."""
    peers = {
        "pyhessian": [
            Peer("PyHessian", pyhessian_top, pyhessian_density),
            Peer("  with tol=1e-5", functools.partial(pyhessian_top, tolerance=1e-5), pyhessian_density),
        ],
        "hessian_eigenthings": [
            Peer("hessian-eigenthings", eigenthings_top, eigenthings_density),
            Peer("  if told the steps", eigenthings_told, eigenthings_density),
        ],
        "curvlinops": [Peer("curvlinops + eigsh", curvlinops_top, curvlinops_density)],
    }
    found = []
    for module, entries in peers.items():
        if importlib.util.find_spec(module) is None:
            print(f"left out: {module} is not installed")
        else:
            found += entries
    return found


# --- PyHessian's loops where it cannot be installed ----------------------------------------------


@contextlib.contextmanager
def _graph(problem: Curved) -> Iterator[Callable[[list[Tensor]], list[Tensor]]]:
    """Its product: one vector at a time through the kept graph, as lists of tensors."""
    params = list(problem.model.parameters())
    grads = torch.autograd.grad(problem.loss(), params, create_graph=True)
    yield lambda v: list(torch.autograd.grad(grads, params, grad_outputs=v, only_inputs=True, retain_graph=True))


def _dot(xs: list[Tensor], ys: list[Tensor]) -> Tensor:
    return sum((x * y).sum() for x, y in zip(xs, ys, strict=True))  # type: ignore[return-value]


def _plus(xs: list[Tensor], ys: list[Tensor], alpha: Tensor) -> list[Tensor]:
    return [x + y * alpha for x, y in zip(xs, ys, strict=True)]


def _unit(xs: list[Tensor]) -> list[Tensor]:
    length = (_dot(xs, xs) ** 0.5).cpu().item()
    return [x / (length + 1e-6) for x in xs]


def loop_top(problem: Curved, seed: int) -> tuple[float, int]:
    """`pyhessian.hessian.eigenvalues`, line for line."""
    torch.manual_seed(seed)
    with _graph(problem) as product:
        v = _unit([torch.randn_like(p) for p in problem.model.parameters()])
        last = None
        for count in range(1, 1001):
            image = product(v)
            value = _dot(image, v).cpu().item()
            v = _unit(image)
            if last is not None and abs(last - value) / (abs(last) + 1e-6) < TOLERANCE:
                return value, count
            last = value
    return value, 1000


def loop_density(problem: Curved, probes: int, steps: int) -> object:
    """`pyhessian.hessian.density`, line for line but for the vanished `torch.eig`."""
    found = []
    with _graph(problem) as product:
        for _ in range(probes):
            v = _unit([torch.randint_like(p, high=2) * 2 - 1 for p in problem.model.parameters()])
            basis, alphas, betas, w = [v], [], [], v
            for i in range(steps):
                beta = torch.zeros((), device=problem.device)
                if i:
                    beta = torch.sqrt(_dot(w, w))
                    betas.append(beta.cpu().item())
                    for other in basis:
                        w = _plus(w, other, -_dot(w, other))
                    v = _unit(w)
                    basis.append(v)
                image = product(v)
                alpha = _dot(image, v)
                alphas.append(alpha.cpu().item())
                w = _plus(image, v, -alpha)
                if i:
                    w = _plus(w, basis[-2], -beta)
            found.append(torch.linalg.eigh(torch.diag(torch.tensor(alphas)) + torch.diag(torch.tensor(betas), 1)))
    return found


LOOP = Peer("PyHessian's loops", loop_top, loop_density)
