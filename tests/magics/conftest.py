"""A shell of IPython with the extension loaded, and what it printed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from torch.optim.optimizer import register_optimizer_step_post_hook


@pytest.fixture
def shell(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False  # type: ignore[union-attr]
    shell.colors = "nocolor"
    shell.run_line_magic("load_ext", "nbtoolkit")
    shell.run_cell(PREPARE).raise_error()
    yield shell
    shell.run_line_magic("unload_ext", "nbtoolkit")
    shell.history_manager.end_session()  # type: ignore[union-attr]
    InteractiveShell.clear_instance()


PREPARE = """
import torch
from torch import nn
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(16, 3)
def step():
    optimizer.zero_grad()
    model(x).pow(2).mean().backward()
    optimizer.step()
"""


@pytest.fixture
def message(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Runs a cell that must fail as a usage error; gives its one line."""

    def run(cell: str) -> str:
        capsys.readouterr()
        result = shell.run_cell(cell)
        assert type(result.error_in_exec).__name__ == "UsageError"
        text = "".join(capsys.readouterr())
        assert "Traceback" not in text
        lines = [line for line in text.splitlines() if line]
        assert len(lines) == 1
        return lines[0]

    return run


@pytest.fixture
def outside() -> Iterator[Callable[[Any], None]]:
    """Does something after each step of any optimizer."""
    handles: list[Any] = []
    yield lambda act: handles.append(register_optimizer_step_post_hook(lambda *_: act()))
    for handle in handles:
        handle.remove()
