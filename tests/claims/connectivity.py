"""The claims of notebooks/04_connectivity_and_merging.ipynb, each a function of the seed."""

import copy
from functools import cache
from math import inf

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from nbtoolkit.instruments import LossAt, Trajectory, feature_similarity, linear_barrier, permutation_alignment
from nbtoolkit.numerics.layer_graph import symmetries
from tests.claims.claim import Claim
from tests.claims.mnist1d import mnist1d
from tests.claims.trainings import digits, epochs

FORKS = (0, 50, 200, 500, 2000)
STEPS, BATCH = 3000, 64
HIDDEN = "2"  # the second hidden layer
WIDTH = 64


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def _descend(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, steps: int, order: int) -> None:
    """Batches drawn from an order of one's own: twins differ in nothing else."""
    generator = torch.Generator().manual_seed(order)
    for _ in range(steps):
        batch = torch.randint(len(x), (BATCH,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()


def _optimizer(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


@cache
def _twins(seed: int) -> dict[int, tuple[nn.Module, nn.Module]]:
    """Two networks from each fork step on, trained to the same last step; until the fork they were one."""
    x, y, _, _ = mnist1d()
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Linear(40, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = _optimizer(trunk)
    grown, done = {}, 0
    for fork in FORKS:
        _descend(trunk, optimizer, x, y, fork - done, order=1000 * seed + fork)
        done = fork
        pair = []
        for side in (1, 2):
            twin = copy.deepcopy(trunk)
            own = _optimizer(twin)
            own.load_state_dict(optimizer.state_dict())
            _descend(twin, own, x, y, STEPS - fork, order=1000 * seed + fork + side)
            pair.append(twin)
        grown[fork] = tuple(pair)
    return grown


def barrier_falls_with_the_fork_step(seed: int) -> list[Claim]:
    x, y, _, _ = mnist1d()
    found = {
        fork: linear_barrier(LossAt(one, (x, y), F.cross_entropy), _parameters(one), Trajectory(), other=other)
        for fork, (one, other) in _twins(seed).items()
    }
    losses = [float(found[fork]["barrier"]) for fork in FORKS]
    errors = [float(found[fork]["error_barrier"]) for fork in FORKS]
    return [
        Claim("twins from the start: barrier of the loss", losses[0], 0.2, 0.8),
        Claim("twins from the start: barrier of the error rate", errors[0], 0.08, 0.3),
        Claim("least fall of the barrier from one fork to the next, up to step 500", -max(np.diff(losses[:4])), 0.01),
        Claim("twins from step 500: barrier of the loss", losses[3], 0, 0.02),
        Claim("twins from step 2000: barrier of the loss", losses[4], 0, 0.002),
    ]


def representations_of_twins_grow_alike(seed: int) -> list[Claim]:
    _, _, x, y = mnist1d()
    alike, apart = {}, {}
    for fork, (one, other) in _twins(seed).items():
        loss_at = LossAt(one, (x, y), F.cross_entropy)
        found = feature_similarity(loss_at, _parameters(one), Trajectory(), other=other, layers=[HIDDEN])
        alike[fork] = float(np.nanmax(found["cka"]))
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        apart[fork] = float(torch.stack([(p - q).detach().square().sum() for p, q in pairs]).sum().sqrt())
    return [
        Claim("twins from the start: CKA of the second hidden layer", alike[0], 0.75, 0.93),
        Claim("twins from step 2000: the same", alike[2000], 0.93, 1),
        Claim("rise of that CKA between them", alike[2000] - alike[0], 0.05),
        Claim("distance of twins from the start, over that of twins from step 2000", apart[0] / apart[2000], 2, inf),
    ]


@cache
def _digits_networks(seed: int) -> tuple[nn.Module, nn.Module, LossAt]:
    """Two networks of three hidden layers from different starts."""
    x, y = digits(1200, 0, standardised=True)
    trained = []
    for start in (2 * seed, 2 * seed + 1):
        torch.manual_seed(start)
        hidden = [layer for _ in range(2) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
        model = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), *hidden, nn.Linear(WIDTH, 10))
        epochs(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), x, y, 60)
        trained.append(model)
    return *trained, LossAt(trained[0], (x, y), F.cross_entropy)


def matching_removes_the_barrier(seed: int) -> list[Claim]:
    one, other, loss_at = _digits_networks(seed)
    found = permutation_alignment(loss_at, _parameters(one), Trajectory(), other=other)
    return [
        Claim("digits, width 64: barrier between two starts", float(found["barrier_before"]), 0.3),
        Claim(
            "digits, width 64: the same over that after weight matching",
            float(found["barrier_before"] / found["barrier_after"]), 50,
        ),
        Claim(
            "digits, width 64: distance after weight matching, over before",
            float(found["distance_after"] / found["distance_before"]), 0, 0.85,
        ),
    ]  # fmt: skip


def a_permuted_copy_comes_back(seed: int) -> list[Claim]:
    one, _, loss_at = _digits_networks(seed)
    found = symmetries(one, loss_at.arrays()[0])
    shuffled = found.permuted(one.state_dict(), found.random_permutations(seed))
    aligned = permutation_alignment(loss_at, _parameters(one), Trajectory(), other=shuffled)
    moved = abs(aligned["path_before"][0] - aligned["path_after"][0]) / aligned["path_after"][0]
    return [
        Claim("a permuted copy: distance before", float(aligned["distance_before"]), 1),
        Claim("a permuted copy: distance after weight matching", float(aligned["distance_after"]), 0, 0),
        Claim("a permuted copy: barrier before", float(aligned["barrier_before"]), 0.3),
        Claim("a permuted copy: relative change of its loss by the permutation", float(moved), 0, 1e-4),
    ]


CLAIMS = (
    barrier_falls_with_the_fork_step,
    representations_of_twins_grow_alike,
    matching_removes_the_barrier,
    a_permuted_copy_comes_back,
)
