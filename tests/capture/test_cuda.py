"""On a GPU: bit for bit as unwatched, no synchronisation in a step, and the right numbers.

Runs where a CUDA device is: ``python -m tests.capture.test_cuda`` needs torch and NumPy alone.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import known

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

Loop = tuple[nn.Module, torch.optim.Optimizer, Callable[[], None], list[torch.Tensor]]


def convolutional() -> Loop:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.2), nn.Flatten())
    model = model.append(nn.Linear(16 * 900, 10)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses: list[torch.Tensor] = []

    def step() -> None:
        x, y = torch.randn(32, 3, 32, 32, device="cuda"), torch.randint(10, (32,), device="cuda")
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().clone())

    return model, optimizer, step, losses


def half(*, fused: bool = False) -> Loop:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 10)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)
    scaler = torch.amp.GradScaler("cuda", init_scale=1024.0)
    losses: list[torch.Tensor] = []

    def step() -> None:
        x, y = torch.randn(32, 64, device="cuda"), torch.randint(10, (32,), device="cuda")
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16):
            loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.detach().clone())

    return model, optimizer, step, losses


LOOPS: dict[str, Callable[[], Loop]] = {
    "convolutional": convolutional,
    "half": half,
    "half fused": lambda: half(fused=True),
}


def tasks(model: nn.Module) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Held-out data, on the host."""
    shape, own = (
        (3, 32, 32) if isinstance(next(model.children()), nn.Conv2d) else (64,),
        torch.Generator().manual_seed(0),
    )
    return {
        name: (torch.randn(40, *shape, generator=own), torch.randint(10, (40,), generator=own)) for name in ("a", "b")
    }


def after_training(make: Callable[[], Loop], *, watched: bool) -> dict[str, Any]:
    torch.backends.cudnn.deterministic = True
    model, optimizer, step, _ = make()
    every_step = [item.using(every=1) for item in known().values()]
    run = nbtoolkit.watch(model, optimizer, instruments=every_step, tasks=tasks(model)) if watched else None
    for count in range(50):
        if run is not None and count % 25 == 0:
            run.begin_task("ab"[count // 25])
        step()
    if run is not None:
        run.detach()
        _, accuracies = run.record.groups["accuracy_matrix"].rows()
        assert np.isfinite(accuracies["accuracy"][-1]).all()
        assert run.step == 50
        assert run.state == "finished"
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    return copy.deepcopy({**state, "random": [torch.get_rng_state(), torch.cuda.get_rng_state()]})


@pytest.mark.parametrize("name", LOOPS)
def test_watched_equals_unwatched(name: str) -> None:
    plain = after_training(LOOPS[name], watched=False)
    watched = after_training(LOOPS[name], watched=True)
    torch.testing.assert_close(watched, plain, rtol=0, atol=0)


@pytest.mark.parametrize("name", LOOPS)
def test_losses_and_norms_are_those_of_the_loop(name: str) -> None:
    model, optimizer, step, losses = LOOPS[name]()
    with nbtoolkit.watch(model, optimizer) as run:
        for _ in range(40):
            step()
    _, values = run.record.groups["loss"].rows()
    np.testing.assert_allclose(values["loss"], torch.stack(losses).double().cpu(), rtol=1e-6)
    _, norms = run.record.groups["grad_norm"].rows()
    assert np.isfinite(norms["total"]).all()
    assert (norms["total"] < 100).all(), "the gradients are still multiplied by the scale"


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_a_watched_step_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.capture.run.FLUSH_SECONDS", 0.0)
    model, optimizer, step, _ = convolutional()
    every_step = [item.using(every=1) for item in known().values() if item.forward_passes() == 0]
    with nbtoolkit.watch(model, optimizer, instruments=every_step) as run:
        step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(100):
                step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert run.step == 101
    assert not run.notes


def main() -> None:
    """Run all of it without pytest's command line."""
    for name in LOOPS:
        test_watched_equals_unwatched(name)
        test_losses_and_norms_are_those_of_the_loop(name)
    with pytest.MonkeyPatch.context() as patch:
        test_a_watched_step_never_waits_for_the_device(patch)
    print("cuda: all passed")


if __name__ == "__main__":
    main()
