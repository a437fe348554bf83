"""``%%landscape`` over unmodified cells that call ``trainer.fit(...)`` or ``trainer.train()``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

pytestmark = pytest.mark.filterwarnings("ignore::Warning:lightning")

LIGHTNING = """
from tests.bridges import lit
model = lit.Lit()
before = {k: v.clone() for k, v in model.state_dict().items()}
"""
FIT = "lit.fit(model, max_epochs=1, accumulate_grad_batches=2, gradient_clip_val=0.3)"
TRANSFORMERS = """
import pathlib
from tests.bridges.test_transformers import llama, trainer
model = llama()
before = {k: v.clone() for k, v in model.state_dict().items()}
"""
TRAIN = "trainer(pathlib.Path('out'), model=model, gradient_accumulation_steps=2, max_grad_norm=0.3).train()"
CELLS = {"lightning": (LIGHTNING, FIT, 3), "transformers": (TRANSFORMERS, TRAIN, 8)}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False  # type: ignore[union-attr]
    shell.run_line_magic("load_ext", "nbtoolkit")
    yield shell
    shell.run_line_magic("unload_ext", "nbtoolkit")
    shell.history_manager.end_session()  # type: ignore[union-attr]
    InteractiveShell.clear_instance()


def run_of(shell: InteractiveShell, cell: str, options: str = "") -> Any:
    shell.run_cell(f"%%landscape -v run -i loss -i grad_norm -i update_ratio {options}\n{cell}").raise_error()
    return shell.user_ns["run"]


@pytest.mark.parametrize(("prepare", "cell", "steps"), CELLS.values(), ids=CELLS.keys())
def test_a_cell_is_watched_as_it_is(shell: InteractiveShell, prepare: str, cell: str, steps: int) -> None:
    shell.run_cell(prepare).raise_error()
    run = run_of(shell, cell)
    assert (run.state, run.step, run.notes) == ("finished", steps, [])
    assert run["loss"].step.values.tolist() == list(range(steps))
    assert np.isfinite(run["loss"].loss).all()
    assert run["grad_norm"].total.values.max() <= 0.3 + 1e-6  # after clipping, as the optimizer sees it
    watched = shell.user_ns["model"]
    assert set(run["grad_norm"].param.values) == {name for name, _ in watched.named_parameters()}

    shell.run_cell(f"{prepare}\n{cell}").raise_error()
    for one, other in zip(watched.state_dict().values(), shell.user_ns["model"].state_dict().values(), strict=True):
        assert torch.equal(one, other)


BRIDGED = {
    "lightning": (LIGHTNING, "lit.fit(model, call, max_epochs=1, accumulate_grad_batches=2, gradient_clip_val=0.3)"),
    "transformers": (TRANSFORMERS, TRAIN.replace("'out'), ", "'out'), call, ")),
}


@pytest.mark.parametrize("name", CELLS)
def test_what_is_recorded_is_what_the_bridge_records(
    shell: InteractiveShell, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare, cell, steps = CELLS[name]
    shell.run_cell(prepare).raise_error()
    run = run_of(shell, cell)
    prepare, cell = BRIDGED[name]
    bridge = f"from nbtoolkit.bridges.{name} import LandscapeCallback\ncall = LandscapeCallback()"
    shell.run_cell(f"{prepare}\n{bridge}").raise_error()
    shell.run_cell(f"%%landscape\n{cell}").raise_error()
    bridged = shell.user_ns["call"].run
    assert (bridged.state, bridged.step) == ("finished", steps)
    assert "is being watched already" in capsys.readouterr().err
    np.testing.assert_array_equal(run["loss"].loss, bridged["loss"].loss)
    np.testing.assert_array_equal(run["grad_norm"].total, bridged["grad_norm"].total)


STOP = """
from torch.optim.optimizer import register_optimizer_step_post_hook
from nbtoolkit.capture.watch import watching
made = []
def stop(optimizer, *given):
    made.append(optimizer)
    if len(made) == 2:
        watching(optimizer).stop()
handle = register_optimizer_step_post_hook(stop)
"""


@pytest.mark.parametrize(("prepare", "cell", "steps"), CELLS.values(), ids=CELLS.keys())
def test_to_stop_ends_the_cell_normally(shell: InteractiveShell, prepare: str, cell: str, steps: int) -> None:
    """Without a callback an exception leaves the trainer, and does not reach the cell."""
    shell.run_cell(prepare + STOP).raise_error()
    try:
        run = run_of(shell, cell)
    finally:
        shell.user_ns["handle"].remove()
    assert (run.state, run.step) == ("stopped", 3)  # after the step under way when it was asked for
