"""``%landscape fork`` as a user types it."""

from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbtoolkit.magics import complete

Message = Callable[[str], str]


def value(shell: InteractiveShell, cell: str) -> Any:
    return shell.run_cell(cell).result


def state(shell: InteractiveShell) -> list[Any]:
    names = shell.user_ns
    return [names["model"].weight.tolist(), names["model"].bias.tolist(), names["torch"].get_rng_state().tolist()]


def test_after_the_cell_a_twin_goes_on_from_its_end(shell: InteractiveShell) -> None:
    shell.run_cell("%%landscape -q -v run\nfor _ in range(5): step()").raise_error()
    before = state(shell)
    twin = value(shell, "%landscape fork step steps=4 lr=0.5 seed=2 -q -o")
    assert (twin.name, twin.step) == ("optimizer fork@5 lr=0.5 seed=2", 9)
    assert twin["lr"]["lr"].values[0].tolist() == [0.5]
    assert state(shell) == before
    assert shell.user_ns["optimizer"].param_groups[0]["lr"] == 0.1
    again = value(shell, "rate = 0.3\n%landscape fork step steps=2 lr=rate name=other perturb=1e-2 every=1 -q -v twin")
    assert again is None
    assert (shell.user_ns["twin"].name, shell.user_ns["twin"].data.attrs["parent"]) == ("other", "optimizer")
    assert shell.user_ns["run"].forks == [twin, shell.user_ns["twin"]]


def test_between_cells_of_a_watched_training_and_in_the_status(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%landscape watch model optimizer -q -v run\nfor _ in range(3): step()").raise_error()
    shell.run_cell("%landscape fork step steps=2").raise_error()
    shell.run_cell("for _ in range(3): step()").raise_error()
    assert shell.user_ns["run"]["twin_divergence"]["distance"].values.tolist() == [[0.0]] * 3
    capsys.readouterr()
    shell.run_cell("%landscape")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Linear: watching, step 6")
    assert second.startswith("Linear fork@3: finished, step 5")


def test_in_a_loop_within_the_cell(shell: InteractiveShell) -> None:
    cell = (
        "%%landscape -q -v run\nfor k in range(6):\n    if k == 2: twin = run.fork(step, steps=3, every=1)\n    step()"
    )
    shell.run_cell(cell).raise_error()
    run = shell.user_ns["run"]
    assert (run.step, shell.user_ns["twin"].step) == (6, 5)
    assert run["twin_divergence"]["step"].values.tolist() == [2, 3, 4, 5]
    assert not run["twin_divergence"]["distance"].values.any()


def test_a_failing_step_fails_as_it_would_in_a_cell(shell: InteractiveShell) -> None:
    shell.run_cell("%%landscape -q\nstep()").raise_error()
    before = state(shell)
    result = shell.run_cell("def bad():\n    step()\n    1 / 0\n%landscape fork bad -q -v twin")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert (shell.user_ns["twin"].state, shell.user_ns["twin"].step) == ("failed", 2)
    assert state(shell) == before


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%landscape fork lr=0.1", "fork needs STEP, the name of a function that makes one step of the loop, or"),
        ("%landscape fork stpe", "'stpe' is no variable of this notebook; did you mean 'step'?"),
        ("%landscape fork step sed=1", "fork has no setting 'sed'; did you mean 'seed'?"),
        ("%landscape fork step 100", "fork got '100'; settings are written SETTING=VALUE."),
        ("%landscape fork step steps=0", "steps=0: expected a whole number of steps"),
        ("%landscape fork model steps=2", "got a Linear as the step"),
        ("def two(x): ...\n%landscape fork two", "two needs arguments (x); give a function without: lambda: two(...)"),
        ("%landscape fork x steps=2", "got a Tensor as the step"),
        ("%landscape fork step lr=some", "'some' is no variable of this notebook"),
    ],
)
def test_what_cannot_be_forked_is_said_in_one_line(
    shell: InteractiveShell, message: Message, cell: str, said: str
) -> None:
    shell.run_cell("%%landscape -q\nstep()").raise_error()
    assert said in message(cell)


def test_nothing_watched(message: Message) -> None:
    assert "nothing has been watched yet" in message("%landscape fork step")


def test_help_and_completion(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run_cell("%landscape fork -h")
    text = capsys.readouterr().out
    for setting in ("steps", "lr", "seed", "perturb", "name", "every"):
        assert setting in text
    assert complete.words(shell, "%landscape fork st") == ["step"]
    assert complete.words(shell, "%landscape fork step l") == ["lr="]
