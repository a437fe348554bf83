"""The findings of a run for its Board: looked for so seldom that it costs next to nothing."""

from dataclasses import asdict
from time import perf_counter
from typing import Any

from nbtoolkit.analysis import rules
from nbtoolkit.analysis.findings import Finding, found, in_order
from nbtoolkit.analysis.recorded import recorded

REST = 200.0  # times as long as it took, which keeps it below 1/200 of the time
LEAST = 1.0  # seconds
FAILED = "this rule failed and is left out: {kind}: {error}"


class Strip:
    """What the rules see in a run, as JSON allows it. Called on the training thread, with the run's lock held.

    It reads ``run.record`` and nothing else. A rule that raises is left out from then on, and a note says so.

    Args:
        run: whose record is read.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self._due = 0.0
        self._rules = dict(rules.known())
        self._failed: list[Finding] = []
        self._known: list[dict[str, Any]] | None = None  # None: nothing was given yet

    def findings(self, *, now: bool = False) -> list[dict[str, Any]] | None:
        """The findings as they are now; None where they are unchanged since the last call, or not due.

        Args:
            now: look even where it is not due, as at the end of a run.
        """
        started = perf_counter()
        if started < self._due and not now:
            return None
        told = [asdict(one) for one in self._look()]
        ended = perf_counter()
        self._due = ended + max(LEAST, REST * (ended - started))
        if told == self._known:
            return None
        self._known = told
        return told

    @property
    def known(self) -> list[dict[str, Any]]:
        """The findings of the last look, for a message that repeats everything."""
        return self._known or []

    def _look(self) -> list[Finding]:
        seen: list[Finding] = []
        try:
            data = recorded(self._run.record)
        except Exception as error:
            return self._leave_out("reading the record", error)
        for key, one in tuple(self._rules.items()):
            try:
                seen += found(one, data)
            except Exception as error:
                del self._rules[key]
                self._leave_out(one.name, error)
        return in_order([*seen, *self._failed])

    def _leave_out(self, name: str, error: Exception) -> list[Finding]:
        text = FAILED.format(kind=type(error).__name__, error=str(error).splitlines()[0] if str(error) else "")
        if not any(one.rule == name for one in self._failed):
            self._failed.append(Finding(name, "note", 0, text, "", "", "", "", None))
        return self._failed
