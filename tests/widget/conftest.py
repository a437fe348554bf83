"""A run whose rows are made up, for what only reads runs."""

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from nbtoolkit.capture.drafts import Drafts
from nbtoolkit.capture.run import Status
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var


@dataclass
class FakeRun:
    """What a Board needs of a run."""

    name: str = "digits"
    record: Record = field(default_factory=Record)
    state: str = "watching"
    listeners: list[Any] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)
    notes: list[str] = field(default_factory=list)
    step: int = 0
    ears: list[Any] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def drafts(self) -> Drafts:
        """Measurements under way."""
        return Drafts(self.record, lambda: None)

    def status(self) -> Status:
        return Status(self.step, 123.0, 4.5, 0.031, self.state, list(self.notes))

    def train(self, steps: int) -> None:
        """Append rows as an MLP's training would give them."""
        now = np.arange(self.step, self.step + steps)
        loss = np.exp(-now / 300) + 0.01 * np.sin(now)
        self.record.groups["loss"].append(now, {"loss": loss})
        params = ["0.weight", "0.bias", "2.weight"]
        norms = loss[:, None] * np.array([1.0, 0.1, 0.01])
        self.record.groups["grad_norm"].append(now, {"total": loss, "norm": norms}, {"param": params})
        self.step += steps
        for listener in tuple(self.listeners):
            listener(self)

    def end(self) -> None:
        self.state = "finished"
        for listener in tuple(self.listeners):
            listener(self)


@pytest.fixture
def run() -> FakeRun:
    """A run just begun."""
    made = FakeRun()
    made.record.group("loss", {"loss": Var((), "loss", "training loss")}, {"definition": "what is minimised"})
    norms = {
        "total": Var((), "loss/param", "gradient norm", "log"),
        "norm": Var(("param",), "loss/param", "by parameter", "log"),
    }
    made.record.group("grad_norm", norms, {"reference": "calculus"})
    return made
