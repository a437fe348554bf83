"""A situation puts back what code works on: the same objects, in the same places, with the same content."""

import argparse
import array
import types
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from nbtoolkit.capture.situation import Situation
from nbtoolkit.errors import WatchError
from tests import problems

counter = 0
history: list[float] = []


def counting() -> None:
    """Rebinds a global name, binds a new one, and calls a function that does the same."""
    global counter, brand_new
    counter += 1
    brand_new = counter
    helper()


def helper() -> None:
    history.append(counter)


def test_global_names_also_of_functions_called_and_names_newly_bound() -> None:
    counting.__globals__.pop("brand_new", None)
    situation, kept = Situation(counting), history
    counting()
    assert (counter, history, brand_new) == (1, [1], 1)  # type: ignore[name-defined]
    situation.restore()
    assert counter == 0
    assert history is kept
    assert history == []
    assert "brand_new" not in globals()


def test_variables_shared_with_the_function_around() -> None:
    total, items = 0, [1, 2]
    if total:
        late: Any = None

    def work() -> None:
        nonlocal total, late
        total += 1
        late = "bound"
        items.append(total)

    situation, same = Situation(work), items
    work()
    assert (total, late) == (1, "bound")  # type: ignore[reportPossiblyUnbound]
    situation.restore()
    assert (total, items, items is same) == (0, [1, 2], True)
    with pytest.raises(NameError):
        print(late)  # type: ignore[reportPossiblyUnbound]


@pytest.mark.parametrize("name", ["cnn", "lbfgs", "gan", "scaled", "tied"])
def test_models_and_optimizers_before_and_after_their_first_step(name: str) -> None:
    from tests.capture.test_bit_for_bit import differences, everything

    problem = problems.ALL[name]()
    for _ in range(2):
        situation, before = Situation(problem.step), everything(problem)
        same = [id(tensor) for model in problem.models.values() for tensor in (*model.parameters(), *model.buffers())]
        problem.train(3)
        assert differences(before, everything(problem))
        situation.restore()
        assert differences(before, everything(problem)) == []
        now = [id(tensor) for model in problem.models.values() for tensor in (*model.parameters(), *model.buffers())]
        assert same == now
        problem.train(2)


def test_modes_flags_schedules_hooks_and_averages() -> None:
    problem = problems.cnn()
    average = torch.optim.swa_utils.AveragedModel(problem.model)
    model, optimizer = problem.model, problem.optimizer
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    weight = next(model.parameters())

    def work() -> None:
        problem.step()
        average.update_parameters(model)
        plateau.step(1.0)
        model.eval()
        weight.requires_grad_(False)
        model[0] = nn.Identity()  # type: ignore[index]
        model.register_forward_hook(lambda *_: None)

    layer, before = model[0], average.n_averaged.clone()  # type: ignore[index]
    situation = Situation(work)
    rate = optimizer.param_groups[0]["lr"]
    work()
    situation.restore()
    assert model.training
    assert weight.requires_grad
    assert model[0] is layer  # type: ignore[index]
    assert not model._forward_hooks
    assert torch.equal(average.n_averaged, before)
    assert (optimizer.param_groups[0]["lr"], plateau.num_bad_epochs, plateau.last_epoch) == (rate, 0, 0)


class Tally:
    """A user's class with slots, a counter of its own, and a method that changes a global list."""

    made = 0
    __slots__ = ("__hidden", "values")

    def __init__(self) -> None:
        self.values, self.__hidden = [0.0], 0

    def __call__(self) -> None:
        Tally.made += 1
        self.__hidden += 1
        self.values = [*self.values, 1.0]
        history.append(2.0)

    @property
    def hidden(self) -> int:
        return self.__hidden


@dataclass
class Trainer:
    """A step that is a method."""

    problem: problems.Problem
    losses: list[float] = field(default_factory=list)
    done: int = 0

    def step(self) -> None:
        self.losses.append(self.problem.model[0].weight.sum().item())  # type: ignore[index]
        self.problem.step()
        self.done += 1


def test_objects_of_the_users_classes_and_methods() -> None:
    tally, trainer = Tally(), Trainer(problems.mlp())
    values, losses, weight = tally.values, trainer.losses, trainer.problem.model[0].weight.clone()  # type: ignore[index]
    situation = Situation(tally, trainer.step)
    tally()
    trainer.step()
    situation.restore()
    assert (tally.values is values, tally.hidden, Tally.made, history) == (True, 0, 0, [])
    assert (trainer.losses is losses, losses, trainer.done) == (True, [], 0)
    assert torch.equal(trainer.problem.model[0].weight, weight)  # type: ignore[index]


