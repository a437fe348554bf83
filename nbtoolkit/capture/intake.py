"""From arrived rows to columns: derived outputs, labels, and the reason of every NaN."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from nbtoolkit.capture.stretch import Block
from nbtoolkit.errors import WatchError
from nbtoolkit.instruments import Instrument, Unknown
from nbtoolkit.store.columns import Columns
from nbtoolkit.store.schema import DIMS, ROOM

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run


def gather(run: "Run", *, wait: bool = False) -> None:
    """Bring what has reached the host into the columns; all of it if ``wait``.

    Of values that several processes measure in parts, only those that are whole.
    """
    run.rows.flush(run.step)
    for arrived in run.rows.arrived(wait=wait):
        for block in (arrived,) if run.exchange is None else run.exchange.take(arrived):
            take(block, run.record.groups[block.group], run.instruments.get(block.group), run.note)


def kept(run: "Run") -> None:
    """A row that comes after the end goes to the store at once; until then the writing thread takes it."""
    if run.appender is not None and run.state != "watching":
        gather(run, wait=True)
        run.appender.write()


def take(block: Block, columns: Columns, instrument: Instrument | None, note: Callable[[str], None]) -> None:
    """Append a block of rows to its columns.

    Args:
        block: the rows, on the host.
        columns: where they go.
        instrument: derives further outputs; None for values that the user logged.
        note: told of what deserves attention.
    """
    reason = block.reason
    values: Mapping[str, np.ndarray] = {}
    if block.values and not reason:
        try:
            _explain_holes(block, columns)
            _flag_non_finite(block, columns, note)
            values = block.values if instrument is None else instrument.finish(_masked(block))
            values = {key: array for key, array in values.items() if not _unknown(key, array, block, columns)}
            _check_shapes(values, columns, block.labels)
            _explain_derived(block, columns, values)
        except Exception as error:
            reason, values = f"{type(error).__name__}: {error}".splitlines()[0], {}
    if reason:
        note(f"{columns.name} could not be read at step {block.steps[0]}: {reason}")
        for output in columns.variables:
            columns.missing(output, block.steps[0], reason, len(block.steps))
    columns.append(block.steps, values, dim_labels(columns, values, block.labels))


def explained(outputs: Mapping[str, Any], columns: Columns, step: int) -> dict[str, Any]:
    """The outputs with what is known, or a hole, for each `Unknown`, whose reason is kept."""
    kept = dict(outputs)
    for output, value in outputs.items():
        if isinstance(value, Unknown):
            columns.missing(output, step, value.reason)
            kept[output] = value.known
    return kept


def _masked(block: Block) -> dict[str, np.ndarray]:
    """The values with a mask over what the loop did not give, which is not the same as a NaN it gave."""
    values = dict(block.values)
    for output, places in block.holes.items():
        mask = np.zeros(values[output].shape, bool)
        mask.reshape(len(mask), -1)[:, list(places)] = True
        values[output] = np.ma.masked_array(values[output], mask)
    return values


def _unknown(output: str, array: np.ndarray, block: Block, columns: Columns) -> bool:
    """Whether this stands for an output with dims that has no value at all, beside others that have."""
    return array.ndim == 1 and output in block.holes and bool(columns.variables[output].dims)


def _check_shapes(values: Mapping[str, np.ndarray], columns: Columns, labels: Mapping[str, Any]) -> None:
    for output, array in values.items():
        dims = columns.variables[output].dims
        if array.ndim != 1 + len(dims):
            raise ValueError(f"{output} has {array.ndim - 1} dims where {dims} are declared")
        for dim, size in zip(dims, array.shape[1:], strict=True):
            if dim in labels and len(labels[dim]) != size:
                raise ValueError(f"{output} has {size} values along {dim}, of which there are {len(labels[dim])}")


def _explain_holes(block: Block, columns: Columns) -> None:
    for output, places in block.holes.items():
        reasons = columns.reasons.get(output, {})
        if output not in columns.variables or (block.values[output].ndim == 1 and reasons):
            continue
        dims = columns.variables[output].dims
        labels = block.labels.get(dims[0], range(max(places) + 1)) if dims else ()
        names = ", ".join(str(labels[place]) for place in places) if dims else "this step"
        columns.missing(output, block.steps[0], f"the loop gives none for {names}", len(block.steps))


def _flag_non_finite(block: Block, columns: Columns, note: Callable[[str], None]) -> None:
    """A value that was measured and is NaN or infinite is kept, and said."""
    for output, array in block.values.items():
        if output in columns.variables and ROOM.intersection(columns.variables[output].dims):
            continue
        # In a matrix NaN is the only way to leave a place blank (a layer that is not called, a gradient that is zero).
        wrong = np.isinf(array) if array.ndim > 2 else ~np.isfinite(array)
        if output in block.holes:
            wrong = wrong.reshape(len(array), -1)
            wrong[:, list(block.holes[output])] = False
        if wrong.any():
            first = block.steps[int(np.argmax(wrong.reshape(len(array), -1).any(axis=1)))]
            columns.attrs.setdefault("first_non_finite_step", first)
            note(f"{columns.name} is not finite from step {first} on")


def _explain_derived(block: Block, columns: Columns, values: Mapping[str, np.ndarray]) -> None:
    sources = [np.isfinite(array).all() for key, array in block.values.items() if key not in block.holes]
    for output in values.keys() - block.values.keys():
        undefined = np.isnan(values[output]).reshape(len(block.steps), -1).any(axis=1)
        if undefined.any() and all(sources):
            first = block.steps[int(np.argmax(undefined))]
            columns.missing(output, first, "undefined there, or the loop gives nothing", int(undefined.sum()))


def dim_labels(columns: Columns, values: Mapping[str, np.ndarray], known: Mapping[str, Any]) -> dict[str, Any]:
    """Labels of every dim of the columns; where the loop knows none, the index."""
    labels: dict[str, Any] = {}
    for key, array in values.items():
        for dim, size in zip(columns.variables[key].dims, array.shape[1:], strict=True):
            labels[dim] = known.get(dim, range(size))
    return labels


def scalars(values: Mapping[str, Any], instruments: Mapping[str, Any]) -> dict[str, Tensor | float]:
    """What the user logs, by names that are free.

    Raises:
        WatchError: a value is no scalar, or its name means something else.
    """
    for name in values:
        if not name.isidentifier() or name in DIMS:
            raise WatchError(f"run.log got the name {name!r}; use letters, digits and '_', and no name of a dim.")
        if name in instruments:
            raise WatchError(f"run.log({name}=...): {name!r} is an instrument of this run; use another name.")
    return {name: scalar(name, value) for name, value in values.items()}


def scalar(name: str, value: Any) -> Tensor | float:
    """A logged value, left on its device if it is a tensor, copied since the loop may change it."""
    try:
        if isinstance(value, Tensor):
            scalar = value.detach().reshape(()).clone()
            return scalar if scalar.is_floating_point() else scalar.double()
        return float(np.reshape(value, ()))
    except (TypeError, ValueError, RuntimeError):
        raise WatchError(
            f"run.log({name}=...) got {type(value).__name__} {str(value)[:40]!r}; log scalars: one number each."
        ) from None
