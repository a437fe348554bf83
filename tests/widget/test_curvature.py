"""What a browser is told of curvature: bands, lines and spectra, and which of it is open at first."""

import json
from typing import Any

import numpy as np
import pytest

from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from nbtoolkit.widget.figures import describe
from nbtoolkit.widget.picture import picture
from tests.analysis.ritz import VARIABLES, bulk, quadrature

SHARPNESS = {
    "sharpness": Var((), "loss/param^2", "largest Hessian eigenvalue", error="bound", line="edge"),
    "bound": Var((), "loss/param^2", "bound"),
    "edge": Var((), "loss/param^2", "edge of stability"),
    "ratio": Var((), "1", "instability ratio", line=1.0),
    "layers": Var(("layer",), "1", "by layer", error="layers_error"),
    "layers_error": Var(("layer",), "1", "error by layer"),
}


def panels_of(record: Record) -> dict[str, dict[str, Any]]:
    return {panel["id"]: panel for panel in json.loads(describe(record))["panels"]}


@pytest.fixture
def curved(run) -> Any:
    """A run with curvature."""
    run.train(30)
    columns = run.record.group("sharpness", SHARPNESS)
    values = {"sharpness": np.arange(3.0), "bound": np.ones(3), "edge": np.full(3, 2.5), "ratio": np.ones(3)}
    columns.append([0, 10, 20], values, {"layer": ["a", "b"]})
    value, weight = quadrature(np.r_[bulk(60), 30.0], 3, 12)
    spectra = run.record.group("density", VARIABLES, {"definition": "Lanczos quadrature."})
    rows = {"ritz_value": np.array([value] * 2), "ritz_weight": np.array([weight] * 2)}
    spectra.append([0, 20], rows, {"probe": [0, 1, 2], "node": list(range(12))})
    return run


def test_lines_carry_the_keys_of_their_error_and_of_what_they_are_read_against(curved) -> None:
    told = panels_of(curved.record)
    (line,) = told["sharpness/sharpness"]["lines"]
    assert line["error"] == {"key": "sharpness/bound", "column": 0}
    assert line["line"] == {"key": "sharpness/edge", "column": 0, "label": "edge of stability"}
    (ratio,) = told["sharpness/ratio"]["lines"]
    assert (ratio["error"], ratio["line"]) == (None, 1.0)
    assert [one["error"]["column"] for one in told["sharpness/layers"]["lines"]] == [0, 1]
    assert not {"sharpness/bound", "sharpness/edge", "sharpness/layers_error"} & set(told)


def test_only_figures_that_need_them_have_bands_and_lines(curved) -> None:
    told = json.loads(describe(curved.record))
    forms = {panel["id"]: panel["forms"].get("linear") for panel in told["panels"]}
    assert forms["sharpness/sharpness"] == "curves-1-linear-error-line"
    assert forms["sharpness/ratio"] == "curves-1-linear-line"
    assert forms["loss/loss"] == "curves-1-linear"
    for form, parts in (("curves-1-linear-error-line", 2), ("curves-1-linear-line", 1), ("curves-1-linear", 0)):
        assert sum(name in json.dumps(told["figures"][form]) for name in ('"band0"', '"end_labels"')) == parts
    assert max(len(json.dumps(figure)) for figure in told["figures"].values()) < 16_000


def test_ritz_values_are_two_panels_told_in_few_words(curved) -> None:
    told = panels_of(curved.record)
    spectrum, evolution = told["density/ritz_value"], told["density/ritz_value/evolution"]
    assert (spectrum["kind"], evolution["kind"]) == ("spectrum", "evolution")
    assert spectrum["title"] == "Hessian eigenvalue density"
    assert evolution["title"] == "Hessian eigenvalue density over steps"
    assert (set(spectrum["forms"]), set(evolution["forms"])) == ({"linear", "log"}, {"log"})
    assert spectrum["scale"] == "log"
    assert spectrum["definition"].startswith("Lanczos quadrature.\n\nEach Ritz value is spread")
    for panel in (spectrum, evolution):
        assert [line["key"] for line in panel["lines"]] == ["density/ritz_value", "density/ritz_weight"]
        assert panel["sizes"] == [3, 12]


def test_spectra_are_told_of_once_they_have_labels(run) -> None:
    run.train(1)
    run.record.group("density", VARIABLES)
    assert not [panel for panel in panels_of(run.record) if panel.startswith("density")]
    assert "spectrum-1-log" in json.loads(describe(run.record))["figures"]


def test_sharpness_spectrum_and_evolution_are_among_at_most_eight_panels_open(curved) -> None:
    norms = curved.record.groups["grad_norm"].variables
    for i, name in enumerate(["lr", "update_ratio", "weight_norm", "step_time"]):
        more = curved.record.group(name, norms)
        more.append([0], {"total": np.ones(1), "norm": np.ones((1, 1))}, {"param": ["a"]})
        curved.record.group(f"own{i}", {"v": norms["total"]}, {"reference": "run.log"})
    shown = [key for key, panel in panels_of(curved.record).items() if panel["shown"]]
    assert shown == [
        "loss/loss", "sharpness/sharpness", "sharpness/layers", "density/ritz_value", "density/ritz_value/evolution",
        "grad_norm/total", "lr/total", "own0/v",
    ]  # fmt: skip


def test_the_still_picture_shows_them(curved) -> None:
    png = picture(curved, ["sharpness", "density"])
    assert png is not None
    assert len(png) > 10_000
