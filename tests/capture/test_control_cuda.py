"""Acting on a training on a GPU: bit for bit where it only waits, at the step after where it changes something.

Runs where a CUDA device is: ``python -m tests.capture.test_control_cuda`` needs torch and NumPy alone.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

import nbtoolkit
from nbtoolkit.capture.rates import SetRate
from nbtoolkit.errors import TrainingStopped
from tests.capture.outside import elsewhere, while_paused
from tests.capture.test_cuda import Loop, convolutional, half

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def fused() -> Loop:
    return half(fused=True)


def on_the_device() -> Loop:
    """A learning rate that is a tensor on the GPU, as loops captured in CUDA graphs have it."""
    model, _, _, losses = convolutional()
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(1e-3, device="cuda"), capturable=True)

    def step() -> None:
        optimizer.zero_grad()
        loss = model(torch.ones(4, 3, 32, 32, device="cuda")).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().clone())

    return model, optimizer, step, losses


LOOPS: dict[str, Callable[[], Loop]] = {
    "convolutional": convolutional, "half": half, "fused": fused, "tensor": on_the_device,
}  # fmt: skip


def state(loop: Loop) -> Any:
    model, optimizer, _, losses = loop
    numbers = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
    return copy.deepcopy({**numbers, "random": [torch.get_rng_state(), torch.cuda.get_rng_state()]})


@pytest.mark.parametrize("name", LOOPS)
def test_a_pause_changes_nothing(name: str) -> None:
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        expected, paused = unacted(name), acted_on_while_paused(name)
    torch.testing.assert_close(paused, expected, rtol=0, atol=0)


def unacted(name: str) -> Any:
    """What twelve steps give."""
    loop = LOOPS[name]()
    for _ in range(12):
        loop[2]()
    return state(loop)


def acted_on_while_paused(name: str) -> Any:
    """The same with a pause, two steps, a measurement and another pause within."""
    paused = LOOPS[name]()
    with nbtoolkit.watch(paused[0], paused[1]) as run:
        seen = while_paused(run, lambda: run.advance(2), lambda: run.measure("weight_norm"), run.resume)
        for made in range(12):
            if made == 5:
                elsewhere(run.pause)
            paused[2]()
    assert seen[:1] == [6]
    assert 8 in seen
    return state(paused)


@pytest.mark.parametrize("name", LOOPS)
def test_a_rate_counts_from_the_next_step_and_a_stop_ends_the_loop(name: str) -> None:
    loop = LOOPS[name]()
    run = nbtoolkit.watch(loop[0], loop[1])
    with pytest.raises(TrainingStopped):
        acted_on(run, loop)
    run.detach("stopped")
    assert run.step == 9
    _, rates = run.record.groups["lr"].rows()
    assert [round(float(rate), 6) for rate in rates["lr"][:9, 0]] == [0.001] * 5 + [0.0] * 4


def acted_on(run: nbtoolkit.Run, loop: Loop) -> None:
    """Set the rate to nought in the fifth step, and stop in the ninth."""
    model, _, step, _ = loop
    for made in range(12):
        if made == 4:
            elsewhere(lambda: run.control.give(SetRate(0.0), lambda *_: None))
        if made == 8:
            elsewhere(run.stop)
        before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
        step()
        if made >= 5:
            assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_parameters())


def main() -> None:
    """Run all of it without pytest's command line."""
    for name in LOOPS:
        test_a_pause_changes_nothing(name)
        test_a_rate_counts_from_the_next_step_and_a_stop_ends_the_loop(name)
        print("control on a GPU:", name, flush=True)


if __name__ == "__main__":
    main()
