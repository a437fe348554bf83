"""What a running ``%%landscape --forkable`` cell is not forked for: open files, a model that is no module."""

import gc
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from torch.optim.optimizer import register_optimizer_step_post_hook

from nbtoolkit.capture import controls
from nbtoolkit.capture.forking import Fork
from nbtoolkit.errors import WatchError
from tests.capture.outside import elsewhere

LOOP = """
net = nn.Linear(3, 1)
adam = torch.optim.Adam(net.parameters(), lr=0.02)
for k in range(8):
    adam.zero_grad()
    net(torch.ones(2, 3)).square().mean().backward()
    adam.step()
"""
OPEN = "is open for writing since before it, and would be written twice; open it within the cell."


@pytest.fixture
def asked(shell: InteractiveShell) -> Iterator[Callable[[str], list[tuple[bool, str]]]]:
    """Runs a cell whose run is asked for a fork of 2 steps after the third step: what was answered."""
    told: list[tuple[bool, str]] = []
    offered: list[str] = []  # on the Board: why not

    def act(*_: Any) -> None:
        run = shell.user_ns["run"]
        if run is not None and run.twin is None and run.step == 2 and not told:
            said = json.loads(controls.described(run))["fork"]
            try:
                elsewhere(lambda: run.control.give(Fork(steps=2), lambda *what: told.append(what)))
            except WatchError as error:
                told.append((False, str(error)))
            offered.append(said)

    handle = register_optimizer_step_post_hook(act)

    def run_cell(cell: str) -> list[tuple[bool, str]]:
        told.clear()
        offered.clear()
        shell.user_ns["run"] = None
        shell.run_cell(f"%%landscape -q -v run --forkable\n{cell}").raise_error()
        done, text = told[0]
        assert f"adam {offered[0]}." == text or (done and not offered[0])
        return list(told)

    yield run_cell
    handle.remove()


@pytest.mark.parametrize(
    ("before", "writes", "name"),
    [
        ("f = open('log.txt', 'w')", "    f.write(f'{k} ')", "f"),
        ("f = open('log.txt', 'w'); write = f.write", "    write(f'{k} ')", "write"),
        ("f = open('log.txt', 'w'); held = {'file': f}", "    held['file'].write(f'{k} ')", "held[file]"),
        ("f = open('log.txt', 'w')\ndef say(k): print(k, end=' ', file=f)", "    say(k)", "f"),
        ("import csv; f = open('log.txt', 'w'); w = csv.writer(f, lineterminator=' ')", "    w.writerow([k])", "w"),
    ],
)
def test_a_file_that_was_open_before_is_not_written_twice(
    shell: InteractiveShell, asked: Any, before: str, writes: str, name: str
) -> None:
    shell.run_cell(before).raise_error()
    told = asked(f"{LOOP}{writes}\nf.close()")
    assert told == [(False, f"adam needs a cell that can be run again while it runs: {name} {OPEN}")]
    assert Path("log.txt").read_text().split() == [str(k) for k in range(8)]
    assert asked(LOOP.replace("net", "other")) == [(True, "forked at step 3: adam fork@3, 2 steps")]


@pytest.mark.filterwarnings("ignore:unclosed file")  # that of the fork
def test_the_screen_a_log_and_files_of_the_cell_itself_are_in_no_way(shell: InteractiveShell, asked: Any) -> None:
    before = """
import io, logging, sys, tempfile
out, err, raw = sys.stdout, sys.stderr, sys.__stdout__
log = logging.getLogger('training')
log.addHandler(logging.FileHandler('training.log'))
done, read = open('done.txt', 'w'), open('done.txt')
done.close()
"""
    shell.run_cell(before).raise_error()
    assert sys.__stdout__ is not None
    cell = f"mine = open('mine.txt', 'w')\n{LOOP}    mine.write(f'{{k}} ')\n    log.info(k)\nout, err, raw, done, read;"
    fine = [(True, "forked at step 3: adam fork@3, 2 steps")]
    assert asked(cell) == fine
    assert asked(cell) == fine  # mine is still open, and another one is opened
    shell.run_cell("read.close(); log.handlers.pop().close()").raise_error()
    for one in gc.get_objects():  # also those that only the cell's start remembers
        if type(one) is io.TextIOWrapper and one.name == "mine.txt":
            one.close()


def test_a_model_that_is_no_module_is_offered_no_fork(asked: Any) -> None:
    cell = LOOP.replace("nn.Linear(3, 1)", "torch.ones(3, 1, requires_grad=True)").replace("net.parameters()", "[net]")
    told = asked(cell.replace("net(torch.ones(2, 3))", "(torch.ones(2, 3) @ net)"))
    assert [done for done, _ in told] == [False]
    assert "adam needs a model that is a module" in told[0][1]
