"""Several runs as one, for a Board: their curves by label, live while any of them trains."""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unicodedata import bidirectional

from nbtoolkit.analysis.overlay import Overlay, distinct
from nbtoolkit.capture.status import GOING_ON, Status
from nbtoolkit.errors import LandscapeError

if TYPE_CHECKING:
    import xarray

INTERVAL = 0.1  # seconds between two looks at runs that train
SHARE = 0.005  # of the time, for bringing the curves together
LETTERS = 80  # of a name made of labels
LEFTWARDS = {"R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI", "PDF", "PDI"}  # Unicode's annex 9
CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
FORMS = (
    "it needs a run, or a Bokeh figure. Several runs come as show(a, b), or in a dict of runs or lists of them by label"
)


class OverlaidRuns:
    """Several runs, by label; to a Board it is like a run, but there is no loop to act on.

    Args:
        parts: the runs under each label; of several their mean is shown.
        names: groups of which more than scalars is wanted.
    """

    def __init__(self, parts: Mapping[str, Sequence[Any]], names: Iterable[str] | None = None) -> None:
        self.parts = {label: list(runs) for label, runs in parts.items()}
        self.runs = [run for runs in self.parts.values() for run in runs]
        self.lock = threading.RLock()
        self.listeners: list[Callable[[OverlaidRuns], None]] = []
        self.ears: list[Callable[[], None]] = []
        self.drafts = NoDrafts()
        self.record = Overlay(
            {label: [run.record for run in runs] for label, runs in self.parts.items()}, () if names is None else names
        )
        self.name = joined(list(self.record.sources))
        self._own_notes: list[str] = []
        self._next = 0.0
        for run in self.runs:
            if run.state in GOING_ON:
                follow(run, self)

    @property
    def state(self) -> str:
        """``watching`` while any run is."""
        return "watching" if any(run.state in GOING_ON for run in self.runs) else "finished"

    @property
    def step(self) -> int:
        """Steps of the longest run."""
        return max(run.status().step for run in self.runs)

    @property
    def notes(self) -> list[str]:
        """What is left out, and what deserves attention."""
        return [*self.record.notes, *self._own_notes]

    @property
    def commands(self) -> list[dict[str, Any]]:
        """What was done to any of the runs, by label, in the order of their steps."""
        told = [
            {**command, "text": f"{label}: {command['text']}"}
            for label, runs in self.parts.items()
            for run in runs
            for command in run.record.attrs.get("commands", ())
        ]
        return sorted(told, key=lambda command: command["step"])

    @property
    def data(self) -> "xarray.DataTree":
        """The curves: along the dim ``run``, at all steps of any run."""
        with self.lock:
            self.record.refresh()
            return self.record.tree()

    def __repr__(self) -> str:
        """One line: its labels."""
        return f"<{len(self.runs)} runs: {self.name}>"

    def status(self) -> Status:
        """Steps of the longest; whether any trains; no rate, which they do not share."""
        told = [run.status() for run in self.runs]
        states = {status.state for status in told}
        state = states.pop() if len(states) == 1 else self.state
        return Status(max(s.step for s in told), float("nan"), float("nan"), float("nan"), state, self.notes)

    def hear(self, run: Any) -> None:
        """A run has new rows, or has ended: take them in, seldom enough to cost the training next to nothing."""
        now = perf_counter()
        if now < self._next and run.state in GOING_ON:
            return
        with self.lock:
            self.record.refresh()
        self._tell(self.listeners, self)
        cost = perf_counter() - now
        self._next = now + max(INTERVAL, cost / SHARE if self.record.several else 0.0)

    def listen_in(self) -> None:
        """Let in what the browser says."""
        self._tell(self.ears)

    def _tell(self, callbacks: list[Callable[..., None]], *args: Any) -> None:
        for callback in tuple(callbacks):
            try:
                callback(*args)
            except Exception as error:
                with contextlib.suppress(ValueError):
                    callbacks.remove(callback)
                self._own_notes.append(f"a listener was dropped: {type(error).__name__}: {error}")


def joined(labels: Sequence[str]) -> str:
    """Labels as one name of at most `LETTERS`; those in different directions do not run into each other."""
    kept: list[str] = []
    whole = len(", ".join(labels)) <= LETTERS
    room = LETTERS if whole else LETTERS - 1
    for label in labels:
        if room > 0:
            kept.append(label[:room])
        room -= len(label) + 2
    if not whole:
        kept[-1] += "…"
    if any(bidirectional(letter) in LEFTWARDS for label in kept for letter in label):
        # Those the label has itself could end its isolation.
        kept = [f"\u2068{''.join(letter for letter in label if letter not in CONTROLS)}\u2069" for label in kept]
    return ", ".join(kept)


class NoDrafts:
    """Measurements under way belong to one run."""

    def rows(self) -> dict[str, Any]:
        """None."""
        return {}


def follow(run: Any, overlaid: OverlaidRuns) -> None:
    """Tell an overlay of a run's news for as long as anybody holds the overlay and the run trains."""
    reference = weakref.ref(overlaid)

    def news(run: Any) -> None:
        one = reference()
        if one is not None:
            one.hear(run)
        if one is None or run.state not in GOING_ON:
            run.listeners.remove(news)

    run.listeners.append(news)
    ears = getattr(run, "ears", None)
    if ears is None:
        return

    def ear() -> None:
        one = reference()
        if one is not None:
            one.listen_in()
        else:
            ears.remove(ear)

    ears.append(ear)


def overlaid(
    runs: Sequence[Any], labels: Sequence[str] | None = None, names: Iterable[str] | None = None
) -> OverlaidRuns:
    """Runs in one picture, by label.

    Args:
        runs: runs or lists of runs, one for each label; or a single list or dict of them.
        labels: one for each; by default the keys of the dict, or the names of the runs.
        names: groups of which more than scalars is wanted.

    Raises:
        TypeError: something is no run.
        LandscapeError: there are not as many labels as runs.
    """
    given: Any = runs[0] if len(runs) == 1 else list(runs)
    if isinstance(given, Mapping):
        found = [(str(label), _runs(one, given)) for label, one in given.items()]
    else:
        held = [_runs(one, given) for one in (given if isinstance(given, (list, tuple)) else [given])]
        found = [(", ".join(dict.fromkeys(run.name for run in own)), own) for own in held]
    if not found:
        raise TypeError(f"show() got a {type(given).__name__}; {FORMS}; this one is empty.")
    if labels is not None:
        if isinstance(labels, str) or len(labels) != len(found):
            count = "one text" if isinstance(labels, str) else str(len(labels))
            raise LandscapeError(f"show() got {count} as labels for {len(found)} runs; give a list with one for each.")
        found = [(str(label), own) for label, (_, own) in zip(labels, found, strict=True)]
    parts: dict[str, list[Any]] = {}
    for label, own in found:
        parts[distinct(label or "run", parts)] = own
    return OverlaidRuns(parts, names)


def _runs(one: Any, given: Any) -> list[Any]:
    """The runs under one label of what was given."""
    runs = list(one) if isinstance(one, (list, tuple)) else [one]
    runs = [getattr(run, "run", run) for run in runs]  # of a Board its run
    for run in runs:
        if not hasattr(run, "record") or isinstance(run, OverlaidRuns):
            got = type(given).__name__
            raise TypeError(f"show() got a {got}; {FORMS}; among these is a {type(run).__name__}.")
    if not runs:
        raise TypeError(f"show() got a {type(given).__name__}; {FORMS}; one label has no runs.")
    return runs
