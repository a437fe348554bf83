"""A Lightning Trainer that is watched: what is recorded, and that nothing else changes."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
import nbtoolkit.widget
from nbtoolkit import instruments
from nbtoolkit.bridges import _fits
from nbtoolkit.bridges.lightning import LandscapeCallback
from nbtoolkit.errors import WatchError
from tests.bridges import lit

pytestmark = pytest.mark.filterwarnings("ignore::Warning:lightning", "ignore::Warning:pytorch_lightning")

MEASURED = [
    instruments.loss, instruments.lr, instruments.grad_norm, instruments.update_ratio.using(every=1),
    instruments.weight_norm.using(every=1),
]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Whether two trees of tensors are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("case", lit.CASES.values(), ids=lit.CASES.keys())
def test_the_numbers_are_those_of_the_plain_loop(case: lit.Case) -> None:
    model = lit.net(0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    with nbtoolkit.watch(model, optimizer, instruments=MEASURED) as plain:
        torch.manual_seed(1)
        losses = list(case.loop(model, optimizer, schedule, 2))

    callback = LandscapeCallback(instruments=MEASURED)
    trainer = lit.fit(lit.Lit(), callback, **case.of_lightning())

    run = callback.run
    assert run is not None
    assert (run.state, run.step, run.notes) == ("finished", trainer.global_step, [])
    np.testing.assert_allclose(run["loss"].loss, losses, rtol=1e-6)
    for item in MEASURED:
        for name, values in plain[item.name].items():
            np.testing.assert_allclose(run[item.name][name], values, rtol=1e-6, atol=1e-12, err_msg=str(name))
        np.testing.assert_array_equal(run[item.name].step, plain[item.name].step)
    assert list(run["weight_norm"].param.values) == [f"net.{name}" for name in plain["weight_norm"].param.values]


@pytest.mark.parametrize("case", lit.CASES.values(), ids=lit.CASES.keys())
def test_the_training_is_unchanged_bit_for_bit(case: lit.Case) -> None:
    trained = []
    for callbacks in ([], [LandscapeCallback(instruments=[*MEASURED, instruments.sharpness.using(every=2)])]):
        model = lit.Lit(dropout=0.3)
        trainer = lit.fit(model, *callbacks, validate=True, **case.of_lightning())
        trained.append((model.state_dict(), trainer.optimizers[0].state_dict(), torch.get_rng_state()))
    assert same(*trained)


def test_what_the_module_logs_is_recorded_at_its_step() -> None:
    callback = LandscapeCallback()
    lit.fit(lit.Lit(), callback, validate=True, accumulate_grad_batches=2)
    run = callback.run
    assert run is not None
    logged = run["train_loss_step"]
    assert logged.step.values.tolist() == list(range(6))
    # Of two batches that make a step Lightning knows the second; a step's loss is the mean of both.
    assert not np.allclose(logged.train_loss_step, run["loss"].loss)
    assert run["train_loss_epoch"].step.values.tolist() == run["val_loss"].step.values.tolist() == [3, 6]
    assert run["logged_loss"].step.values.tolist() == [3, 6]
    assert "train_loss" not in run.record.groups

    alone = LandscapeCallback()
    lit.fit(lit.Lit(), alone)
    assert alone.run is not None
    np.testing.assert_allclose(alone.run["train_loss_step"].train_loss_step, alone.run["loss"].loss, rtol=1e-6)
    epochs = alone.run["loss"].loss.values.reshape(2, -1).mean(1)
    np.testing.assert_allclose(alone.run["train_loss_epoch"].train_loss_epoch, epochs, rtol=1e-6)


def test_curvature_of_a_probe_is_that_of_the_module() -> None:
    sharpness = instruments.sharpness.using(every=4)
    inputs, targets = next(iter(lit.data()))
    callback = LandscapeCallback(
        instruments=[sharpness], loss=F.cross_entropy, probe=(inputs, targets), budget=float("inf")
    )
    model = lit.Lit()
    lit.fit(model, callback, max_epochs=1)
    run = callback.run
    assert run is not None
    assert run["sharpness"].step.values.tolist() == [0, 4]
    assert np.isfinite(run["sharpness"].sharpness).all()
    plain = lit.net(0.0)
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    with nbtoolkit.watch(plain, optimizer, loss=F.cross_entropy, probe=(inputs, targets)) as other:
        first = other.measure(sharpness)
    assert first.sharpness.values.item() == pytest.approx(run["sharpness"].sharpness.values[0], rel=1e-5)


def test_every_optimizer_has_a_run(tmp_path: Path) -> None:
    callback = LandscapeCallback(store=tmp_path / "run.zarr")
    lit.fit(lit.Adversaries(), callback, max_epochs=1)
    maker, judge = callback.runs
    assert (maker.name, maker.step) == ("Adversaries.maker", 6)
    assert (judge.name, judge.step) == ("Adversaries.judge", 3)
    assert np.isfinite(maker["loss"].loss).all()
    assert np.isfinite(judge["loss"].loss).all()
    assert list(maker["made"].step) == [1, 2, 3, 4, 5, 6]
    assert nbtoolkit.open_run(tmp_path / "run-2.zarr").record.attrs["optimizer"] == "Adam"


def test_the_older_package_works_too() -> None:
    older = importlib.import_module("pytorch_lightning")

    class Old(older.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = lit.net(0.0)

        def training_step(self, batch: Any, index: int) -> Any:
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    callback = LandscapeCallback()
    older.Trainer(**lit.QUIET, max_epochs=1, callbacks=[callback]).fit(Old(), lit.data())
    assert callback.run is not None
    assert callback.run.step == 6
    # Once both are loaded the callback is one of either.
    bridge: Any = importlib.reload(importlib.import_module("nbtoolkit.bridges.lightning"))
    assert issubclass(bridge.LandscapeCallback, older.Callback)
    assert issubclass(bridge.LandscapeCallback, lit.pl.Callback)
    both: Any = bridge.LandscapeCallback()
    older.Trainer(**lit.QUIET, max_epochs=1, callbacks=[both]).fit(Old(), lit.data())
    assert (both.run.name, both.run.step) == ("Old", 6)
    lit.fit(lit.Lit(), both, max_epochs=1)
    assert (both.run.name, both.run.step) == ("Lit", 6)


def test_a_wrong_option_is_refused_where_it_is_given() -> None:
    with pytest.raises(WatchError, match=r"LandscapeCallback got stor=\.\.\.; it takes show and instruments, loss"):
        LandscapeCallback(stor="run.zarr")


def test_a_notebook_gets_a_live_board_for_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(nbtoolkit.widget, "show", lambda run, names: shown.append((run.state, run.name, names)))
    lit.fit(lit.Lit(), LandscapeCallback(), max_epochs=1)
    assert shown == []  # there is none here
    monkeypatch.setattr(_fits, "_in_notebook", lambda: True)
    lit.fit(lit.Lit(), LandscapeCallback(show=False), max_epochs=1)
    assert shown == []
    lit.fit(lit.Lit(), LandscapeCallback(), max_epochs=1)
    lit.fit(lit.Adversaries(), LandscapeCallback(show=["loss"]), max_epochs=1)
    assert shown == [
        ("watching", "Lit", None),
        ("watching", "Adversaries.maker", ["loss"]),
        ("watching", "Adversaries.judge", ["loss"]),
    ]
