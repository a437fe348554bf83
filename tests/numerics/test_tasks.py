"""Accuracy on every task of a stream: against counts by hand, in every form of data, touching nothing."""

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from nbtoolkit.numerics.tasks import Tasks
from nbtoolkit.numerics.tasks_at import Episode, TasksAt

SIZES = {"a": 30, "b": 700, "c": 41}


def batch(count: int, seed: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator), torch.randint(0, classes, (count,), generator=generator)


def data() -> dict[str, tuple[Tensor, Tensor]]:
    return {name: batch(size, place) for place, (name, size) in enumerate(SIZES.items())}


def network() -> nn.Module:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 4))
    model(torch.randn(50, 5))  # so that the running statistics are none of the initial ones
    return model


def params(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}


def right(model: nn.Module, x: Tensor, y: Tensor, outputs: list[int] | None = None) -> float:
    logits = copy.deepcopy(model).eval()(x)
    if outputs is not None:
        logits = torch.stack([logits[:, k] if k in outputs else torch.full((len(x),), -torch.inf) for k in range(4)], 1)
    return float((logits.argmax(1) == y).sum())


def test_counts_are_those_of_one_task_at_a_time() -> None:
    model = network()
    found, count = TasksAt(model, Tasks(data())).accuracy(params(model))
    assert found.tolist() == [right(model, *batch) for batch in data().values()]
    assert count.tolist() == list(SIZES.values())


@pytest.mark.parametrize("examples", [1, 20, 200, 1000])
def test_a_subset_is_the_first_of_a_fixed_order(examples: int) -> None:
    model, tasks = network(), Tasks(data(), seed=5)
    found, count = TasksAt(model, tasks).accuracy(params(model), examples)
    wanted = []
    for x, y in data().values():
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))[:examples]
        wanted.append(right(model, x[order], y[order]))
    assert found.tolist() == wanted
    assert count.tolist() == [min(examples, size) for size in SIZES.values()]


def test_data_may_come_as_a_loader_or_a_list_and_batches_may_differ() -> None:
    model, whole = network(), data()
    loaders: dict[Any, Any] = {name: DataLoader(TensorDataset(*pair), batch_size=7) for name, pair in whole.items()}
    lists = {name: [(x[:3], y[:3]), (x[3:], y[3:])] for name, (x, y) in whole.items()}
    wanted = TasksAt(model, Tasks(whole)).accuracy(params(model))
    for form in (loaders, lists):
        torch.testing.assert_close(TasksAt(model, Tasks(form)).accuracy(params(model)), wanted, rtol=0, atol=0)
        one, other = (TasksAt(model, Tasks(given)).accuracy(params(model), 9) for given in (form, form))
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_data_may_come_as_a_dataset_or_as_arrays() -> None:
    model, whole = network(), data()
    wanted = TasksAt(model, Tasks(whole)).accuracy(params(model))
    datasets = {name: TensorDataset(*pair) for name, pair in whole.items()}
    arrays = {name: (x.numpy(), y.numpy()) for name, (x, y) in whole.items()}
    for form in (datasets, arrays):
        torch.testing.assert_close(TasksAt(model, Tasks(form)).accuracy(params(model)), wanted, rtol=0, atol=0)


def test_a_model_with_a_head_for_each_task() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleDict({name: nn.Linear(5, 4) for name in SIZES})

        def forward(self, x: Tensor, head: str) -> Tensor:
            return self.heads[head](x)

    model, whole = Heads(), data()
    tasks = TasksAt(model, Tasks({name: ((x, name), y) for name, (x, y) in whole.items()}))
    wanted = [right(model.heads[name], x, y) for name, (x, y) in whole.items()]
    for count in (None, 10_000):
        assert tasks.accuracy(params(model), count)[0].tolist() == wanted
    assert torch.isfinite(tasks.loss_at("b")(params(model)))


def test_a_shuffling_loader_draws_no_random_number() -> None:
    loader = DataLoader(TensorDataset(*batch(20, 0)), batch_size=7, shuffle=True)
    before = torch.get_rng_state()
    tasks = Tasks({"a": loader})
    assert torch.equal(torch.get_rng_state(), before)
    assert sum(len(y) for _, y in tasks.batches["a"]) == 20


