"""All that a piece of code works on, so that it can be put back as it was."""

import functools
import gc
import io
import random
from collections import deque
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset, Sampler

from nbtoolkit.capture import contents, files, iterators
from nbtoolkit.capture.references import Place, is_users, of_function
from nbtoolkit.errors import WatchError
from nbtoolkit.numerics.random_states import of_generator

OPEN = (nn.Module, Optimizer, LRScheduler, GradScaler, Sampler, DataLoader, SimpleNamespace)
ATOMS = {
    type(None), bool, int, float, complex, str, bytes, range, slice, type(...), type(NotImplemented),
    ModuleType, torch.dtype, torch.device, torch.Size, torch.layout, np.dtype,
}  # fmt: skip
# Of their classes nothing is put back, and nothing need be said: immutable, or no part of a training.
UNTOUCHED = {"torch", "numpy", "nbtoolkit", "builtins", "functools", "types", "typing", "abc", "enum", "re", "math",
             "pathlib", "datetime", "time", "logging", "weakref", "contextlib", "threading", "_thread", "operator",
             "inspect", "dataclasses", "importlib", "decimal", "fractions", "uuid", "triton", "numba"}  # fmt: skip
# What these hold is half somewhere else (threads, processes, the screen, servers): it is left, and that is said.
ELSEWHERE = {"queue", "multiprocessing", "concurrent", "asyncio", "socket", "subprocess", "sqlite3", "IPython",
             "ipykernel", "ipywidgets", "traitlets", "zmq", "matplotlib", "plotly", "bokeh", "rich", "tqdm", "wandb",
             "tensorboard", "tensorboardX", "mlflow", "neptune", "comet_ml", "aim", "clearml"}  # fmt: skip
SHARED = (random._inst, np.random.mtrand._rand, torch.default_generator)  # type: ignore[attr-defined]
TOLD = 5  # things that could not be put back
DRAW = "draw the batch within the step, from indices or a torch.Generator, or make the iterator there"


