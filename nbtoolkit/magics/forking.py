"""``%landscape fork``: a twin of the run, with its own Board."""

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbtoolkit.magics import execute, grammar, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbtoolkit.capture import Run
    from nbtoolkit.capture.replay import Start
    from nbtoolkit.magics.landscape import LandscapeMagics

WHICH = (
    "fork needs STEP, the name of a function that makes one step of the loop, or at=STEP to run the cell again up to "
    "there, if it began with %%landscape --forkable."
)
RUNNING = (
    "the cell of {name} is still running, and at= is for one that has ended: leave at= out and ask from another "
    "thread, or on the Board."
)


def start(magics: "LandscapeMagics", command: grammar.Command, cell: str) -> "Start | None":
    """What a cell begins with, where that is to be kept."""
    if "--forkable" not in command.switches:
        return None
    from nbtoolkit.capture.replay import Start

    shell = magics.shell
    try:
        code = compile(shell.transform_cell(cell), "<cell>", "exec", dont_inherit=True)
    except SyntaxError:  # it is the cell's own, and is told of when it runs
        return None
    only = shell.user_ns.get(command.words[1]) if command.words else None
    hidden = execute.Hidden(shell)

    def again() -> None:
        with magics.stream.cell(), hidden:  # what the cell announces is no business of the run it began
            execute.cell(shell, cell)

    def turned(child: "Run", started: "Callable[[Run], None]") -> None:
        magics.stream.began(child)
        with hidden.lifted():
            started(child)

    return Start(code, shell.user_ns, again, command.options.get("variable", ""), only, turned)


def fork(magics: "LandscapeMagics", command: grammar.Command) -> "Run":
    """Fork the current run by a function of the notebook, or by running its cell again; see `Run.fork`."""
    from nbtoolkit.capture.again import Again
    from nbtoolkit.capture.changes import Changes
    from nbtoolkit.capture.fork import fork as forked
    from nbtoolkit.capture.forking import Fork, asked
    from nbtoolkit.capture.replay import replay

    named = [word for word in command.words[:1] if "=" not in word]
    settings = _settings(magics, command.words[len(named) :])
    run = magics.current()
    asks = not named and "at" not in settings and run.state == "watching" and run.control.trains_elsewhere()
    if not asks and bool(named) == ("at" in settings):
        raise UsageError(WHICH)

    def started(child: "Run") -> None:
        magics.stream.began(child)
        if "variable" in command.options:
            magics.shell.user_ns[command.options["variable"]] = child
        if "--quiet" not in command.switches:
            from nbtoolkit.widget import show

            show(child)

    if asks:
        return asked(run, Fork(**settings, started=started))
    changes = Changes(*(settings.pop(key, None) for key in ("lr", "seed", "perturb")))
    if named:
        return forked(run, magics.dotted(named[0]), changes, started=started, **settings)
    if isinstance(run.control.maker, Again):
        raise UsageError(RUNNING.format(name=run.name))
    if magics.start is None or run not in magics.start.runs:
        raise UsageError(f"at= runs the cell of {run.name} again, whose start was not kept: %%landscape --forkable.")
    return replay(magics.start, run, settings.pop("at"), changes, started=started, **settings)


def _settings(magics: "LandscapeMagics", pairs: list[str]) -> dict[str, Any]:
    settings = {}
    for key, value in words.pairs("fork", pairs):
        if key not in grammar.FORK:
            known = ", ".join(grammar.FORK)
            raise UsageError(f"fork has no setting {key!r}{grammar.nearest(key, grammar.FORK)} There are: {known}.")
        settings[key] = value if key == "name" else magics.value(value)
    return settings
