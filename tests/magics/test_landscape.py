"""The magic as a user types it."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import nbtoolkit

Message = Callable[[str], str]


def value(shell: InteractiveShell, cell: str) -> Any:
    """What the cell's last expression gives."""
    return shell.run_cell(cell).result


def test_a_cell_that_names_nothing_is_watched(shell: InteractiveShell) -> None:
    shell.run_cell("%%landscape -q -v run\nfor _ in range(12): step()").raise_error()
    run = shell.user_ns["run"]
    assert (run.name, run.step, run.state) == ("optimizer", 12, "finished")
    assert run["grad_norm"]["param"].values.tolist() == ["weight", "bias"]


def test_a_cell_keeps_its_value_its_variables_and_its_semicolon(shell: InteractiveShell) -> None:
    assert value(shell, "%%landscape -q\nstep()\ny = 3\ny + 4") == 7
    assert shell.user_ns["y"] == 3
    assert value(shell, "%%landscape -q\nstep()\ny + 4;") is None


def test_output_gives_the_run_back(shell: InteractiveShell) -> None:
    run = value(shell, "%%landscape -q -o\nstep()\n5")
    assert run.step == 1
    assert value(shell, "%landscape stop -q -o") is run


def test_the_run_has_its_name_while_the_cell_goes_on(shell: InteractiveShell) -> None:
    shell.run_cell("%%landscape -q -v run\nstep()\nrun.log(accuracy=0.5)\nstep()").raise_error()
    assert shell.user_ns["run"]["accuracy"]["step"].values.tolist() == [1]


def test_named_model_and_optimizer_are_watched(shell: InteractiveShell) -> None:
    run = value(shell, "%%landscape model optimizer -q -o -i loss -i lr --every 3\nfor _ in range(7): step()")
    assert run["loss"]["step"].values.tolist() == [0, 3, 6]
    assert list(run.record.groups) == ["loss", "lr"]


def test_an_instrument_of_the_notebook_is_a_name_like_any_other(shell: InteractiveShell) -> None:
    shell.run_cell(
        "from nbtoolkit import Var, instrument\n"
        "@instrument(outputs={'size': Var((), '1', 'largest weight')})\n"
        "def largest(params, /):\n"
        "    return {'size': torch.stack([p.abs().max() for p in params.values()]).max()}\n"
    ).raise_error()
    run = value(shell, "%%landscape -q -o -i largest\nstep()")
    assert run["largest"]["size"].values[0] > 0


def test_a_failing_cell_fails_once_where_it_failed(shell: InteractiveShell, capsys: pytest.CaptureFixture) -> None:
    result = shell.run_cell("%%landscape -q -v run\nstep()\nif True:\n    1 / 0")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert not result.success
    frames = traceback.extract_tb(result.error_in_exec.__traceback__)
    assert (frames[-1].lineno, frames[-1].line) == (4, "1 / 0")
    text = "".join(capsys.readouterr())
    assert text.count("ZeroDivisionError: division by zero") == 1
    assert "nbtoolkit" not in text
    assert shell.user_ns["run"].state == "failed"
    assert shell.user_ns["run"].step == 1
    assert not shell.user_ns["optimizer"]._optimizer_step_pre_hooks


def test_a_syntax_error_is_the_cells_own(shell: InteractiveShell) -> None:
    result = shell.run_cell("%%landscape -q\nstep(\n")
    assert isinstance(result.error_in_exec, SyntaxError)


def test_an_interrupted_cell_keeps_what_it_has(shell: InteractiveShell) -> None:
    result = shell.run_cell("%%landscape -q -v run\nfor _ in range(4): step()\nraise KeyboardInterrupt")
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert (shell.user_ns["run"].state, shell.user_ns["run"].step) == ("interrupted", 4)


def test_a_cell_without_a_step_says_so_in_one_line(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    shell.run_cell("%%landscape\nz = 1").raise_error()
    out = capsys.readouterr()
    assert "saw no optimizer step in this cell" in out.err
    assert len(out.err.splitlines()) == 1


def test_store_is_written_and_refused_when_it_exists(shell: InteractiveShell, message: Message) -> None:
    shell.run_cell("%%landscape -q --store run.zarr\nfor _ in range(5): step()").raise_error()
    assert nbtoolkit.open_run("run.zarr").step == 5
    shell.user_ns["touched"] = False
    assert "run.zarr exists already; nothing was changed" in message("%%landscape --store run.zarr\ntouched = True")
    assert shell.user_ns["touched"] is False, "the cell ran although its store was refused"


def test_watch_status_measure_save_stop(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    run = value(shell, "%landscape watch model optimizer -q -o")
    shell.run_cell("for _ in range(6): step()")
    capsys.readouterr()
    shell.run_cell("%landscape")
    assert capsys.readouterr().out.startswith("Linear: watching, step 6, ")
    data = value(shell, "%landscape measure weight_norm -o")
    assert data["step"].values[-1] == 6
    shell.run_cell("%landscape save kept.zarr")
    assert Path("kept.zarr").exists()
    shell.run_cell("%landscape stop")
    assert run.state == "finished"
    shell.run_cell("%landscape export page.html")
    assert Path("page.html").read_text().startswith("<!")


def test_list_prices_every_instrument(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("%landscape list")
    text = capsys.readouterr().out
    for name, item in nbtoolkit.instruments.known().items():
        assert f"{name}: {item.doc.splitlines()[0]}" in text
    assert "costs 0 forward passes" in text


def test_help(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("%landscape -h")
    assert "%landscape save PATH" in capsys.readouterr().out
    shell.run_cell("%%landscape -h\nraise RuntimeError('the cell must not run')").raise_error()
    assert "run this cell watched" in capsys.readouterr().out
    shell.run_cell("%landscape measure grad_norm -h")
    assert "Euclidean norm of the gradient" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%landscape wach model optimizer", "did you mean 'watch'?"),
        ("%landscape watch modle optimizer", "'modle' is no variable of this notebook; did you mean 'model'?"),
        ("%landscape watch optimizer model", "watch() got a SGD as the model; it needs a torch.nn.Module"),
        ("other = 1\n%landscape watch other optimizer", "watch() got a int as the model"),
        ("%landscape show", "nothing has been watched yet: put %%landscape on top of a training cell."),
        ("%landscape measure sharpnes", "no instrument 'sharpnes'"),
        ("%landscape watch model optimizer -i grad_nrom", "did you mean 'grad_norm'?"),
        ("%landscape watch model optimizer --every many", "'many' is no variable of this notebook"),
        ("%landscape watch model optimizer --every 1.5", "every=1.5, expected a whole number of steps"),
        ("%landscape watch model optimizer --budget 0", "budget=0"),
        ("%%landscape modle optimizer\n1", "'modle' is no variable"),
        ("%%landscape --store /proc/none/run.zarr\n1", "choose another path"),
        ("%landscape watch nn.Linear optimizer", "'nn.Linear' is no variable"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(message: Message, cell: str, said: str) -> None:
    assert said in message(cell)


def test_a_model_and_an_optimizer_that_share_nothing(shell: InteractiveShell, message: Message) -> None:
    shell.run_cell("spare = nn.Linear(2, 2)")
    assert "holds no parameter of this Linear; pass the model" in message("%landscape watch spare optimizer")
