"""The tasks of a stream: the held-out data of each, and which outputs compete on it."""

import difflib
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from nbtoolkit.numerics import random_states
from nbtoolkit.numerics.given import is_seed, shown
from nbtoolkit.numerics.loss_at import Batch, _is_batch, examples

SCENARIOS = ("domain", "task", "class")
FORMS = "give its held-out data as (inputs, targets), a Dataset, a DataLoader, or a list of such batches"
READ = 512  # examples of a Dataset at once


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
        data: held-out data of each task: ``(inputs, targets)``, a Dataset, a DataLoader, or a list of such batches;
            read once. Inputs that are a tuple or a dict are the model's arguments: ``((x, 1), y)`` calls
            ``model(x, 1)`` where parts that are no tensors are the same for all examples.
            Targets are class labels, negative ones do not count.
        classes: for each task the outputs that are its classes, e.g. ``{"a": [0, 1], "b": [2, 3]}``, in any form that
            gives whole numbers (list, range, array, tensor).
        scenario: which outputs compete when a task is evaluated: ``"domain"`` all of them; ``"task"`` those of the
            task; ``"class"`` those of all tasks trained so far, of the task and of those named before it (so that its
            accuracy before it is trained compares with that at the start). By default ``"task"`` where classes are
            given, else ``"domain"``. Source: van de Ven, Tuytelaars & Tolias (2022), Nature Machine Intelligence 4,
            table 1.
        seed: of the order from which a subset takes the first examples of each task.

    The model's forward hooks run when a task is evaluated, see `TasksAt`.

    Raises:
        ValueError: no task, one without examples, two of one name, a label outside the classes of its task, or classes
            and scenario that do not fit.
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
        if self.scenario != "domain":
            for name in self.names:
                _check_labels(name, self.batches[name], self.classes[name])

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
        meant = f"did you mean {near[0]!r}? There are" if near else "there are"
        raise ValueError(f"no task {name!r}; {meant}: {', '.join(self.names)}.")

    def outputs_for(self, name: str, trained: Sequence[str]) -> list[int] | None:
        """The outputs that compete on a task after training on others; None where all do."""
        if self.scenario == "domain":
            return None
        upto = self.names[: self.names.index(name) + 1]
        seen = (*upto, *trained) if self.scenario == "class" else (name,)
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
    if isinstance(value, Dataset) and not isinstance(value, IterableDataset):
        value = DataLoader(value, batch_size=READ)
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(part, np.ndarray) for part in value):
        value = tuple(torch.as_tensor(part) for part in value)
    if _is_batch(value) or _has_settings(value):
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
    if not any(bool((targets >= 0).any()) for _, targets in batches):
        raise ValueError(f"task {name!r} has no examples that count: all its labels are negative")
    return batches


def joined(parts: Sequence[Any]) -> Any:
    """Batches of one form as one."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {key: joined([part[key] for part in parts]) for key in first}
    if not isinstance(first, (tuple, list)):
        return first
    return tuple(joined(column) for column in zip(*parts, strict=True))


def _competing(
    names: Sequence[str], classes: Mapping[Any, Iterable[int]] | None, scenario: str | None
) -> tuple[str, dict[str, list[int]]]:
    scenario = scenario or ("domain" if classes is None else "task")
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario={shown(scenario)}: expected one of {', '.join(map(repr, SCENARIOS))}")
    if scenario == "domain" and classes is None:
        return scenario, {}
    if classes is not None and not isinstance(classes, Mapping):
        raise ValueError(f"classes={shown(classes)}: expected a dict from the names of tasks to their outputs")
    told = {str(name): _places(name, outputs) for name, outputs in (classes or {}).items()}
    missing = [name for name in names if not told.get(name)]
    if missing:
        raise ValueError(f"scenario {scenario!r} needs the classes of each task; classes= has none for {missing[0]!r}")
    if strange := [name for name in told if name not in names]:
        raise ValueError(f"classes= names {strange[0]!r}, which is no task; there are: {', '.join(names)}")
    return scenario, told


def _places(name: Any, outputs: Iterable[Any]) -> list[int]:
    """The outputs of a task as numbers, from anything that gives such."""
    try:
        given = list(outputs)
        places = [operator.index(one) for one in given]
    except (TypeError, RuntimeError):
        given, places = [], [-1]
    if any(isinstance(one, bool) for one in given) or min(places, default=0) < 0:
        raise ValueError(f"classes[{name!r}] is {shown(outputs)}: expected places of outputs, 0 or more")
    return places


def _check_labels(name: str, batches: Sequence[Batch], classes: Sequence[int]) -> None:
    for _, targets in batches:
        labels = targets[targets >= 0]
        outside = labels[~torch.isin(labels, torch.tensor(classes, device=labels.device))]
        if len(outside):
            raise ValueError(
                f"task {name!r} has the label {int(outside[0])}, but its classes are {shown(list(classes))}"
            )


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
    return tuple(_taken(one, order, first) for one in part) if isinstance(part, (tuple, list)) else part


def _has_settings(value: Any) -> bool:
    """Whether this is one batch whose inputs are a tensor and what is no tensor, such as the name of a head."""
    if not isinstance(value, (tuple, list)) or len(value) != 2 or not isinstance(value[1], Tensor):
        return False
    return isinstance(value[0], (tuple, list)) and len(value[0]) > 0 and isinstance(value[0][0], Tensor)
