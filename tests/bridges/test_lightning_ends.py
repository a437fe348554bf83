"""How a watched fit of Lightning ends, and how it goes on from a checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision

import nbtoolkit
from nbtoolkit import instruments
from nbtoolkit.bridges.lightning import LandscapeCallback
from nbtoolkit.errors import LandscapeError, StoreError, TrainingStopped
from tests.bridges import lit

pytestmark = pytest.mark.filterwarnings("ignore::Warning:lightning")


def began(callback: LandscapeCallback) -> nbtoolkit.Run:
    assert callback.run is not None
    return callback.run


def test_early_stopping_is_a_normal_end() -> None:
    callback = LandscapeCallback()
    stopping = EarlyStopping("val_loss", patience=0, mode="max")
    trainer = lit.fit(lit.Lit(), callback, stopping, validate=True, max_epochs=9)
    assert trainer.current_epoch < 8
    assert (began(callback).state, began(callback).step) == ("finished", trainer.global_step)


def test_an_exception_ends_the_run_and_keeps_what_was_measured(tmp_path: Path) -> None:
    callback, model = LandscapeCallback(store=tmp_path / "run.zarr"), lit.Lit()
    model.fails_at = 4
    with pytest.raises(ZeroDivisionError):
        lit.fit(model, callback)
    run = began(callback)
    assert (run.state, run.step, len(run["loss"].step)) == ("failed", 4, 4)
    assert nbtoolkit.open_run(tmp_path / "run.zarr").record.attrs["state"] == "failed"


def test_an_interrupt_ends_the_run() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    callback = LandscapeCallback()
    with pytest.raises(SystemExit):  # that is what Lightning makes of it
        lit.fit(lit.Lit(), lit.At(5, interrupt), callback)
    assert (began(callback).state, began(callback).step) == ("interrupted", 5)


def test_to_stop_the_run_ends_the_fit_in_lightnings_own_way(tmp_path: Path) -> None:
    callback = LandscapeCallback()
    saved = ModelCheckpoint(dirpath=tmp_path, save_last=True)
    stop = lit.At(5, lambda: began(callback).stop())
    trainer = lit.fit(lit.Lit(), callback, stop, saved, validate=True, max_epochs=9, enable_checkpointing=True)
    run = began(callback)
    # The order comes after step 5, so that step 6 is the one under way.
    assert (run.state, run.step, trainer.global_step) == ("stopped", 6, 6)
    assert trainer.state.finished
    assert (tmp_path / "last.ckpt").exists()
    assert [command["what"] for command in run.commands] == ["stop"]


def test_where_lightning_may_not_stop_yet_the_run_can() -> None:
    callback = LandscapeCallback()
    with pytest.raises(TrainingStopped, match="Lit was stopped after step 6"):
        lit.fit(lit.Lit(), callback, lit.At(5, lambda: began(callback).stop()), min_steps=8, max_epochs=9)
    assert (began(callback).state, began(callback).step) == ("stopped", 6)


def test_a_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    sharpness, store = instruments.sharpness.using(every=4), tmp_path / "run.zarr"
    options: dict[str, Any] = {"instruments": [instruments.loss, sharpness], "budget": float("inf")}
    whole = LandscapeCallback(**options)
    lit.fit(lit.Lit(), whole, max_epochs=3)

    lost, saved = lit.Lit(), ModelCheckpoint(dirpath=tmp_path, every_n_epochs=1, filename="{step}", save_top_k=-1)
    lost.fails_at = 9
    first = LandscapeCallback(**options, store=store)
    with pytest.raises(ZeroDivisionError):
        lit.fit(lost, first, saved, max_epochs=3, enable_checkpointing=True)
    assert began(first)["loss"].step.values.tolist() == list(range(9))

    again = LandscapeCallback(**options, store=store)
    lit.fit(lit.Lit(), again, max_epochs=3, ckpt_path=str(tmp_path / "step=6.ckpt"))
    run = began(again)
    assert (run.step, run.record.attrs["first_step"]) == (18, 6)
    assert run["loss"].step.values.tolist() == list(range(6, 18))
    assert run["sharpness"].step.values.tolist() == [8, 12, 16]

    kept, expected = nbtoolkit.open_run(store), began(whole)
    np.testing.assert_array_equal(kept["loss"].step, expected["loss"].step)
    np.testing.assert_allclose(kept["loss"].loss, expected["loss"].loss, rtol=1e-6)
    np.testing.assert_allclose(kept["sharpness"].sharpness, expected["sharpness"].sharpness, rtol=1e-4)


def test_a_store_that_exists_is_not_written_over(tmp_path: Path) -> None:
    lit.fit(lit.Lit(), LandscapeCallback(store=tmp_path / "run.zarr"), max_epochs=1)
    with pytest.raises(StoreError, match="exists"):
        lit.fit(lit.Lit(), LandscapeCallback(store=tmp_path / "run.zarr"), max_epochs=1)


def test_steps_that_a_scaler_skips_are_no_steps_also_after_a_checkpoint(tmp_path: Path) -> None:
    def half(scale: float) -> dict[str, Any]:
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler=scaler)]}

    callback = LandscapeCallback()
    trainer = lit.fit(lit.Lit(), callback, max_epochs=1, **half(2.0**19))
    skipped = trainer.global_step - began(callback).step
    assert 0 < skipped < 6
    assert began(callback)["loss"].step.values.tolist() == list(range(6 - skipped))
    trainer.save_checkpoint(tmp_path / "skipped.ckpt")

    again = LandscapeCallback()
    lit.fit(lit.Lit(), again, max_epochs=2, ckpt_path=str(tmp_path / "skipped.ckpt"), **half(2.0))
    assert began(again)["loss"].step.values.tolist() == list(range(6 - skipped, 12 - skipped))

    bare = LandscapeCallback()  # a checkpoint of an unwatched training knows only Lightning's own count
    other = lit.fit(lit.Lit(), max_epochs=1)
    other.save_checkpoint(tmp_path / "bare.ckpt")
    lit.fit(lit.Lit(), bare, max_epochs=2, ckpt_path=str(tmp_path / "bare.ckpt"))
    assert began(bare)["loss"].step.values.tolist() == list(range(6, 12))


def test_optimizers_go_on_each_from_its_own_step(tmp_path: Path) -> None:
    lit.fit(lit.Adversaries(), LandscapeCallback(), max_epochs=1).save_checkpoint(tmp_path / "two.ckpt")
    callback = LandscapeCallback()
    lit.fit(lit.Adversaries(), callback, max_epochs=2, ckpt_path=str(tmp_path / "two.ckpt"))
    assert [run["loss"].step.values.tolist() for run in callback.runs] == [list(range(6, 12)), list(range(3, 6))]


def test_two_of_them_in_one_trainer_are_refused_in_words() -> None:
    with pytest.raises(LandscapeError, match="the Trainer has 2 LandscapeCallbacks; expected one"):
        lit.fit(lit.Lit(), LandscapeCallback(name="a"), LandscapeCallback(name="b"))
