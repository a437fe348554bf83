"""The verbs that act on a running loop, and the one that says what deserves attention in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbtoolkit.magics import grammar, words

if TYPE_CHECKING:
    from nbtoolkit.capture import Run
    from nbtoolkit.magics.landscape import LandscapeMagics

ENDS = "the training ends after the step under way; if none is made, a second stop ends the watching alone"


def pause(magics: "LandscapeMagics", command: grammar.Command) -> "Run":
    """Let the training of the current run wait; see `Run.pause`."""
    run = magics.current()
    run.pause()
    return run


def resume(magics: "LandscapeMagics", command: grammar.Command) -> "Run":
    """Let it go on."""
    run = magics.current()
    if run.state == "watching" and run.twin is None and not run.control.bound_to_wait:
        magics.say(command, f"{run.name} is not paused")
    else:
        run.resume()
    return run


def advance(magics: "LandscapeMagics", command: grammar.Command) -> "Run":
    """Let it make some steps, then wait."""
    run = magics.current()
    run.advance(magics.number("advance", command.words[0]) if command.words else 1)
    return run


def lr(magics: "LandscapeMagics", command: grammar.Command) -> "Run":
    """Another learning rate; see `Run.set_lr`. In a watched cell it is a line of the loop, else from outside."""
    from nbtoolkit.capture import acts
    from nbtoolkit.capture.rates import SetRate

    rate, *pairs = command.words
    settings = dict(words.pairs("lr", pairs))
    for key in settings:
        if key != "group":
            raise UsageError(f"lr has no setting {key!r}{grammar.nearest(key, ['group'])} There is: group.")
    group = magics.value(settings["group"]) if "group" in settings else None
    run = magics.current()
    before = len(run.commands)
    acts.give(run, SetRate(magics.number("lr", rate), group), own=magics.stream.runs is not None)
    _told(magics, command, run, before)
    return run


def every(magics: "LandscapeMagics", command: grammar.Command) -> "Run":
    """Another cadence of an instrument; see `Run.every`."""
    name, steps = command.words
    run = magics.current()
    before = len(run.commands)
    run.every(magics.instrument(name), magics.number("every", steps))
    _told(magics, command, run, before)
    return run


def diagnose(magics: "LandscapeMagics", command: grammar.Command) -> Any:
    """What in the current run deserves attention."""
    from nbtoolkit.analysis import checked, diagnose

    run = magics.current()
    found = diagnose(run)
    if "--quiet" not in command.switches:
        print("\n\n".join(map(str, found)) or f"{run.name}: no findings.")
        print(_looked_at(checked(run)))
    return found


def stop(magics: "LandscapeMagics", command: grammar.Command) -> "Run":
    """End the training of the current run if it runs in another thread, and the watching."""
    run = magics.current()
    if run.state == "watching" and run.control.trains_elsewhere() and not run.control.ends:
        run.stop()
        magics.say(command, f"{run.name}: {ENDS}")
    else:
        run.detach()
        magics.say(command, words.one_line(run))
    return run


def export(magics: "LandscapeMagics", command: grammar.Command) -> "Path":
    """The current run, or some of its instruments, as a page; one of them as a picture."""
    from nbtoolkit.widget import export_html, export_image
    from nbtoolkit.widget.image import SUFFIXES

    path, *names = command.words
    run, text = magics.current(), command.options.get("text")
    if not path.lower().endswith(SUFFIXES):
        return export_html(run, path, panels=names or None, text=text)
    if len(names) != 1 or text is not None:
        raise UsageError(f"a picture is of one instrument, without text: %landscape export {path} NAME")
    return export_image(run, names[0], path)


def _looked_at(checks: "Mapping[str, str]") -> str:
    """Which rules were checked, and what the others need."""
    done = [name for name, needs in checks.items() if not needs]
    lines = [f"checked: {', '.join(done) or 'nothing'}"]
    return "\n".join(lines + [f"not checked: {name}, {needs}" for name, needs in checks.items() if needs])


def _told(magics: "LandscapeMagics", command: grammar.Command, run: "Run", before: int) -> None:
    """Say what was done, or that it waits for a step to end."""
    new = run.commands[before:]
    asked = " ".join(command.words)
    magics.say(command, new[-1]["text"] if new else f"{run.name}: {command.verb} {asked}, after the step under way")
