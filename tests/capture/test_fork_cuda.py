"""On a GPU: a fork leaves its parent bit for bit as it was, random numbers of the device included.

Runs where a CUDA device is: ``python -m tests.capture.test_fork_cuda`` needs torch and NumPy alone.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import nbtoolkit
from tests.capture.test_cuda import Loop, convolutional, half

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def trained(make: Callable[[], Loop], *, forked: bool) -> tuple[list[torch.Tensor], Any]:
    torch.backends.cudnn.deterministic = True
    model, optimizer, step, losses = make()
    run = nbtoolkit.watch(model, optimizer)
    for made in range(12):
        if forked and made in (0, 5):
            run.fork(step, steps=6, every=1)
            run.fork(step, steps=3, every=1, lr=0.5, seed=1, perturb=0.1)
        step()
    run.detach()
    states = [part for state in optimizer.state.values() for part in state.values()]
    return [*losses, *model.state_dict().values(), *states, torch.cuda.get_rng_state().cuda()], run


@pytest.mark.parametrize("make", [convolutional, half, lambda: half(fused=True)], ids=["cnn", "half", "fused"])
def test_a_fork_on_a_gpu_leaves_its_parent_alone(make: Callable[[], Loop]) -> None:
    plain, _ = trained(make, forked=False)
    forked, run = trained(make, forked=True)
    assert len(plain) == len(forked)
    for one, other in zip(plain, forked, strict=True):
        assert torch.equal(one, other)
    compared = run.record.groups["twin_divergence"]
    _, values = compared.rows()
    same, changed = values["distance"][:6, 0], values["distance"][:4, 1]
    assert (same == 0).all()
    assert (changed > 0).all()


if __name__ == "__main__":
    for each in (convolutional, half, lambda: half(fused=True)):
        test_a_fork_on_a_gpu_leaves_its_parent_alone(each)
    print("ok")