def test_other_parameters_than_the_models_own() -> None:
    model = network()
    other = {name: param + 0.5 * torch.randn_like(param) for name, param in params(model).items()}
    moved = copy.deepcopy(model)
    moved.load_state_dict(other, strict=False)
    tasks = TasksAt(model, Tasks(data()))
    assert tasks.accuracy(other)[0].tolist() == [right(moved, *pair) for pair in data().values()]
    assert tasks.accuracy(params(model))[0].tolist() == [right(model, *pair) for pair in data().values()]


def test_scenarios_let_different_outputs_compete() -> None:
    model, classes = network(), {"a": [0, 1], "b": [2], "c": [3, 1]}
    labelled = {name: (x, torch.tensor(classes[name])[y % len(classes[name])]) for name, (x, y) in data().items()}
    episode = Episode("b", "b", 0, 10)
    wanted = {
        "domain": [[0, 1, 2, 3]] * 3,
        "task": [[0, 1], [2], [1, 3]],
        "class": [[0, 1, 2], [0, 1, 2], [0, 1, 2, 3]],
    }
    for scenario, outputs in wanted.items():
        tasks = TasksAt(model, Tasks(labelled, classes=classes, scenario=scenario))
        tasks.accuracy(params(model), 10)  # before anything was trained
        tasks.episodes.append(episode)
        for count in (None, 10_000):
            found = tasks.accuracy(params(model), count)[0].tolist()
            told = zip(labelled.values(), outputs, strict=True)
            assert found == [right(model, x, y, allowed) for (x, y), allowed in told], scenario


def test_the_loss_of_a_task_is_that_of_its_outputs() -> None:
    model, (x, y) = network().double(), batch(30, 0)
    x, y = x.double(), y % 2
    tasks = TasksAt(model, Tasks({"a": (x, y)}, classes={"a": [0, 1]}))
    wanted = F.cross_entropy(copy.deepcopy(model).eval()(x)[:, :2], y)
    torch.testing.assert_close(tasks.loss_at("a")(params(model)), wanted, rtol=1e-12, atol=0)
    plain = TasksAt(model, Tasks({"a": (x, y)}), loss=F.multi_margin_loss)
    wanted = F.multi_margin_loss(copy.deepcopy(model).eval()(x), y)
    torch.testing.assert_close(plain.loss_at("a")(params(model)), wanted, rtol=1e-12, atol=0)


def test_labels_that_are_negative_do_not_count_and_positions_do() -> None:
    torch.manual_seed(0)
    model = nn.Embedding(6, 3)
    tokens = torch.randint(0, 6, (8, 5))
    labels = torch.randint(-1, 3, (8, 5))
    found, count = TasksAt(model, Tasks({"a": (tokens, labels)})).accuracy(params(model))
    counted = labels >= 0
    assert count.tolist() == [int(counted.sum())]
    assert found.tolist() == [int(((model(tokens).argmax(-1) == labels) & counted).sum())]


def test_an_output_that_is_nan_leaves_no_count_of_its_task() -> None:
    model = nn.Linear(5, 4)
    x, y = batch(10, 0)
    broken = torch.cat([x[:1] * torch.nan, x[1:]])
    found, _ = TasksAt(model, Tasks({"a": (x, y), "b": (broken, y)})).accuracy(params(model), 10)
    assert torch.isfinite(found).tolist() == [True, False]


def test_nothing_is_touched_and_random_models_are_borne() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.register = network(), torch.zeros(1)
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            np.random.rand()  # noqa: NPY002 - what some code does
            return self.inner(x) + torch.rand(()) + random.random()

    model = Noisy().train()
    tasks = TasksAt(model, Tasks(data()))

    def state() -> Any:
        return copy.deepcopy(
            [
                {**model.state_dict()}, [m.training for m in model.modules()], model.calls, torch.get_rng_state(),
                random.getstate(), list(np.random.get_state())[1],  # noqa: NPY002 - the global state
            ]
        )  # fmt: skip

    before = state()
    for count in (None, 10, 10, None):
        tasks.accuracy(params(model), count)
        torch.testing.assert_close(state(), before, rtol=0, atol=0)


