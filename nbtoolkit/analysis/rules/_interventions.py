"""What was done to the run by hand while it was under way."""

from collections.abc import Iterator

from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.rule import Sign, rule

CHANGES = ("lr",)  # commands that make the run another one; the others only wait or look
SHOWN = 3


@rule(
    "changed by hand",
    severity="note",
    needs=(),
    reference="",
    advice="Keep the changes beside the result: a run without them goes another way.",
)
def interventions(data: Recorded) -> Iterator[Sign]:
    """Commands that changed the training were given while it ran (`Run.commands`); not those of the loop itself."""
    done = [one for one in data.attrs.get("commands", ()) if one.get("what") in CHANGES and not one.get("own")]
    if done:
        told = [f"step {one['step']}: {one['text']}" for one in done[-SHOWN:]]
        more = f"{len(done) - SHOWN} before; " if len(done) > SHOWN else ""
        yield Sign(done[0]["step"], "the training was changed while it ran", more + "; ".join(told))
