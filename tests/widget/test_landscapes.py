"""What a browser is told of planes, lines, matrices and paths, and which of them are open at first."""

import json
from typing import Any

import numpy as np
import pytest

from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import messages
from nbtoolkit.widget.choice import all_panels, first_panels
from nbtoolkit.widget.figures import describe, shape, title
from nbtoolkit.widget.picture import picture
from tests.panels.landscapes import LAYERS, SLICE, add_slices, grid, record
from tests.widget.test_messages import received


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    """The panels of a run with everything, by their ids."""
    return {panel["id"]: panel for panel in json.loads(describe(record()))["panels"]}


def test_a_plane_is_told_once_with_its_coordinates_as_numbers(told: dict[str, dict[str, Any]]) -> None:
    plane, surface = told["landscape_slice/loss_slice"], told["landscape_slice/loss_slice/surface"]
    labels = np.linspace(-1, 1, 25).tolist()
    assert (plane["kind"], surface["kind"]) == ("landscape", "surface")
    for panel in (plane, surface):
        assert panel["dims"] == ["alpha", "beta"]
        assert panel["coords"] == {"alpha": labels, "beta": labels}
        assert panel["path"] == {"key": "landscape_slice/path", "components": 2}
        assert [line["key"] for line in panel["lines"]] == ["landscape_slice/loss_slice"]
        assert panel["scale"] == "log"
        assert set(panel["forms"]) == {"linear", "log"}
    assert told["landscape_slice/error_slice"]["path"] is None
    assert surface["title"] == "loss around the parameters, as a surface"
    assert "Every cell is one evaluation" in plane["definition"]
    assert len(json.dumps(plane)) < 4000  # not a line for every value


def test_lines_matrices_and_paths_know_of_the_steps_of_copies(told: dict[str, dict[str, Any]]) -> None:
    paths = told["landscape_slice/path_loss"]
    assert (paths["kind"], paths["steps"], paths["dims"]) == ("profile", "landscape_slice/snapshot_step", ["snapshot"])
    assert [line["label"] for line in paths["lines"]] == ["loss on the path", "loss in the plane below"]
    assert paths["forms"]["linear"] == "profile-2-linear"
    assert told["barrier_matrix/barriers"]["steps"] == "barrier_matrix/snapshot_step"
    assert told["trajectory_pca/coordinates"]["steps"] == "trajectory_pca/snapshot_step"
    assert set(told["trajectory_pca/coordinates"]["forms"]) == {"linear"}
    layers = told["feature_similarity/layer_cka"]
    assert (layers["kind"], layers["steps"]) == ("matrix", None)
    assert layers["coords"] == {"layer": LAYERS, "layer_other": LAYERS}
    assert told["linear_barrier/path_before"]["steps"] is None
    assert not [key for key in told if key.endswith(("/path", "/snapshot_step"))]


def test_other_labels_are_told_even_if_there_are_as_many() -> None:
    made = Record()
    columns = made.group("slice", {"loss_slice": SLICE["error_slice"]})
    columns.append([0], {"loss_slice": np.ones((1, 3, 3))}, {"alpha": [-1, 0, 1], "beta": [-1, 0, 1]})
    before = shape(made)
    assert shape(made) == before
    columns.labels["alpha"][0] = -2.0
    assert shape(made) != before


def test_figures_of_planes_are_shared_and_small() -> None:
    figures = json.loads(describe(record()))["figures"]
    kinds = {form.split("-")[0] for form in figures}
    assert {"landscape", "surface", "profile", "matrix", "trajectory"} <= kinds
    assert max(len(json.dumps(figure)) for figure in figures.values()) < 28_000


def test_the_loss_the_plane_and_one_of_each_kind_are_open_but_no_surface() -> None:
    made = record()
    shown = [title(panel) for panel in first_panels(all_panels(made))]
    assert shown == [
        "training loss", "loss around the parameters", "loss before matching · after matching", "barrier",
        "barriers between copies", "similarity between layers", "path of training in its principal plane",
        "share of the squared distance · share that a random walk would show",
    ]  # fmt: skip
    named = [title(panel) for panel in first_panels(all_panels(made), ["landscape_slice"])]
    assert named == [
        "loss around the parameters",
        "loss around the parameters, as a surface",
        "error around the parameters",
        "loss on the path · loss in the plane below",
    ]


def test_what_was_not_measured_is_not_open_but_what_is_being_measured_is() -> None:
    made = Record()
    columns = made.group("landscape_slice", SLICE)
    labels, values = grid(5)
    columns.widen({"alpha": labels, "beta": labels, "snapshot": [0, 1], "pc": [1, 2]})
    assert [panel[2] for panel in first_panels(all_panels(made), ["landscape_slice"])] == [
        ("loss_slice",),
        ("loss_slice",),  # as a surface
        ("error_slice",),
    ]
    before = shape(made)
    columns.append([0], {"loss_slice": values[None]})
    assert [panel[2] for panel in first_panels(all_panels(made), ["landscape_slice"])] == [("loss_slice",)] * 2
    assert shape(made) != before


def test_labels_of_any_kind_can_be_told() -> None:
    made = Record()
    var = Var(("alpha",), "loss", "loss")
    labels = [np.float32(0.5), np.int64(1), 0]
    made.group("line", {"loss": var}).append([0], {"loss": np.ones((1, 3))}, {"alpha": labels})
    (panel,) = json.loads(describe(made))["panels"]
    assert panel["coords"] == {"alpha": [0.5, 1.0, 0.0]}


def test_rows_that_are_drawn_together_are_kept_together() -> None:
    made = Record()
    add_slices(made, tuple(range(700)), points=13)
    steps, values = made.groups["landscape_slice"].rows()
    got = received(messages.reset(made, {}, 1, {}))
    kept = got["landscape_slice/loss_slice"][0]
    assert len(kept) <= messages.SCREEN < len(steps)
    assert kept[-1] == 699
    for name in ("loss_slice", "error_slice", "path"):
        at, rows = got[f"landscape_slice/{name}"]
        np.testing.assert_array_equal(at, kept)
        np.testing.assert_array_equal(rows, values[name][kept.astype(int)].reshape(len(kept), -1))


def test_the_widest_planes_are_sent_whole() -> None:
    made = Record()
    add_slices(made, (0, 500, 1000), points=49)
    got = received(messages.append(made, {}, 1, {}))
    np.testing.assert_array_equal(got["landscape_slice/loss_slice"][0], [0, 500, 1000])
    assert got["landscape_slice/loss_slice"][1].shape == (3, 49**2)


@pytest.mark.parametrize("names", [None, ["landscape_slice"], ["linear_barrier", "barrier_matrix"], ["trajectory_pca"]])
def test_the_still_picture_shows_them(names: list[str] | None) -> None:
    png = picture(Finished(record()), names)
    assert png is not None
    assert len(png) > 8_000


def test_the_still_picture_shows_what_is_not_finite() -> None:
    images = []
    for value in (1.0, np.inf):
        made = Record()
        labels, values = grid(5)
        values[1, 1] = value
        columns = made.group("slice", {"loss_slice": Var(("alpha", "beta"), "loss", "loss")})
        columns.append([0], {"loss_slice": values[None]}, {"alpha": labels, "beta": labels})
        images.append(picture(Finished(made)))
    assert images[0] != images[1]


class Finished:
    """A run that holds a record."""

    def __init__(self, record: Record) -> None:
        self.record = record
