"""The claims of notebooks/05_stability_gap.ipynb, each a function of the seed."""

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import nbtoolkit
from nbtoolkit import analysis
from nbtoolkit.capture import Run
from nbtoolkit.instruments import accuracy_matrix, stability_gap
from nbtoolkit.interventions import EWC, LwF, Reservoir, agem
from tests.claims.claim import Claim
from tests.claims.trainings import digits

TRAINED, STEPS, BATCH, MEMORY = 1200, 400, 64, 1200
STREAMS = ("permuted", "rotated")
SMALL = {"permuted": -0.05, "rotated": -0.07}  # backward transfer

Batch = tuple[Tensor, Tensor]


def stream(kind: str, seed: int) -> dict[str, tuple[Batch, Batch]]:
    """Three tasks on the same digits, of each what is trained on and what is held out."""
    x, y = digits(1797, seed, standardised=True)
    generator = torch.Generator().manual_seed(seed)
    tasks = {}
    for task in range(3):
        if kind == "permuted":
            seen = x[:, torch.randperm(64, generator=generator)]
        else:
            seen = x.view(-1, 8, 8).rot90(task, (1, 2)).flatten(1)
        tasks[f"task {task + 1}"] = (seen[:TRAINED], y[:TRAINED]), (seen[TRAINED:], y[TRAINED:])
    return tasks


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))


@cache
def trained(method: str, kind: str, seed: int) -> Run:
    """One network on the three tasks in turn; "EMA" is replay, seen through an average of the weights."""
    tasks = stream(kind, seed)
    model = network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    memory = Reservoir(MEMORY, seed=seed) if method in ("replay", "EMA", "A-GEM") else None
    ewc = EWC(model, 100.0)
    old: LwF | None = None
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.98)) if method == "EMA" else None
    with nbtoolkit.watch(
        model, optimizer, tasks={name: held_out for name, (_, held_out) in tasks.items()}, budget=math.inf,
        instruments=[accuracy_matrix.using(averaged=average), stability_gap.using(examples=597, averaged=average)],
    ) as run:  # fmt: skip
        for name, ((x, y), _) in tasks.items():
            with run.task(name):
                for _ in range(STEPS):
                    batch = torch.randint(0, TRAINED, (BATCH,))
                    outputs = model(x[batch])
                    loss = F.cross_entropy(outputs, y[batch])
                    again = None
                    if memory is not None and len(memory):
                        old_x, old_y = memory.sample(BATCH)
                        again = F.cross_entropy(model(old_x), old_y)
                    if again is not None and method != "A-GEM":
                        loss = (loss + again) / 2
                    if method == "EWC":
                        loss = loss + ewc.penalty()
                    if old is not None:
                        loss = loss + old.penalty(outputs, x[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    if again is not None and method == "A-GEM":
                        agem(model.parameters(), again)
                    optimizer.step()
                    if average is not None:
                        average.update_parameters(model)
            if memory is not None:
                memory.add(x, y)
            if method == "EWC":
                ewc.consolidate((x, y))
            if method == "LwF":
                old = LwF(model)
    return run


def metric(name: str, method: str, kind: str, seed: int) -> float:
    return float(analysis.transfer(trained(method, kind, seed))[name])


def accuracy_falls_and_comes_back(seed: int) -> list[Claim]:
    claims = []
    for kind in STREAMS:
        curve = trained("replay", kind, seed)["stability_gap"]["accuracy"].sel(task_evaluated="task 1")
        before = curve.sel(step=slice(0, STEPS)).values[-1]
        least = curve.sel(step=slice(STEPS + 1, STEPS + 50)).values.min()
        after = curve.sel(step=slice(0, 2 * STEPS)).values[-1]
        claims += [
            Claim(f"{kind}, replay: fall on task 1 within 50 steps of the second", before - least, 0.05, 1),
            Claim(f"{kind}, replay: what is left of that fall when the second ends", before - after, -0.04, 0.04),
        ]
    return claims


def the_matrix_does_not_show_it(seed: int) -> list[Claim]:
    claims = []
    for kind in STREAMS:
        final = metric("average_accuracy", "replay", kind, seed)
        least = metric("min_accuracy", "replay", kind, seed)
        backward = metric("backward_transfer", "replay", kind, seed)
        claims += [
            Claim(f"{kind}, replay: ACC less min-ACC", final - least, 0.05, 1),
            Claim(f"{kind}, replay: backward transfer", backward, SMALL[kind], 0),
        ]
    return claims


def averaged_weights_have_less_of_a_gap(seed: int) -> list[Claim]:
    return [
        Claim(
            f"{kind}: min-ACC of the average of the weights, less that of the weights",
            metric("min_accuracy", "EMA", kind, seed) - metric("min_accuracy", "replay", kind, seed), 0.01, 1,
        )
        for kind in STREAMS
    ]  # fmt: skip


def methods_have_their_order(seed: int) -> list[Claim]:
    found = {m: metric("average_accuracy", m, "permuted", seed) for m in ("naive", "EWC", "A-GEM", "replay")}
    return [
        Claim("permuted: ACC of EWC less that of naive training", found["EWC"] - found["naive"], 0.1, 1),
        Claim("permuted: ACC of A-GEM less that of naive training", found["A-GEM"] - found["naive"], 0.02, 1),
        Claim("permuted: ACC of replay less that of EWC", found["replay"] - found["EWC"], 0.03, 1),
        Claim("permuted: ACC of replay", found["replay"], 0.9, 1),
    ]


CLAIMS = (
    accuracy_falls_and_comes_back,
    the_matrix_does_not_show_it,
    averaged_weights_have_less_of_a_gap,
    methods_have_their_order,
)
