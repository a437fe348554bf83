"""What holds for every instrument on the shelf, and what a declaration refuses."""

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import nbtoolkit
from nbtoolkit import panels
from nbtoolkit.capture.copies import Copies
from nbtoolkit.capture.loop import Loop
from nbtoolkit.errors import InstrumentError
from nbtoolkit.instruments import NEEDS, Instrument, Tasks, TasksAt, Unknown, Var, instrument, known
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.tasks import Episode
from tests import problems

FORWARD_BATCH = 128  # so large that the vectors of a Lanczos basis weigh little beside a pass


# Refuses batch statistics, which the convolutional problem has.
ON_AN_MLP = {"gradient_noise_scale"}
# At a size that the probe of these tests allows.
SETTINGS: dict[str, dict[str, Any]] = {
    "averaged_weights_gap": {"averaged": problems.cnn().model},
    "barrier_matrix": {"copies": 4},
    "batch_hessian_extremes": {"sizes": (32, 64), "steps": 5},
    "gradient_noise_scale": {"population": FORWARD_BATCH},
    "landscape_slice": {"points": 7},
    "trainability_probe": {"steps": 10, "examples": FORWARD_BATCH},
}


def gathered(item: Instrument | None = None) -> tuple[problems.Problem, Loop]:
    """A loop in the middle of training, all of whose needs are there."""
    on_an_mlp = item is not None and item.name in ON_AN_MLP
    problem = problems.mlp() if on_an_mlp else problems.cnn()
    shape = (8,) if on_an_mlp else (1, 8, 8)
    probe = (torch.randn(FORWARD_BATCH, *shape), torch.randint(0, 3, (FORWARD_BATCH,)))
    twin = Copies([3])
    twin.take(3, {name: param + 0.01 for name, param in problem.model.named_parameters()})
    loss_at = LossAt(problem.model, probe, F.cross_entropy)
    halves = {"one": tuple(part[:64] for part in probe), "other": tuple(part[64:] for part in probe)}
    tasks = TasksAt(problem.model, Tasks(halves), F.cross_entropy)
    tasks.episodes[:] = [Episode("one", "one", 0, 3), Episode("other", "other", 3)]
    loop = Loop(problem.optimizer, problem.models, loss_at, forks={"twin": twin}, tasks=tasks)
    for step in range(3):  # copies of earlier parameters
        loop.begin(step, remember_initial=False, keep_params=False)
        assert len(loop.trajectory()) == step + 1  # kept since it is looked at
        problem.train(1)
    loop.begin(3, remember_initial=True, keep_params=True)
    loop.current_loss = torch.tensor(0.7)
    loop.current_live_loss = F.cross_entropy(problem.model(probe[0]), probe[1])
    decay = sum(param.square().sum() for param in problem.model.parameters())
    terms = {"ce": F.cross_entropy(problem.model(probe[0]), probe[1]), "decay": decay}
    loop.set_terms(terms)
    loop.take_term_grads(terms)
    loop.current_clock = {"steps": 10, "seconds": 0.1, "measuring": 0.01}
    with torch.no_grad():
        for param in problem.model.parameters():
            param.add_(0.01)
    return problem, loop


def given(loop: Loop, item: Instrument) -> list[Any]:
    with torch.no_grad():
        return [{} if need == "memory" else getattr(loop, need)() for need in item.needs]


def tensors(inputs: list[Any]) -> list[Any]:
    """What of the inputs is data; the rest are functions of data that is looked at elsewhere."""
    trees = [value for value in inputs if isinstance(value, (dict, list, torch.Tensor))]
    return [tree for tree in trees if not (isinstance(tree, dict) and "kind" in tree) and not _words(tree)]


def _words(tree: Any) -> bool:
    return isinstance(tree, list) and all(isinstance(part, str) for part in tree)


@pytest.fixture(params=known().values(), ids=list(known()))
def item(request: pytest.FixtureRequest) -> Instrument:
    return request.param.using(**SETTINGS.get(request.param.name, {}))


def test_it_returns_its_declared_outputs_with_their_dims(item: Instrument) -> None:
    _, loop = gathered(item)
    outputs, raw = item(*given(loop, item)), item.measure(*given(loop, item))
    assert list(outputs) == list(item.outputs)
    for key, var in item.outputs.items():
        assert outputs[key].dtype == np.float64
        unknown = raw.get(key, 0.0)  # None is a hole, which is explained where it is stored
        assert outputs[key].ndim == len(var.dims) or isinstance(unknown, Unknown)
        reason = unknown is None or (isinstance(unknown, Unknown) and bool(unknown.reason))
        assert np.isfinite(outputs[key]).any() or reason, f"{key} is nowhere measured, and nothing says why"


def test_it_says_what_it_is(item: Instrument) -> None:
    assert item.reference
    assert item.doc.endswith(".")
    assert item.doc[0].isupper()
    for var in item.outputs.values():
        assert var.units
        assert var.long_name
    assert set(item.needs) <= set(NEEDS)
    assert item.every >= 1


