"""What ``%landscape`` reads and prints."""

from typing import TYPE_CHECKING

from IPython.core.error import UsageError

if TYPE_CHECKING:
    from nbtoolkit.capture import Run
    from nbtoolkit.instruments import Instrument


def pairs(verb: str, words: list[str]) -> list[tuple[str, str]]:
    """Settings as they were written."""
    for word in words:
        if "=" not in word:
            raise UsageError(f"{verb} got {word!r}; settings are written SETTING=VALUE.")
    return [(word.partition("=")[0], word.partition("=")[2]) for word in words]


def one_line(run: "Run") -> str:
    """What a run is doing."""
    now = run.status()
    notes = f"; {now.notes[-1]}" if now.notes else ""
    return f"{run.name}: {now.state}, step {now.step}, {now.share:.1%} of the time spent measuring{notes}"


def entry(instrument: "Instrument") -> str:
    """What an instrument gives, needs and costs."""
    outputs = ", ".join(
        f"{key}({', '.join(('step', *var.dims))}) [{var.units}]" for key, var in instrument.outputs.items()
    )
    settings = ", ".join(f"{key}={value!r}" for key, value in instrument.settings.items()) or "none"
    passes = instrument.forward_passes()
    cost = "cost not declared" if passes != passes else f"costs {passes:g} forward passes"
    return (
        f"{instrument.name}: {instrument.doc.splitlines()[0] if instrument.doc else ''}\n"
        f"    gives {outputs}\n"
        f"    needs {', '.join(instrument.needs)}; settings {settings}; every {instrument.every} steps; {cost}"
    )
