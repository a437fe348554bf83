"""Whether a function is the one of an earlier sweep: digests of its text, and of what it was given beforehand."""

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from types import CodeType
from typing import Any

import numpy as np

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def source(train: Callable[..., Any]) -> str:
    """A digest of the text of a function, of its code where there is no text; of a callable object, of its class.

    Only the text of the function itself counts, not of what it calls, nor the values of globals that it reads.
    """
    return _digest(_text(_inner(train)))


def given(train: Callable[..., Any]) -> str:
    """A digest of the arguments in a `functools.partial` and of the attributes of an object; "" of a plain function.

    Arrays and tensors count with all their numbers, other objects with their attributes or else what they are shown
    as, functions with their text.
    """
    parts: list[str] = []
    while isinstance(train, functools.partial):
        parts.append(_stable((train.args, train.keywords)))
        train = train.func
    owner = getattr(train, "__self__", None) if inspect.ismethod(train) else train
    if not inspect.isroutine(owner) and not inspect.isclass(owner):
        parts.append(_stable(owner))
    return _digest("\n".join(parts)) if parts else ""


def _inner(train: Any) -> Any:
    while isinstance(train, functools.partial):
        train = train.func
    found: Any = inspect.unwrap(train)
    return found if inspect.isroutine(found) or inspect.isclass(found) else type(found)


def _text(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # nowhere in a file
        if inspect.isclass(function):
            parts = (_text(part) for _, part in sorted(vars(function).items()) if inspect.isfunction(part))
            return "\n".join([function.__qualname__, *parts])
        code = getattr(function, "__code__", None)
        return _code(code) if code else getattr(function, "__qualname__", type(function).__qualname__)


def _code(code: CodeType) -> str:
    constants = [_code(one) if isinstance(one, CodeType) else _stable(one) for one in code.co_consts]
    return repr((code.co_code, code.co_names, code.co_varnames, constants))


def _stable(value: Any, above: tuple[int, ...] = ()) -> str:
    """A text that is the same in every process for equal values."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if id(value) in above:
        return "..."
    above = (*above, id(value))
    if isinstance(value, Mapping):
        pairs = sorted(f"{_stable(key, above)}: {_stable(one, above)}" for key, one in value.items())
        return f"{kind}({', '.join(pairs)})"
    if isinstance(value, (list, tuple, set, frozenset)):
        texts: Iterable[str] = [_stable(one, above) for one in value]
        texts = sorted(texts) if isinstance(value, (set, frozenset)) else texts
        return f"{kind}({', '.join(texts)})"
    if hasattr(value, "detach") and hasattr(value, "tolist"):  # a tensor
        return f"{kind}({value.dtype}, {tuple(value.shape)}, {_digest(repr(value.tolist()))})"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{kind}({value.dtype}, {value.shape}, {hashlib.sha256(value.tobytes()).hexdigest()})"
    if isinstance(value, functools.partial):
        return f"{kind}({source(value)}, {given(value)})"
    if inspect.isroutine(value):
        return f"{value.__qualname__}({source(value)})"
    if inspect.isclass(value):
        return f"{value.__module__}.{value.__qualname__}"
    held = getattr(value, "__dict__", None)
    return f"{kind}{_stable(held, above)}" if held else f"{kind}({ADDRESS.sub('', repr(value))})"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
