"""The tasks of a stream: the held-out data of each, and which outputs compete on it."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.numerics import random_states
from nbtoolkit.numerics.given import is_seed, shown
from nbtoolkit.numerics.loss_at import Batch, _is_batch, examples

SCENARIOS = ("domain", "task", "class")
FORMS = "give its held-out data as (inputs, targets), a DataLoader, or a list of such batches"


@dataclass
class Episode:
    """One stretch of training on one task.

    ``label`` tells visits apart, ``end`` is None until it has ended, ``complete`` is False where an error ended it.
    """

    label: str
    task: str
    begin: int
    end: int | None = None
    complete: bool = True


class Tasks:
    """The tasks of a stream by name, in the order in which they are shown.

    Args:
        data: held-out data of each task: ``(inputs, targets)``, a DataLoader, or a list of such batches; read once.
            Targets are class labels, negative ones do not count.
        classes: for each task the outputs that are its classes, e.g. ``{"a": [0, 1], "b": [2, 3]}``.
        scenario: which outputs compete when a task is evaluated: ``"domain"`` all of them; ``"task"`` those of the
            task; ``"class"`` those of the task and of all tasks trained so far. By default ``"task"`` where classes are
            given, else ``"domain"``. Source: van de Ven, Tuytelaars & Tolias (2022), Nature Machine Intelligence 4,
            table 1.
        seed: of the order from which a subset takes the first examples of each task.

    Raises:
        ValueError: no task, one without examples, two of one name, or classes and scenario that do not fit.
    """

    def __init__(
        self, data: Mapping[Any, Any], *, classes: Mapping[Any, Iterable[int]] | None = None,
        scenario: str | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        if not isinstance(data, Mapping) or not data:
            raise ValueError(f"tasks={shown(data)}: expected a dict from the names of tasks to their held-out data")
        if not is_seed(seed):
            raise ValueError(f"seed={shown(seed)}: expected a whole number, 0 or more")
        self.names = tuple(str(name) for name in data)
        if len(set(self.names)) < len(self.names):
            doubled = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"two tasks are called {doubled!r}; give each a name of its own")
        self.seed = seed
        self.batches = {str(name): read(str(name), value) for name, value in data.items()}
        self.scenario, self.classes = _competing(self.names, classes, scenario)

    def __repr__(self) -> str:
        """Names, sizes and scenario."""
        sizes = ", ".join(f"{name!r}: {sum(map(examples, batches))}" for name, batches in self.batches.items())
        return f"Tasks({sizes}; scenario {self.scenario!r})"

    def check(self, name: str) -> str:
        """The name, if there is such a task.

        Raises:
            ValueError: there is none.
        """
        if name in self.names:
            return name
        near = difflib.get_close_matches(name, self.names, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ";"
        raise ValueError(f"no task {name!r}{meant} There are: {', '.join(self.names)}.")

    def outputs_for(self, name: str, trained: Sequence[str]) -> list[int] | None:
        """The outputs that compete on a task after training on others; None where all do."""
        if self.scenario == "domain":
            return None
        seen = (name, *trained) if self.scenario == "class" else (name,)
        return sorted({output for task in seen for output in self.classes[task]})

    def subset(self, name: str, count: int | None) -> list[Batch]:
        """The data of a task as batches; with a count, one batch of the first so many in a fixed random order."""
        batches = self.batches[name]
        if count is None:
            return batches
        total = sum(map(examples, batches))
        order = torch.randperm(total, generator=torch.Generator().manual_seed(self.seed))[:count]
        return [joined([_taken(batch, order, first) for batch, first in _starts(batches)])]


def read(name: str, value: Any) -> list[Batch]:
    """The held-out data of one task as a list of batches.

    Raises:
        ValueError: it has no examples, or no known form.
    """
    if _is_batch(value):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping, Tensor)):
        raise ValueError(f"task {name!r} is {shown(value)}; {FORMS}")
    with torch.random.fork_rng(devices=[]), random_states.kept(value):  # a DataLoader draws random numbers
        batches = list(value)
    for batch in batches:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2 or not isinstance(batch[1], Tensor):
            raise ValueError(f"a batch of task {name!r} is no pair of inputs and a tensor of targets; {FORMS}")
        if batch[1].is_floating_point() or batch[1].is_complex():
            raise ValueError(
                f"task {name!r} has targets of {batch[1].dtype}; an accuracy needs class labels, which are integers"
            )
        if examples(batch[0]) != len(batch[1]):
            raise ValueError(f"task {name!r} has {examples(batch[0])} inputs and {len(batch[1])} targets in a batch")
    batches = [tuple(batch) for batch in batches if len(batch[1])]
    if not batches:
        raise ValueError(f"task {name!r} has no examples; {FORMS}")
    return batches


def joined(parts: Sequence[Any]) -> Any:
    """Batches of one form as one."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {key: joined([part[key] for part in parts]) for key in first}
    return tuple(joined(column) for column in zip(*parts, strict=True))


def _competing(
    names: Sequence[str], classes: Mapping[Any, Iterable[int]] | None, scenario: str | None
) -> tuple[str, dict[str, list[int]]]:
    scenario = scenario or ("domain" if classes is None else "task")
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario={shown(scenario)}: expected one of {', '.join(map(repr, SCENARIOS))}")
    if scenario == "domain" and classes is None:
        return scenario, {}
    told = {str(name): list(outputs) for name, outputs in (classes or {}).items()}
    missing = [name for name in names if not told.get(name)]
    if missing:
        raise ValueError(f"scenario {scenario!r} needs the classes of each task; classes= has none for {missing[0]!r}")
    if strange := [name for name in told if name not in names]:
        raise ValueError(f"classes= names {strange[0]!r}, which is no task; there are: {', '.join(names)}")
    for name, outputs in told.items():
        if not all(isinstance(one, int) and one >= 0 for one in outputs):
            raise ValueError(f"classes[{name!r}] is {shown(outputs)}: expected places of outputs, 0 or more")
    return scenario, told


def _starts(batches: Sequence[Batch]) -> list[tuple[Batch, int]]:
    found, first = [], 0
    for batch in batches:
        found.append((batch, first))
        first += examples(batch)
    return found


def _taken(part: Any, order: Tensor, first: int) -> Any:
    """Those examples of a part that are among the ones wanted."""
    if isinstance(part, Tensor):
        mine = order[(order >= first) & (order < first + len(part))] - first
        return part[mine.to(part.device)]
    if isinstance(part, Mapping):
        return {key: _taken(one, order, first) for key, one in part.items()}
    return tuple(_taken(one, order, first) for one in part)
