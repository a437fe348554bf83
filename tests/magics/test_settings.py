"""Cadences and settings as they are written on a line."""

from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell


def value(shell: InteractiveShell, cell: str) -> Any:
    result = shell.run_cell(cell)
    result.raise_error()
    return result.result


def test_an_instrument_may_have_a_cadence_of_its_own(shell: InteractiveShell) -> None:
    cell = "%%landscape model optimizer -q -o -i loss:2 -i lr --every 3\nfor _ in range(7): step()"
    run = value(shell, cell)
    assert run["loss"]["step"].values.tolist() == [0, 2, 4, 6]
    assert run["lr"]["step"].values.tolist() == [0, 3, 6]


def test_every_alone_is_for_the_default_set(shell: InteractiveShell) -> None:
    run = value(shell, "%%landscape model optimizer -q -o --every 4\nfor _ in range(7): step()")
    assert {tuple(run[name]["step"].values) for name in ("loss", "grad_norm", "lr")} == {(0, 4)}


@pytest.mark.parametrize(
    ("word", "complaint"),
    [("loss:often", "'often' is no variable"), ("loss:0", "every=0, expected"), ("los:5", "no instrument 'los'")],
)
def test_a_cadence_that_is_none_is_refused(message: Callable[[str], str], word: str, complaint: str) -> None:
    assert complaint in message(f"%landscape watch model optimizer -i {word}")


@pytest.mark.parametrize(("written", "expected"), [("layer", "layer"), ("kind", "gaussian"), ("'layer'", "layer")])
def test_a_word_is_itself_where_words_are_expected(shell: InteractiveShell, written: str, expected: str) -> None:
    shell.run_cell("kind = 'gaussian'\ny = torch.randn(16, 1)\nfrom torch.nn import functional as F").raise_error()
    shell.run_cell("%%landscape model optimizer -q -v run\nstep()").raise_error()
    probe = "--loss F.mse_loss --probe x,y"
    value(shell, f"%landscape measure landscape_slice -q points=7 directions={written} {probe}")
    assert shell.user_ns["run"]["landscape_slice"].attrs["settings"]["directions"] == expected


def test_a_word_that_is_no_choice_is_a_line(shell: InteractiveShell, message: Callable[[str], str]) -> None:
    shell.run_cell("%%landscape model optimizer -q -v run\nstep()").raise_error()
    assert "'many' is no variable" in message("%landscape measure trajectory_pca components=many")


def test_the_statistics_of_a_barrier_are_a_word(shell: InteractiveShell) -> None:
    shell.run_cell("y = torch.randn(16, 1)\nfrom torch.nn import functional as F").raise_error()
    shell.run_cell("%%landscape model optimizer -q -v run\nstep()").raise_error()
    line = "%landscape measure linear_barrier -q other=model points=3 statistics=frozen --loss F.mse_loss --probe x,y"
    value(shell, line)
    assert shell.user_ns["run"]["linear_barrier"].attrs["settings"]["statistics"] == "frozen"


def test_an_expression_must_have_a_name(shell: InteractiveShell, message: Callable[[str], str]) -> None:
    shell.run_cell("%%landscape -q -v run\nstep()").raise_error()
    assert "'(a,b)' is neither a literal nor a name" in message("%landscape measure landscape_slice directions=(a,b)")
