"""What is measured on the graph of a step's own loss is measured before its backward pass, or in the next step."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import sharpness


def test_what_becomes_due_after_backward_waits_for_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.capture.schedule.Schedule._stretch", lambda *args: None)
    torch.manual_seed(0)
    model, x, y = nn.Linear(8, 3), torch.randn(32, 8), torch.randint(0, 3, (32,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nbtoolkit.watch(model, optimizer, instruments=[sharpness.using(every=1000)]) as run:
        assert run.steps is not None
        schedule = run.steps.schedule
        (item,) = schedule.attached
        for step in range(4):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            if step == 2:  # as after a step that took long, when the budget allows more
                item.every = 2
                schedule.plan()
            optimizer.step()
    assert run["sharpness"].step.values.tolist() == [0, 3]
    assert run["sharpness"].sharpness.notnull().all()
    assert not any("could not be measured" in note for note in run.notes)
