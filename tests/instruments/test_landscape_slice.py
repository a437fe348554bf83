"""The slice of the landscape: orientation, invariance, paths, and training that does not see it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import LossAt, Trajectory, landscape_slice, top_eigenvalues
from nbtoolkit.numerics.curvature import Curvature
from nbtoolkit.numerics.statistics import with_statistics
from tests import problems
from tests.capture.test_bit_for_bit import differences, everything

NONE = Trajectory()


def classifier(seed: int = 0) -> tuple[nn.Sequential, LossAt]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    x, y = torch.randn(40, 6).double(), torch.arange(40) % 3
    return model, LossAt(model, (x, y), F.cross_entropy)


def params(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def at(loss_at: LossAt, theta: dict[str, Tensor], *moves: tuple[float, dict[str, Tensor]]) -> float:
    for coordinate, direction in moves:
        theta = theta | {name: theta[name] + coordinate * part for name, part in direction.items()}
    with torch.no_grad():
        return float(loss_at(theta))


def test_every_value_lies_at_its_own_alpha_and_beta() -> None:
    model, loss_at = classifier()
    theta = params(model)
    pair = [{name: 0.3 * torch.randn_like(part) for name, part in theta.items()} for _ in range(2)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with nbtoolkit.watch(model, optimizer, loss=F.cross_entropy, probe=loss_at.weighted()[0][1]) as run:
        run.measure(landscape_slice.using(points=7, extent=1.5, directions=tuple(pair)))
    found: Any = run["landscape_slice"].isel(step=0)
    assert found["loss_slice"].dims == ("alpha", "beta")
    np.testing.assert_allclose(found["alpha"], np.linspace(-1.5, 1.5, 7), atol=1e-15)
    for a in found["alpha"].values:
        for b in found["beta"].values:
            value = float(found["loss_slice"].sel(alpha=a, beta=b))
            assert value == pytest.approx(at(loss_at, theta, (a, pair[0]), (b, pair[1])), rel=1e-10)
    assert float(found["loss_slice"].sel(alpha=0, beta=0)) == at(loss_at, theta)
    values = found["loss_slice"].values  # none of its own mirror images
    for image in (values.T, values[::-1], values[:, ::-1]):
        assert np.abs(values - image).max() > 0.01
    assert float(found["alpha_length"]) == pytest.approx(math.sqrt(sum(float((p**2).sum()) for p in pair[0].values())))


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_centre_is_the_loss_of_the_probe_to_the_last_bit(name: str) -> None:
    problem = problems.ALL[name]()
    problem.train(2)
    x = torch.randn(32, 8) if name == "mlp" else torch.randn(32, 1, 8, 8)
    loss_at = LossAt(problem.model, (x, torch.arange(32) % 3), F.cross_entropy)
    for statistics in ("frozen", "reestimated", "as trained"):
        found = landscape_slice(loss_at, params(problem.model), NONE, points=5, statistics=statistics)
        with torch.no_grad():
            wanted = with_statistics(loss_at, statistics)(params(problem.model))
        assert found["loss_slice"][2, 2] == float(wanted)
    with torch.no_grad():
        live = F.cross_entropy(problem.model.eval()(x), torch.arange(32) % 3)
    assert landscape_slice(loss_at, params(problem.model), NONE, points=5)["loss_slice"][2, 2] == float(live)


def test_rescaled_layers_have_the_same_slice() -> None:
    slices: dict[str, list[np.ndarray]] = {"filter": [], "gaussian": []}
    for factor in (1.0, 3.0):
        model, loss_at = classifier()
        with torch.no_grad():
            for name, scale in (("0.weight", factor), ("0.bias", factor), ("2.weight", 1 / factor)):
                model.get_parameter(name).mul_(scale)
        for directions, found in slices.items():
            extent = 1.0 if directions == "filter" else 0.1
            settings: dict[str, Any] = {"points": 7, "directions": directions, "extent": extent}
            found.append(landscape_slice(loss_at, params(model), NONE, **settings)["loss_slice"])
    np.testing.assert_allclose(*slices["filter"], rtol=1e-10)
    assert np.abs(slices["gaussian"][0] / slices["gaussian"][1] - 1).max() > 0.01


def test_what_is_infinite_stays_so() -> None:
    model = nn.Linear(2, 1, bias=False).double()
    loss_at = LossAt(model, lambda m: -torch.log(m.weight.sum() - 0.5))
    with torch.no_grad():
        model.weight.fill_(1.0)
    pair = tuple({"weight": torch.tensor([row]).double()} for row in ([1.0, 0.0], [0.0, 1.0]))
    found = landscape_slice(loss_at, params(model), NONE, points=5, directions=pair, extent=1.5)["loss_slice"]
    along = np.linspace(-1.5, 1.5, 5)
    with np.errstate(all="ignore"):
        wanted = -np.log(1.5 + along[:, None] + along)
    assert np.isnan(wanted).any()
    assert np.isinf(wanted).any()
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_biases_are_moved_only_on_demand() -> None:
    model, loss_at = classifier()
    with torch.no_grad():
        for name, param in model.named_parameters():
            if "bias" not in name:
                param.zero_()
    with pytest.raises(ValueError, match="direction 1 has length 0"):
        landscape_slice(loss_at, params(model), NONE, points=3)
    assert landscape_slice(loss_at, params(model), NONE, points=3, biases=True)["alpha_length"] > 0


def test_the_path_of_training_lies_on_the_slice() -> None:
    problem = problems.mlp(dtype=torch.float64)
    probe = (torch.randn(20, 8).double(), torch.arange(20) % 3)
    copies = []
    quick = landscape_slice.using(every=3, points=3, directions="trajectory")
    with nbtoolkit.watch(
        problem.model, problem.optimizer, loss=F.cross_entropy, probe=probe, instruments=[quick], budget=1e9
    ) as run:
        for _ in range(5):
            copies.append({name: part.clone() for name, part in params(problem.model).items()})
            problem.train(3)
        run.measure(quick.using(points=7, extent=2.0))
    copies.append(params(problem.model))
    found: Any = run["landscape_slice"].isel(step=-1)
    path = found["path"].values[: len(copies)]
    assert np.isnan(found["path"].values[len(copies) :]).all()
    assert found["snapshot_step"].values[: len(copies)].tolist() == [0, 3, 6, 9, 12, 15]
    assert path[-1].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(np.abs(path).max(0), 2.0 / 1.2, rtol=1e-12)
    loss_at = LossAt(problem.model, probe, F.cross_entropy)
    for copy, value in zip(copies, found["path_loss"].values, strict=False):
        assert value == pytest.approx(at(loss_at, copy), rel=1e-12)
    # Pythagoras: what is not along the plane is the distance from it.
    scales = np.array([float(found["alpha_length"]), float(found["beta_length"])])
    assert abs(float(found["direction_cosine"])) < 1e-6
    far = [math.sqrt(sum(float(((c[n] - copies[-1][n]) ** 2).sum()) for n in c)) for c in copies]
    within = np.sqrt(((path * scales) ** 2).sum(1) + found["path_distance"].values[: len(copies)] ** 2)
    np.testing.assert_allclose(within, far, rtol=1e-6, atol=1e-9)
    centre = float(found["loss_slice"].sel(alpha=0, beta=0))
    plane, true = found["plane_loss"].values, found["path_loss"].values
    assert plane[len(copies) - 1] == true[len(copies) - 1] == centre
    assert not np.allclose(plane[: len(copies)], true[: len(copies)], rtol=1e-6)


def test_eigenvectors_have_length_one_and_show_the_curvature() -> None:
    model, loss_at = classifier()
    found = landscape_slice(loss_at, params(model), NONE, points=3, extent=1e-3, directions="eigenvectors")
    curvature = Curvature(dict(model.named_parameters()), loss_at)
    values = top_eigenvalues(curvature, {}, top=2, tolerance=1e-6)["eigenvalue"]
    assert found["alpha_length"] == pytest.approx(1)
    assert abs(found["direction_cosine"]) < 1e-6
    surface = found["loss_slice"]
    bends = [surface[0, 1] - 2 * surface[1, 1] + surface[2, 1], surface[1, 0] - 2 * surface[1, 1] + surface[1, 2]]
    np.testing.assert_allclose(np.array(bends) / 1e-6, values, rtol=0.02)


def test_two_models_lie_on_the_plane_through_them() -> None:
    (model, loss_at), (second, _), (third, _) = classifier(), classifier(1), classifier(2)
    found = landscape_slice(loss_at, params(model), NONE, points=3, directions=(second, third))
    assert found["path"].shape == (64, 2)
    np.testing.assert_allclose(found["path"][2], 0, atol=1e-12)
    assert np.nanmax(np.abs(found["path"])) == pytest.approx(1 / 1.2)
    assert found["alpha_length"] == pytest.approx(found["beta_length"])
    losses = [at(loss_at, params(one)) for one in (second, third, model)]
    np.testing.assert_allclose(found["path_loss"][:3], losses, rtol=1e-10)


def test_without_a_path_it_says_why() -> None:
    model, loss_at = classifier()
    raw = landscape_slice.measure(loss_at, params(model), NONE, points=3)
    assert "only the planes of a trajectory" in raw["path"].reason
    assert "hides the outputs" in landscape_slice.measure(
        LossAt(model, lambda m: m[0].weight.square().sum()), params(model), NONE, points=3
    )["error_slice"].reason  # fmt: skip


def test_only_what_is_trained_is_moved() -> None:
    model, loss_at = classifier()
    model[0].requires_grad_(False)
    pair = tuple({"0.weight": torch.randn(10, 6)} for _ in range(2))
    with pytest.raises(ValueError, match=r"moves '0\.weight', which is no trained parameter"):
        landscape_slice(loss_at, params(model), NONE, points=3, directions=pair)
    alone = landscape_slice(loss_at, params(model), NONE, points=3)["alpha_length"]
    weights = [param for name, param in model.named_parameters() if param.ndim == 2 and not name.startswith("0.")]
    assert alone == pytest.approx(math.sqrt(sum(float(w.detach().square().sum()) for w in weights)))


def test_the_first_steps_have_no_plane_of_their_path_yet() -> None:
    problem = problems.mlp()
    probe = (torch.randn(20, 8), torch.arange(20) % 3)
    item = landscape_slice.using(every=2, points=3, directions="trajectory")
    with nbtoolkit.watch(
        problem.model, problem.optimizer, loss=F.cross_entropy, probe=probe, instruments=[item], budget=1e9
    ) as run:
        problem.train(7)
    found = run["landscape_slice"]["loss_slice"]
    assert np.isnan(found.values[:2]).all()
    assert np.isfinite(found.values[2:]).all()
    assert "copies of the parameters at three steps" in found.attrs["not_measured"]
    assert not run.notes


def test_an_interrupt_keeps_what_is_done() -> None:
    model, loss_at = classifier()
    x, y = loss_at.weighted()[0][1]
    calls = 0

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 100:
            raise KeyboardInterrupt
        if bool(outputs.isnan().any()):  # values decide: one point after the other
            return outputs.sum()
        return F.cross_entropy(outputs, targets)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = nbtoolkit.watch(model, optimizer, loss=loss, probe=(x, y))
    with pytest.raises(KeyboardInterrupt):
        run.measure(landscape_slice.using(points=25))
    run.detach()
    found = run["landscape_slice"]["loss_slice"].isel(step=0).values
    assert np.isfinite(found[::4, ::4]).all()
    assert 49 <= np.isfinite(found).sum() < 100
    assert float(found[12, 12]) == at(LossAt(model, (x, y), F.cross_entropy), params(model))


@pytest.mark.parametrize("name", ["mlp", "cnn", "transformer"])
def test_training_does_not_see_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbtoolkit.capture.schedule.Schedule._stretch", lambda *args: None)
    shapes = {"mlp": (16, 8), "cnn": (16, 1, 8, 8)}
    states = []
    for watched in (False, True):
        problem = problems.ALL[name]()
        problem.train(1)
        torch.manual_seed(5)
        targets = torch.arange(16) % 3
        inputs = torch.randn(shapes[name]) if name in shapes else torch.randint(0, 11, (16, 8))
        loss = F.cross_entropy if name in shapes else lambda out, y: F.cross_entropy(out.mean(1), y)
        torch.manual_seed(6)
        if watched:
            items = [landscape_slice.using(every=3, points=3, directions="trajectory", statistics="reestimated")]
            for chosen in (*items, landscape_slice.using(every=2, points=5, biases=True)):
                problem_run = nbtoolkit.watch(
                    problem.model, problem.optimizer, loss=loss, probe=(inputs, targets), instruments=[chosen]
                )
                with problem_run as run:
                    problem.train(6)
                values = run["landscape_slice"]["loss_slice"].values
                assert np.isfinite(values[-1]).all()
        else:
            problem.train(12)
        states.append(everything(problem))
    assert differences(*states) == []