def test_same_inputs_give_the_same_answer(item: Instrument) -> None:
    _, loop = gathered(item)
    one, other = item(*given(loop, item)), item(*given(loop, item))
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


def test_it_touches_nothing(item: Instrument) -> None:
    problem, loop = gathered(item)
    everything = given(loop, item)
    inputs = tensors(everything)

    def state() -> dict[str, Any]:
        return copy.deepcopy(
            {
                "model": problem.model.state_dict(),
                "grads": [p.grad for p in problem.model.parameters()],
                "flags": [(p.requires_grad, p._version) for p in problem.model.parameters()],
                "modes": [module.training for module in problem.model.modules()],
                "optimizer": problem.optimizer.state_dict(),
                "inputs": inputs if "memory" not in item.needs else [],
                "torch": torch.get_rng_state(),
                "python": list(random.getstate()[1]),
                "numpy": list(np.random.get_state())[1],  # noqa: NPY002 - the global state is what must not move
            }
        )

    before = state()
    item(*everything)
    torch.testing.assert_close(state(), before, rtol=0, atol=0, equal_nan=True)


def test_its_outputs_are_no_views_of_what_it_was_given(item: Instrument) -> None:
    _, loop = gathered(item)
    inputs = given(loop, item)
    kept = {
        tensor.untyped_storage().data_ptr()
        for value in inputs
        for tensor in (value.values() if isinstance(value, dict) else [value])
        if isinstance(tensor, torch.Tensor)
    }
    if item.name == "loss":
        kept.clear()  # what a Loop gives as the loss is a copy of its own
    for value in item.measure(*inputs).values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, torch.Tensor):
                assert part.untyped_storage().data_ptr() not in kept


def test_its_cost_is_what_it_declares(item: Instrument) -> None:
    if np.isnan(item.forward_passes()):
        return  # undeclared: the budget goes by the seconds alone
    problem, loop = gathered(item)
    inputs = given(loop, item)
    if "tolerance" in item.settings:  # what ends when it is good enough declares the most that it spends
        item = item.using(tolerance=0.0, products=20)
    with FlopCounterMode(display=False) as forward:
        problem.model(loop.loss_at().arrays()[0])
    with FlopCounterMode(display=False) as measured:
        item.measure(*inputs)
    assert forward.get_total_flops() > 0
    passes = measured.get_total_flops() / forward.get_total_flops()
    assert abs(passes - item.forward_passes()) <= 0.25 * item.forward_passes()


def test_every_panel_of_it_is_better_than_a_table(item: Instrument) -> None:
    for names in panels.split(item.outputs):
        dims = frozenset(dim for name in names for dim in item.outputs[name].dims)
        assert panels.find(dims).__name__ != "nbtoolkit.panels.table"


def test_every_need_can_be_given() -> None:
    _, loop = gathered()
    for need in NEEDS.keys() - {"memory"}:
        assert getattr(loop, need)() is not None, need


def test_the_default_set_is_on_the_shelf() -> None:
    assert set(nbtoolkit.instruments.default()) <= set(known().values())


# -- declaring -----------------------------------------------------------------------------

FRACTION: Any = 1.5
ONE = {"value": Var((), units="1", long_name="value")}


def test_an_instrument_is_a_frozen_value() -> None:
    @instrument(outputs=ONE, every=5)
    def scaled_size(params, /, *, factor: float = 2.0):
        """Number of parameters times a factor."""
        return {"value": factor * sum(tensor.numel() for tensor in params.values())}

    params = {"w": torch.zeros(3)}
    assert scaled_size(params)["value"] == 6.0
    assert scaled_size(params, factor=1.0)["value"] == 3.0
    other = scaled_size.using(every=50, factor=10.0)
    assert (other.every, other(params)["value"]) == (50, 30.0)
    assert (scaled_size.every, scaled_size(params)["value"]) == (5, 6.0)
    assert (scaled_size.using(name="other").name, scaled_size.name) == ("other", "scaled_size")
    with pytest.raises(AttributeError):
        other.every = 1  # type: ignore[misc]


def test_needs_outside_the_list_are_refused_with_the_list() -> None:
    with pytest.raises(InstrumentError, match=r"asks the training loop for model, which it cannot give. It gives: par"):

        @instrument(outputs=ONE)
        def wrong(model, /):
            """Asks too much."""
            return {}


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: instrument(outputs=ONE)(lambda params: {}), "neither a need .before '/'. nor a setting"),
        (lambda: instrument(outputs={})(lambda params, /: {}), "at least one of each"),
        (lambda: instrument(outputs=ONE)(lambda: {}), "at least one of each"),
        (lambda: instrument(outputs=ONE, every=0)(lambda params, /: {}), "every=0, expected a whole number"),
        (lambda: known()["loss"].using(every=FRACTION), "every=1.5"),
        (lambda: known()["loss"].using(name="my loss"), "name='my loss', expected letters"),
        (lambda: known()["loss"].using(depth=3), "no setting 'depth'; its settings are: none"),
    ],
)
def test_declarations_that_cannot_work_are_refused(declare, message: str) -> None:
    with pytest.raises(InstrumentError, match=message):
        declare()