class Foreign:
    """Of another package, with a state of its own; its attributes cannot be seen."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0]

    def state_dict(self) -> dict[str, int]:
        return {"count": self.counts[0]}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.counts[0] = state["count"]


class Silent:
    """Of another package: no attributes, no state that it tells of."""

    __slots__ = ("_held",)

    def __getitem__(self, key: int) -> int:
        return self._held[key]

    def __setitem__(self, key: int, value: int) -> None:
        self._held = {key: value}


class Tracker:
    """What it does is done elsewhere."""

    sent = 0


def test_objects_of_other_packages_go_by_their_state_dict_or_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Foreign, Silent):
        monkeypatch.setattr(kind, "__module__", "argparse")
    monkeypatch.setattr(Tracker, "__module__", "queue")
    stated, silent, tracker, data = Foreign(), Silent(), Tracker(), (torch.zeros(2), [1])
    options = argparse.Namespace(done=0, data=data)

    def work() -> None:
        stated.counts[0] += 1
        silent[0] = tracker.sent = options.done = 1
        options.fresh = data[0].add_(1)
        data[1].append(2)

    situation = Situation(work)
    work()
    situation.restore()
    assert (stated.counts[0], vars(options), data[0].tolist(), data[1]) == (0, {"done": 0, "data": data}, [0, 0], [1])
    assert (silent[0], tracker.sent) == (1, 1)
    assert sorted(situation.left) == ["silent (Silent)", "tracker (Tracker)"]


def test_what_an_object_written_in_c_holds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Half(array.array):
        """An array of the standard library, which may have attributes."""

    class Text(str):
        """Cannot change."""

    for kind in (Half, Text):
        monkeypatch.setattr(kind, "__module__", "argparse")
    half: Any = Half("i", [1])
    text: Any = Text("a")
    half.seen = text.seen = [1]
    situation = Situation(lambda: (half, text))
    half.seen.append(2)
    situation.restore()
    assert half.seen == [1]
    assert situation.left == ["half (Half)"]


def test_a_module_is_not_walked_whatever_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = type("Lazy", (types.ModuleType,), {"__module__": "argparse"})("lazy")
    lazy.loaded = 0  # type: ignore[reportAttributeAccessIssue]
    situation = Situation(lambda: lazy)
    lazy.loaded = 1  # type: ignore[reportAttributeAccessIssue]
    situation.restore()
    assert (lazy.loaded, situation.left) == (1, [])


def test_what_fails_to_be_put_back_is_named_and_all_else_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Foreign, "__module__", "argparse")
    stubborn, items, weight = Foreign(), [1], torch.zeros(2)
    situation = Situation(lambda: (stubborn, items, weight))
    stubborn.counts = None  # type: ignore[assignment]
    items.append(2)
    weight.add_(1)
    cause = ZeroDivisionError("of the step")
    with pytest.raises(
        WatchError, match=r"^not put back: stubborn \(TypeError: .*The step itself .* of the step"
    ) as caught:
        situation.restore(cause)
    assert caught.value.__cause__ is cause
    assert (items, weight.tolist()) == ([1], [0, 0])


def test_whether_gradients_are_recorded() -> None:
    situation = Situation()
    with torch.enable_grad():
        torch._C._set_grad_enabled(False)
        situation.restore()
        assert torch.is_grad_enabled()


def test_a_loader_with_its_sampler_and_generator() -> None:
    data = TensorDataset(torch.arange(20.0))
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(data, batch_size=4, sampler=RandomSampler(data, generator=generator))

    def work() -> list[float]:
        return next(iter(loader))[0].tolist()

    situation = Situation(work)
    first = work()
    assert work() != first
    situation.restore()
    assert work() == first


def test_an_interrupt_comes_out_when_all_is_put_back() -> None:
    items, later = [1], [2]
    situation = Situation(lambda: (items, later))
    (path, undo), calls = situation._undoes[2], []

    def interrupted() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        undo()

    situation._undoes[2] = (path, interrupted)
    items.append(1)
    later.append(1)
    with pytest.raises(KeyboardInterrupt):
        situation.restore()
    assert (items, later) == ([1], [2])
