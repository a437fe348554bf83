"""Cells of the notebooks under test."""

import json
from typing import Any

SETUP = """
import json
from pathlib import Path
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

%load_ext nbtoolkit
digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
y = torch.tensor(digits.target)
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
"""

# An ordinary loop; the test decides when it has seen enough.
LOOP = """while not Path("enough").exists():
    for rows in torch.randperm(len(x)).split(64):
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = loss.item()
"""

TRAIN = f"%%landscape -v run\n{LOOP}"

# The same, and it tells after each step how far it is and at which learning rate.
TOLD = f"""%%landscape -v run --probe x,y --loss F.cross_entropy
import os, time
made = 0
{LOOP}        made += 1
        Path("telling").write_text(json.dumps([made, optimizer.param_groups[0]["lr"]]))
        os.replace("telling", "told")
"""

ASK = """
measured = run["loss"]["loss"]
print(json.dumps({
    "done": run.status().step, "step": int(measured.step[-1]), "loss": float(measured[-1]), "last": last,
    "state": run.state,
}))
"""


def answer(outputs: list[dict[str, Any]]) -> dict[str, Any]:
    """What `ASK` printed."""
    return json.loads("".join(output["text"] for output in outputs if output["output_type"] == "stream"))