class Situation:
    """What code refers to, and everything reached from there, as it is now; `restore` puts it back in place.

    Reached are: the variables that functions share with the ones around them, the global names of the user's own
    functions, modules and classes, the objects that methods are bound to. Put back are: what names and attributes are
    bound to; the content of lists, dicts, sets, deques and arrays; tensors with their gradients and flags; modules,
    optimizers, schedules, scalers, samplers and other objects, also of installed packages, with all the attributes
    that they hold; random number generators; objects without attributes that have ``state_dict`` and
    ``load_state_dict``; whether gradients are recorded. Objects stay the ones they are, memory stays where it is. Of
    other objects nothing is known: ``left`` says what was left as it is. What has gone elsewhere (files, the screen)
    is not taken back.

    It holds one copy of all tensors and arrays, on their devices.

    Args:
        roots: functions, or any other objects; what is reached from the first is put back first.
        places: names to be put back with what they hold, as `references.of_code` finds them.
        strict: whether to refuse iterators that cannot be wound back; else they are left where they are.

    Raises:
        WatchError: an iterator that cannot be wound back, such as that of a DataLoader.
    """

    def __init__(self, *roots: Any, places: Iterable[Place] = (), strict: bool = True) -> None:
        self._strict = strict
        self.found: list[Any] = []
        self.generators: list[Any] = []
        self.left: list[str] = []
        self.unwound: list[str] = []  # iterators among them
        self.written: list[str] = []  # open files
        self._undoes: list[tuple[str, Callable[[], None]]] = [
            ("the recording of gradients", contents.of_grad_mode()), ("random numbers", contents.of_random_numbers())
        ]  # fmt: skip
        self._seen: dict[int, Any] = {}
        self._storages: set[tuple[Any, int]] = set()
        self._copies: dict[int, Any] = {}
        self._iterators: list[tuple[Callable[[Any], None], Any]] = []
        self._waiting: list[tuple[Any, str]] = [(root, _called(root)) for root in reversed(roots)]
        for place in places:
            self._place(place)
        collects = gc.isenabled()
        gc.disable()  # of many small objects made at once none is garbage, and looking takes as long as making them
        try:
            while self._waiting:
                self._take(*self._waiting.pop())
        except torch.OutOfMemoryError:
            raise WatchError(
                "there is not enough memory for a copy of all that the step works on; free some, or keep large data "
                "on the host."
            ) from None
        finally:
            if collects:
                gc.enable()

    @property
    def objects(self) -> list[Any]:
        """All that was reached."""
        return list(self._seen.values())

    def restore(self, after: BaseException | None = None) -> None:
        """Put everything back, whatever fails on the way; an interrupt comes out when that is done.

        Args:
            after: the exception that ended the code, which is told of where another takes its place.

        Raises:
            WatchError: something could not be put back; the text says what.
        """
        interrupt: BaseException | None = None
        failed: dict[str, Exception] = {}
        while True:
            try:
                for path, undo in self._undoes:
                    try:
                        undo()
                    except Exception as error:
                        failed[path] = error
                break
            except KeyboardInterrupt as error:
                interrupt = error
        if failed:
            failure = WatchError(_words(failed, after))
            if interrupt is None:
                raise failure from after
            interrupt.add_note(str(failure))
        if interrupt is not None:
            raise interrupt

    def stand_in(self) -> None:
        """Let the code find copies of its iterators, as they were; `restore` puts the originals back."""
        known: dict[int, Any] = {}
        for put, kept in self._iterators:
            put(iterators.copied(kept, known))

    def _take(self, thing: Any, path: str) -> None:
        """Note the content of one object, and what it refers to."""
        kind = type(thing)
        if kind in ATOMS or id(thing) in self._seen:
            return
        self._seen[id(thing)] = thing
        undo = of_generator(thing)
        if undo is not None:
            self._keep(path, undo)
            if not any(thing is one for one in SHARED):
                self.generators.append(thing)
        elif isinstance(thing, Tensor):
            self._tensor(thing, path)
        elif isinstance(thing, np.ndarray):
            self._array(thing, path)
        elif isinstance(thing, FunctionType):
            self._function(thing)
        elif isinstance(thing, MethodType):
            self._waiting += [(thing.__func__, path), (thing.__self__, path)]
        elif isinstance(thing, BuiltinFunctionType):
            self._waiting.append((thing.__self__, path))
        elif isinstance(thing, functools.partial):
            self._fixed([thing.func, thing.args, thing.keywords], path)
        elif isinstance(thing, tuple | frozenset):
            self._fixed(thing, path)
        else:
            self._changing(thing, kind, path)

    def _changing(self, thing: Any, kind: type, path: str) -> None:
        if isinstance(thing, list | deque | bytearray):
            self._keep(path, contents.of_list(thing))
            if kind is not bytearray:
                self._parts(enumerate(thing), thing.__setitem__, path, "[]")
        elif isinstance(thing, dict):
            self._keep(path, contents.of_dict(thing))
            self._waiting += [(key, path) for key in thing if type(key) not in ATOMS]
            self._parts(thing.items(), functools.partial(dict.__setitem__, thing), path, "[]")
        elif isinstance(thing, set):
            self._keep(path, contents.of_set(thing))
            self._fixed(thing, path)
        elif isinstance(thing, type):
            if is_users(thing.__module__):
                self._class(thing, path)
        elif isinstance(thing, OPEN) or is_users(kind.__module__):
            self._object(thing, path)
        elif not isinstance(thing, ModuleType | Dataset):
            self.written += [path] * files.is_written(thing)
            if not isinstance(thing, io.IOBase):
                self._others(thing, kind, path)

    def _others(self, thing: Any, kind: type, path: str) -> None:
        """An object of somebody else's class."""
        package = kind.__module__.partition(".")[0]
        if package not in UNTOUCHED | ELSEWHERE and contents.attributes(thing) is not None:
            self._object(thing, path)
            if not contents.is_partly_hidden(thing):
                return
        if callable(getattr(kind, "state_dict", None)) and callable(getattr(kind, "load_state_dict", None)):
            self._keep(path, contents.of_state_dict(thing))
        elif package not in UNTOUCHED:
            self.left.append(f"{path} ({kind.__name__})")

    def _keep(self, path: str, undo: Callable[[], None]) -> None:
        self._undoes.append((path, undo))

    def _place(self, place: Place) -> None:
        value = place.get()
        self._keep(place.name, functools.partial(place.put, value))
        self._part(value, place.put, place.name)

    def _part(self, part: Any, put: Callable[[Any], None] | None, path: str) -> None:
        """One thing that something else refers to; ``put`` lets it refer to another."""
        if not (iterators.is_iterator(part) and not is_users(type(part).__module__)) or isinstance(part, io.IOBase):
            self._waiting.append((part, path))
            return
        try:
            copy = iterators.copied(part, self._copies)
            if put is None:
                raise TypeError("an iterator within something that cannot be changed")
        except TypeError as error:
            if self._strict:
                raise WatchError(f"{path} is {error}, so that the step cannot be made again; {DRAW}.") from None
            self.left.append(f"{path} ({type(part).__name__})")
            self.unwound.append(path)
            return
        self._iterators.append((put, copy))
        self._waiting += [(piece, path) for piece in iterators.pieces(part)]

    def _parts(
        self, items: Iterable[tuple[Any, Any]], put: Callable[[Any, Any], None], path: str, sign: str = "."
    ) -> None:
        for key, part in list(items):  # other threads may change them meanwhile
            if type(part) not in ATOMS:
                where = f"{path}[{key if type(key) in ATOMS else '...'}]" if sign == "[]" else f"{path}.{key}"
                self._part(part, functools.partial(put, key), where)

    def _fixed(self, parts: Iterable[Any], path: str) -> None:
        for part in parts:
            if type(part) not in ATOMS:
                self._part(part, None, path)

    def _function(self, function: FunctionType) -> None:
        for place in of_function(function):
            self._place(place)
        self._fixed([function.__defaults__, function.__kwdefaults__], function.__name__)
        if function.__dict__:
            self._waiting.append((function.__dict__, function.__name__))

    def _tensor(self, tensor: Tensor, path: str) -> None:
        self.found.append(tensor)
        if contents.has_storage(tensor):
            storage = tensor.untyped_storage()
            where = (storage.device, storage.data_ptr())
            if where not in self._storages and storage.nbytes():
                self._storages.add(where)
                self._seen[id(storage)] = storage
                self._keep(path, contents.of_storage(storage))
        self._keep(path, contents.of_tensor(tensor))
        if tensor.is_leaf and tensor.grad is not None:
            self._waiting.append((tensor.grad, f"{path}.grad"))
        self._waiting.append((tensor.__dict__, path))

    def _array(self, array: np.ndarray, path: str) -> None:
        if array.flags.writeable:
            self._keep(path, contents.of_array(array))
        if array.dtype == object:
            self._fixed(array.flat, path)

    def _object(self, thing: Any, path: str) -> None:
        self.found.append(thing)
        held = contents.attributes(thing)
        if held is not None:
            self._seen[id(held)] = held
            self._keep(path, contents.of_dict(held))
            self._parts(held.items(), functools.partial(dict.__setitem__, held), path)
        slots = contents.slots(thing)
        if slots:
            self._keep(path, contents.of_attributes(thing, slots))
            held = [(name, getattr(thing, name)) for name in slots if hasattr(thing, name)]
            self._parts(held, functools.partial(setattr, thing), path)
        self._waiting += [(kind, kind.__name__) for kind in type(thing).__mro__ if is_users(kind.__module__)]

    def _class(self, kind: type, path: str) -> None:
        """What the functions of a class refer to, and what it holds beside them."""
        own = contents.of_its_own(kind)
        self._keep(path, contents.of_attributes(kind, [name for name, _ in own]))
        self._parts(own, functools.partial(setattr, kind), path)
        for value in vars(kind).values():
            function = getattr(value, "__func__", value.fget if isinstance(value, property) else value)
            if isinstance(function, FunctionType):
                self._waiting.append((function, path))


def _called(root: Any) -> str:
    return root.__name__ if isinstance(root, FunctionType | MethodType | type) else type(root).__name__


def _words(failed: dict[str, Exception], before: BaseException | None) -> str:
    """What could not be put back, and why; and the exception on the way, which this one takes the place of."""
    told = [f"{path} ({type(error).__name__}: {error})" for path, error in failed.items()]
    more = f" and {len(told) - TOLD} more" if len(told) > TOLD else ""
    text = f"not put back: {', '.join(told[:TOLD])}{more}; all else is as it was."
    text += "" if before is None else f" The step itself had raised {type(before).__name__}: {before}".rstrip(": ")
    return " ".join(text.split())
