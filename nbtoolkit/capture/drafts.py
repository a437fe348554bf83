"""Measurements under way: what an instrument with several stages has so far."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtoolkit.capture.intake import dim_labels
from nbtoolkit.capture.stretch import Labels
from nbtoolkit.instruments import Instrument, Unknown, on_host

if TYPE_CHECKING:
    from nbtoolkit.store.columns import Record

TELL_SECONDS = 0.1


class Drafts:
    """The latest stage told of every measurement under way; shown, never stored.

    Args:
        record: whose groups they belong to.
        tell: called when there is something new, ten times a second at most.
    """

    def __init__(self, record: "Record", tell: Callable[[], None]) -> None:
        self._record, self._tell = record, tell
        self._latest: dict[str, tuple[int, dict[str, np.ndarray]]] = {}
        self._interrupt: BaseException | None = None
        self._told = 0.0

    def take(
        self, instrument: Instrument, step: int, outputs: Mapping[str, Any], labels: Labels,
        interrupt: BaseException | None = None,
    ) -> None:  # fmt: skip
        """A stage is complete; with ``interrupt`` there will be no other."""
        self._interrupt = interrupt
        if perf_counter() - self._told <= TELL_SECONDS:
            return  # nobody would see it
        columns = self._record.groups[instrument.name]
        row = {key: on_host(value)[None] for key, value in outputs.items() if not isinstance(value, Unknown)}
        labels = dim_labels(columns, row, labels)
        columns.widen(labels)
        self._latest[instrument.name] = (step, columns.placed(row, labels))
        self._tell()
        self._told = perf_counter()

    def rows(self) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Step and values of one row by group, as `Columns.rows` gives them."""
        return {name: (np.array([step]), values) for name, (step, values) in self._latest.items()}

    def settle(self, name: str) -> None:
        """The row itself is there."""
        self._latest.pop(name, None)

    def raise_interrupt(self) -> None:
        """Let the user's interrupt of a measurement go on its way, now that what was measured is kept."""
        if self._interrupt is not None:
            interrupt, self._interrupt = self._interrupt, None
            raise interrupt
