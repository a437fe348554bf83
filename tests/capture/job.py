"""A training job without a notebook, for tests that follow it: ``python -m tests.capture.job FOLDER STEPS``.

It reads lines from its input: ``go`` begins the training in a child process, from the last checkpoint if there is one,
and answers the child's process id. The child is forked, so that twenty starts cost one import.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

import nbtoolkit
import nbtoolkit.store.files  # once, in the parent

SAVED = 20  # steps between checkpoints
PACE = 0.005  # seconds of a step, until there is a file ``hurry``


class Training:
    """A small training that goes on where its checkpoint was saved, bit for bit.

    Args:
        folder: of the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.folder = folder
        self.model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.x, self.y = torch.randn(16, 6), torch.randint(0, 3, (16,))
        self.done = 0
        if (folder / "checkpoint").exists():
            self.done, model, optimizer = torch.load(folder / "checkpoint")
            self.model.load_state_dict(model)
            self.optimizer.load_state_dict(optimizer)

    def step(self) -> float:
        """Make a step; its loss."""
        loss = F.cross_entropy(self.model(self.x), self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.done += 1
        if self.done % SAVED == 0:
            state = (self.done, self.model.state_dict(), self.optimizer.state_dict())
            torch.save(state, self.folder / "saving")
            os.replace(self.folder / "saving", self.folder / "checkpoint")
        return loss.item()


def train(folder: Path, steps: int) -> None:
    """Train to the end, watched; tells in ``loaded`` and ``told`` what was imported and what was done."""
    training = Training(folder)
    screens = [name for name in ("IPython", "ipykernel", "bokeh", "anywidget", "ipywidgets") if name in sys.modules]
    (folder / "loaded").write_text(json.dumps(screens))
    run = nbtoolkit.watch(
        training.model, training.optimizer, store=folder / "run.zarr", step=training.done, commands=True, name="job",
        probe=(training.x, training.y), loss=F.cross_entropy,
        instruments=[nbtoolkit.instruments.loss, nbtoolkit.instruments.lr],
    )  # fmt: skip
    rates, pace = [], PACE
    try:
        with run:
            while training.done < steps:
                rates.append(training.optimizer.param_groups[0]["lr"])
                training.step()
                pace = 0 if training.done % SAVED == 0 and (folder / "hurry").exists() else pace
                time.sleep(pace)
    finally:
        screens += [name for name in ("IPython", "bokeh") if name in sys.modules]
        (folder / "told").write_text(json.dumps([training.done, rates, run.commands, screens]))


def main() -> None:
    """Serve until the input ends."""
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                train(folder, steps)
                code = 0
            except nbtoolkit.TrainingStopped:
                code = 7
            finally:
                os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
