"""What a run keeps of what is measured: rows, and the reason where there is none."""

from typing import TYPE_CHECKING, Any

from nbtoolkit.capture import intake
from nbtoolkit.capture.stretch import Labels
from nbtoolkit.errors import LandscapeError, WatchError
from nbtoolkit.instruments import Instrument, Unknown
from nbtoolkit.store.columns import Columns

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run


def declare(run: "Run", instrument: Instrument) -> None:
    """Make room for what an instrument measures.

    Raises:
        WatchError: the run has something else under that name.
    """
    held = run.record.groups.get(instrument.name)
    if held is not None and held.variables.keys() != instrument.outputs.keys():
        raise WatchError(f"{run.name} has a {instrument.name!r} already, with other variables; rename one.")
    run.instruments[instrument.name] = instrument
    run.record.group(instrument.name, instrument.outputs, instrument.attrs())


def log_terms(self: "Run", **terms: Any) -> None:
    """Name the additive terms of this step's loss, e.g. ``run.log_terms(ce=ce, decay=decay)``."""
    run = self.twin or self
    steps = run.steps
    if steps is None:
        return
    if steps.schedule.wants("term_grads", run.step):
        before = steps.clock.measuring
        steps.guarded(lambda: steps.loop.take_term_grads(terms))
        steps.measuring.terms_seconds += steps.clock.measuring - before
    steps.loop.set_terms(terms)


def draft(run: "Run", instrument: Instrument, outputs: dict[str, Any], labels: Labels, *interrupt: Any) -> None:
    """A measurement at the present step has come to another stage, or been interrupted."""
    run.drafts.take(instrument, run.step, outputs, labels, *interrupt)


def measured(run: "Run", instrument: Instrument, outputs: "dict[str, Any] | Exception", labels: Labels) -> None:
    """Keep what an instrument measured at the present step; where it raised, NaN and why."""
    columns = run.record.groups[instrument.name]
    _resettle(run, instrument, columns)
    run.failures.pop(instrument.name, None)
    if isinstance(outputs, Exception):
        own = isinstance(outputs, LandscapeError)
        reason = (str(outputs) if own else f"{type(outputs).__name__}: {outputs}").splitlines()[0]
        run.failures[instrument.name] = reason
        run.note(f"{instrument.name} could not be measured at step {run.step}: {reason}")
        outputs = dict.fromkeys(instrument.outputs, Unknown(reason))
    run.drafts.settle(instrument.name)
    known = intake.explained(outputs, columns, run.step)
    run.rows.add(instrument.name, run.step, {} if not any(v is not None for v in known.values()) else known, labels)


def _resettle(run: "Run", instrument: Instrument, columns: Columns) -> None:
    """Of rows with other settings than the next one, say which they had and how many they are."""
    told = instrument.attrs()
    if told["settings"] != columns.attrs.get("settings"):
        run.gather(wait=True)
        if len(columns):
            earlier = {"rows": len(columns), "settings": columns.attrs.get("settings")}
            columns.attrs["earlier_settings"] = [*columns.attrs.get("earlier_settings", []), earlier]
        columns.attrs |= told


def missing_loss(run: "Run", step: int, reason: str) -> None:
    """No loss is known for this step."""
    if "loss" in run.record.groups:
        run.record.groups["loss"].missing("loss", step, reason)
    run.note(f"loss is unknown from step {step}: {reason}")
