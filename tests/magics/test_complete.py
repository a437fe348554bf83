"""TAB: what it offers, and that it never loads anything or raises."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbtoolkit.magics import complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%landscape ", {"watch", "show", "open", "measure", "fork", "list", "save", "export", "stop", "task",
                             "pause", "resume", "advance", "lr", "every", "diagnose"}),
        ("%landscape s", {"show", "save", "stop"}),
        ("%landscape watch ", {"model"}),
        ("%landscape watch model o", {"optimizer"}),
        ("%landscape watch model optimizer --", {"--instrument", "--every", "--loss", "--probe", "--budget", "--store",
                                                 "--tasks", "--output", "--variable", "--quiet", "--help"}),
        ("%landscape watch model optimizer -i grad", {"grad_norm", "gradient_conflict", "gradient_noise_scale"}),
        ("%landscape measure weight", {"weight_norm", "weight_stats"}),
        ("%%landscape mod", {"model"}),
        ("%%landscape --st", {"--store"}),
        ("%landscape save ", set()),
    ],
)  # fmt: skip
def test_what_is_offered(shell: InteractiveShell, line: str, offered: set[str]) -> None:
    import nbtoolkit.instruments  # noqa: F401 - what the shelf offers once it is loaded

    assert set(complete.words(shell, line)) == offered


def test_settings_of_an_instrument_of_the_notebook(shell: InteractiveShell) -> None:
    shell.run_cell(
        "from nbtoolkit import Var, instrument\n"
        "@instrument(outputs={'v': Var((), '1', 'v')})\n"
        "def mine(params, /, *, depth=1, width=2): ...\n"
    ).raise_error()
    assert complete.words(shell, "%landscape measure mine ") == ["depth=", "width="]


def test_show_offers_what_was_measured(shell: InteractiveShell) -> None:
    shell.run_cell("%%landscape -q -i loss -i lr\nstep()").raise_error()
    assert complete.words(shell, "%landscape show l") == ["loss", "lr"]


def test_an_error_while_typing_is_silent(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: object) -> list[str]:
        raise RuntimeError("broken")

    monkeypatch.setattr(complete, "words", broken)
    assert complete._complete(shell, type("Event", (), {"line": "%landscape s"})) == []
