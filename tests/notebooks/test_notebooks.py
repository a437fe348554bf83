"""Every notebook runs from top to bottom in a real kernel, and its page is complete."""

import re
import subprocess
import sys
from math import inf
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.execute import printed

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
WIDGETS = "application/vnd.jupyter.widget-state+json"

# What a notebook prints as "name: value", and the bounds that its text claims.
CLAIMED = {
    "01_first_run": {"update norm / (lr x gradient norm) at step 0": (1 - 1e-5, 1 + 1e-5)},
    "02_edge_of_stability": {
        "lr 0.5: sharpness over 2/lr, mean of the last ten readings": (0.9, 1.15),
        "lr 0.5: the loss falls by a factor of": (20, inf),
        "lr 0.5: share of steps at which it goes up": (0.1, 1),
        "lr 0.25: sharpness over 2/lr, mean of the last ten readings": (0.9, 1.15),
        "lr 0.25: the loss falls by a factor of": (20, inf),
        "lr 0.25: share of steps at which it goes up": (0.1, 1),
        "rho 0.2: the sharpness is lower than without SAM by a factor of": (4, inf),
        "rho 0.2: last sharpness over SAM's line": (0.85, 1.25),
        "the valley: share of the steps that turn back across it": (0.7, 1),
        "the valley: curvature of the slice over the last sharpness": (0.97, 1.03),
        "the valley: it is steeper than that of SAM with rho 0.2 by a factor of": (2, inf),
        "warm-up: sharpness over its line, mean of the last ten readings": (0.9, 1.15),
        "lr 1.75, 600 steps of warm-up: the loss ends at": (0, 0.1),
        "cross-entropy: largest sharpness over 2/lr": (0, 0.99),
        "cross-entropy: last sharpness over 2/lr": (0, 0.1),
        "Adam: preconditioned sharpness over 38/lr, mean of the last ten readings": (0.85, 1.15),
    },
    "03_hessian_spectrum_batch_size": {
        "noise scale: it grows by a factor of": (10, inf),
        "distance from the start: R^2 against log t": (0.98, 1),
        "outliers at step 512": (8, 10),
        "mean_eigenvalue: standard errors apart": (0, 3),
        "mean_square: standard errors apart": (0, 3),
        "least excess of a mean batch extreme over the full one": (0, inf),
        "excess of the largest eigenvalue: worst factor from c/B": (1, 2),
    },
    "04_connectivity_and_merging": {
        "parted at 0: barrier": (0.2, 0.8),
        "parted at 0: CKA of the second hidden layer": (0.75, 0.93),
        "parted at 500: barrier": (0, 0.02),
        "parted at 2000: barrier": (0, 0.002),
        "parted at 2000: CKA of the second hidden layer": (0.93, 1),
        "width 64: matching makes the barrier smaller by a factor of": (50, inf),
        "width 256: matching makes the barrier smaller by a factor of": (50, inf),
        "shuffled copy: distance before": (1, inf),
        "shuffled copy: distance after matching": (0, 0),
        "test accuracy of the mean": (0, 0.8),
        "test accuracy of the mean after matching": (0.88, 1),
    },
    "05_stability_gap": {
        "naive: backward transfer": (-1, -0.3),
        "replay: backward transfer": (-0.07, 0),
        "replay: accuracy on the first task falls within the second by": (0.05, 0.5),
        "replay: steps to its lowest point": (1, 50),
        "replay: of that fall what is left when the second task ends": (-0.04, 0.04),
        "at the switch: length of the old task's gradient over that of the new": (0, 0.05),
        "the old task's gradient grows by a factor of": (10, inf),
        "ACC of EWC less that of naive training": (0.1, 1),
        "ACC of replay less that of EWC": (0.03, 1),
        "min-ACC of the averaged weights less that of replay": (0.01, 1),
        "naive: accuracy on the first task": (0, 0.5),
        "naive: accuracy of a probe on its last hidden layer": (0.6, 0.9),
        "untrained: accuracy of a probe on its last hidden layer": (0.6, 0.9),
        "replay: accuracy on the first task": (0.85, 1),
        "replay: accuracy of a probe on its last hidden layer": (0.9, 1),
    },
    "06_loss_of_plasticity": {
        "plain: accuracy at the end of tasks 1 to 5": (0.8, 1),
        "plain: accuracy at the end of tasks 56 to 60": (0, 0.2),
        "plain: dormant units at the end": (0.4, 1),
        "plain: effective rank of the last hidden layer at the start": (20, 64),
        "plain: effective rank of the last hidden layer at the end": (1, 2),
        "plain: accuracy of the probe from the parameters of the start": (0.6, 1),
        "plain: accuracy of the probe from the last ones measured": (0, 0.3),
        "new optimizer: accuracy, mean of the last five tasks": (0, 0.35),
        "continual backprop: accuracy, mean of the last five tasks": (0.3, 0.9),
        "L2-init: accuracy, mean of the last five tasks": (0.75, 1),
        "spectral: accuracy, mean of the last five tasks": (0.8, 1),
        "NaP: accuracy, mean of the last five tasks": (0.9, 1),
    },
}


def broken(text: str, claims: dict[str, tuple[float, float]]) -> dict[str, float | None]:
    """What is printed outside its bounds, or (None) not at all."""
    lines = dict(re.findall(r"^(.*): (-?[\d.]+(?:e[+-]?\d+)?|nan|inf)$", text, re.MULTILINE))
    values = {name: float(lines[name]) if name in lines else None for name in claims}
    return {name: v for name, v in values.items() if v is None or not claims[name][0] <= v <= claims[name][1]}


def test_a_claim_can_fail() -> None:
    claims = {"lr 1: ratio": (0.9, 1.1)}
    assert not broken("epoch 1: done\nlr 1: ratio: 1.023\n", claims)
    assert broken("lr 1: ratio: 1.2", claims) == {"lr 1: ratio": 1.2}
    assert list(broken("lr 1: ratio: nan", claims)) == ["lr 1: ratio"]
    assert broken("ratio: 1.0", claims) == {"lr 1: ratio": None}


def test_there_are_notebooks() -> None:
    assert [source.stem for source in NOTEBOOKS] == list(CLAIMED)


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_without_outputs(source: Path) -> None:
    cells = nbformat.read(source, as_version=4).cells
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_makes_its_page(source: Path, root: Path, tmp_path: Path) -> None:
    # A process of its own: a kernel client and a browser driver do not share one event loop.
    command = [sys.executable, "-m", "tests.notebooks.execute", str(source), str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    executed, page = tmp_path / source.name, tmp_path / f"{source.stem}.html"
    assert str(executed) in done.stdout
    assert str(page) in done.stdout
    assert not broken(printed(executed), CLAIMED[source.stem])
    widgets = nbformat.read(executed, as_version=4).metadata.widgets[WIDGETS]["state"]
    assert [state for state in widgets.values() if state["model_module"] == "anywidget"]
    assert "nbtk" in page.read_text(encoding="utf-8")