@pytest.mark.parametrize("change", ["grow", "task", "buffer"])
def test_a_model_that_changes_is_seen_as_it_is(change: str) -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.sign = nn.Linear(5, 4), 1
            self.register_buffer("shift", torch.zeros(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.sign * self.head(x) + self.shift

    model, pair = Changing(), batch(200, 0)
    tasks = TasksAt(model, Tasks({"a": pair}))
    before = tasks.accuracy(params(model), 200)[0].item()
    if change == "grow":
        model.head = nn.Linear(5, 4)
    elif change == "task":
        model.sign = -1
    else:
        model.shift = torch.tensor([0.0, 5.0, 0.0, 0.0])
    after = tasks.accuracy(params(model), 200)[0].item()
    assert after == right(model, *pair) != before


X, Y = torch.zeros(4, 5), torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tasks({}), "expected a dict from the names"),
        (lambda: Tasks([(X, Y)]), "expected a dict from the names"),  # type: ignore[arg-type]
        (lambda: Tasks({1: (X, Y), "1": (X, Y)}), "two tasks are called '1'"),
        (lambda: Tasks({"a": (X[:0], Y[:0])}), "task 'a' has no examples"),
        (lambda: Tasks({"a": []}), "task 'a' has no examples"),
        (lambda: Tasks({"a": (X, Y[:3])}), "has 4 inputs and 3 targets"),
        (lambda: Tasks({"a": (X, Y.float())}), "needs class labels"),
        (lambda: Tasks({"a": X}), "give its held-out data as"),
        (lambda: Tasks({"a": [X, X, X]}), "is no pair of inputs"),
        (lambda: Tasks({"a": (X, Y)}, scenario="task"), "needs the classes of each task"),
        (lambda: Tasks({"a": (X, Y)}, scenario="other"), "expected one of 'domain', 'task', 'class'"),
        (lambda: Tasks({"a": (X, Y)}, classes={"a": [0], "b": [1]}), "names 'b', which is no task"),
        (lambda: Tasks({"a": (X, Y)}, classes={"a": [-1]}), "expected places of outputs"),
        (lambda: Tasks({"a": (X, Y)}, classes={"a": [0.0]}), r"classes\['a'\] is \[0.0\]: expected places"),  # type: ignore
        (lambda: Tasks({"a": (X, Y)}, classes={"a": [True, False]}), "expected places of outputs"),
        (lambda: Tasks({"a": (X, Y)}, classes={"a": 2}), "is 2: expected places of outputs"),  # type: ignore
        (lambda: Tasks({"a": (X, Y)}, classes=[[0]]), "expected a dict from the names"),  # type: ignore
        (lambda: Tasks({"a": (X, Y + 2)}, classes={"a": [0, 1]}), r"label 2, but its classes are \[0, 1\]"),
        (lambda: Tasks({"a": (X, Y)}, classes={"a": range(1, 3)}, scenario="class"), "task 'a' has the label 0"),
        (lambda: Tasks({"a": (X, Y), "b": (X, Y - 1)}), "task 'b' has no examples that count: all its labels"),
        (lambda: Tasks({"a": (X, Y)}, seed=-1), "seed=-1"),
        (lambda: Tasks({"rot0": (X, Y)}).check("rot"), "no task 'rot'; did you mean 'rot0'"),
    ],
)
def test_bad_tasks_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, iter, lambda places: range(places[0], 5, 2)])
def test_classes_come_in_any_form_of_whole_numbers(form: Any) -> None:
    tasks = Tasks({"a": (X, Y)}, classes={"a": form([0, 2, 4])})
    assert tasks.classes == {"a": [0, 2, 4]}
    assert all(type(place) is int for place in tasks.classes["a"])


def test_labels_that_do_not_count_need_no_class() -> None:
    labels = torch.tensor([0, -1, 1, -100])
    assert Tasks({"a": (X, labels)}, classes={"a": [0, 1]}).classes == {"a": [0, 1]}
    assert Tasks({"a": (X, labels)}, classes={"a": [0]}, scenario="domain").scenario == "domain"


def test_labels_outside_the_head_are_refused() -> None:
    model = nn.Linear(5, 4)
    tasks = TasksAt(model, Tasks({"a": batch(10, 0), "b": (X, Y + 4)}))
    for call in (tasks.check, tasks.accuracy, lambda p: tasks.accuracy(p, 3)):
        with pytest.raises(ValueError, match="task 'b' has the label 4, but the model has 4 outputs, 0 to 3"):
            call(params(model))
    tasks = TasksAt(model, Tasks({"a": (X, Y), "b": (X, Y)}, classes={"a": [0, 1], "b": [0, 7]}))
    for call in (tasks.check, tasks.accuracy):
        with pytest.raises(ValueError, match=r"classes\['b'\] has 7, but the model has 4 outputs"):
            call(params(model))
    with pytest.raises(ValueError, match="no accuracy of task 'a': targets are no class labels"):
        TasksAt(nn.Linear(5, 1), Tasks({"a": (X, Y)})).check(params(nn.Linear(5, 1)))
