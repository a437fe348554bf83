"""Rows of one instrument measured in several ways, and measurements that cannot be made."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.capture import Run
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Var, hessian_trace, instrument, landscape_slice, loss
from tests import problems


def watched(problem: problems.Problem, **options: Any) -> Run:
    probe = (torch.randn(20, 8), torch.arange(20) % 3)
    with nbtoolkit.watch(
        problem.model, problem.optimizer, instruments=[loss], loss=F.cross_entropy, probe=probe, **options
    ) as run:
        problem.train(2)
    return run


def test_the_record_says_how_each_row_was_measured(tmp_path: Any) -> None:
    problem = problems.mlp()
    run = watched(problem)
    run.measure(landscape_slice, points=3)
    run.measure(landscape_slice, points=3)
    run.measure(landscape_slice, points=3, directions="gaussian")
    run.measure(landscape_slice, points=3, extent=0.5)
    for attrs in (
        run["landscape_slice"].attrs,
        nbtoolkit.open_run(run.save(tmp_path / "a.zarr"))["landscape_slice"].attrs,
    ):
        told = [(entry["rows"], entry["settings"]["directions"]) for entry in attrs["earlier_settings"]]
        assert told == [(2, "filter"), (3, "gaussian")]
        assert attrs["settings"]["extent"] == 0.5
        assert attrs["settings"]["directions"] == "filter"


def test_an_attached_instrument_and_one_asked_for_are_told_apart() -> None:
    problem = problems.mlp()

    @instrument(outputs={"size": Var((), "1", "size")}, every=2)
    def scaled(params, /, *, factor: float = 1.0):
        """A size."""
        return {"size": factor}

    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[scaled], budget=1e9) as run:
        problem.train(3)
        run.measure(scaled, factor=5.0)
        problem.train(2)
    assert run["scaled"]["size"].values.tolist() == [1.0, 1.0, 5.0, 1.0]
    attrs = run["scaled"].attrs
    assert attrs["settings"] == {"factor": 1.0}
    assert attrs["earlier_settings"] == [
        {"rows": 2, "settings": {"factor": 1.0}},
        {"rows": 3, "settings": {"factor": 5.0}},
    ]


def test_coordinates_of_several_grids_are_in_order() -> None:
    problem = problems.mlp()
    run = watched(problem)
    run.measure(landscape_slice, points=3)
    found = run.measure(landscape_slice, points=3, extent=0.5)
    assert found["alpha"].values.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    alone = watched(problem).measure(landscape_slice, points=3, extent=0.5)
    assert alone["alpha"].values.tolist() == [-0.5, 0.0, 0.5]
    inner = found["loss_slice"].isel(step=-1).sel(alpha=[-0.5, 0.0, 0.5], beta=[-0.5, 0.0, 0.5])
    assert np.isfinite(inner.values).all()
    assert np.isnan(found["loss_slice"].isel(step=-1).sel(alpha=1.0)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points": 4}, "landscape_slice: points=4: expected an odd number"),
        ({"share": 2}, "landscape_slice: share=2"),
        ({"directions": "up"}, "landscape_slice: directions='up': expected one of"),
    ],
)
def test_what_is_asked_for_and_cannot_be_measured_is_an_error_each_time(settings: dict[str, Any], message: str) -> None:
    problem = problems.mlp()
    run = watched(problem)
    for _ in range(2):
        with pytest.raises(WatchError, match=message) as caught:
            run.measure(landscape_slice, **settings)
        assert "\n" not in str(caught.value)
    assert not len(run["landscape_slice"]["step"])
    assert not run.notes


def test_a_measurement_that_breaks_down_is_stored_as_unknown_and_warned_of() -> None:
    problem = problems.mlp()
    run = watched(problem)

    @instrument(outputs={"size": Var((), "1", "size")})
    def broken(params, /):
        """Breaks."""
        raise RuntimeError("lost")

    with pytest.warns(UserWarning, match="broken could not be measured: RuntimeError: lost"):
        found = run.measure(broken)
    assert np.isnan(found["size"].values).all()
    assert "lost" in found["size"].attrs["not_measured"]


def test_a_refused_measurement_leaves_no_curvature_behind() -> None:
    @instrument(outputs={"size": Var((), "1", "size")})
    def refusing(curvature, /):
        """Looks at the Hessian, and then refuses."""
        operator = curvature.matrix("hessian")
        operator(torch.ones(1, operator.size))
        raise ValueError("seen enough")

    def last(refused: bool) -> float:
        torch.manual_seed(0)
        problem = problems.mlp()
        probe = (torch.randn(20, 8), torch.arange(20) % 3)
        with nbtoolkit.watch(
            problem.model, problem.optimizer, instruments=[loss], loss=F.cross_entropy, probe=probe
        ) as run:
            problem.train(2)
            if refused:
                with pytest.raises(WatchError, match="seen enough"):
                    run.measure(refusing)
            with torch.no_grad():
                for param in problem.model.parameters():
                    param.mul_(1.5)
            return float(run.measure(hessian_trace)["trace"][-1])

    assert last(refused=True) == last(refused=False)
