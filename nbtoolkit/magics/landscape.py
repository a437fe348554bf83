"""``%landscape`` and ``%%landscape``: each verb is one call of a public function."""

import ast
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from nbtoolkit.errors import LandscapeError, TrainingStopped
from nbtoolkit.magics import complete, control, execute, forking, grammar, opening, options, tasks, words

if TYPE_CHECKING:
    from nbtoolkit.capture import Run
    from nbtoolkit.instruments import Instrument

MOST_BOARDS = 4  # in one cell: a sweep may begin hundreds of runs
NO_STEP = (
    "%%landscape saw no optimizer step in this cell, so there is nothing to show: it watches the step() of "
    "torch.optim optimizers that the cell itself runs."
)


@magics_class
class LandscapeMagics(Magics):
    """The magic; it remembers the runs it has begun."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.runs: list[Run] = []
        self.start: Any = None  # of the last forkable cell
        self.stream = tasks.Announced()
        self._before_cell = 0

    @no_var_expand
    @line_cell_magic
    def landscape(self, line: str, cell: str | None = None) -> Any:
        """See a network train. ``%landscape -h`` shows the grammar."""
        __tracebackhide__ = True
        try:
            command = grammar.parse(line, cell=cell is not None)
        except grammar.GrammarError as error:
            raise UsageError(str(error)) from None
        if "--help" in command.switches:
            return self._help(command, cell)
        if cell is not None:
            return self._cell(command, cell)
        own = getattr(self, f"_{command.verb or 'status'}", None)
        try:
            result = own(command) if own else getattr(control, command.verb)(self, command)
        except LandscapeError as error:
            raise UsageError(str(error)) from None
        return self._deliver(command, result)

    # -- verbs -----------------------------------------------------------------------------

    def _status(self, command: grammar.Command) -> "list[Run]":
        if "--quiet" not in command.switches:
            print(
                "\n".join(words.one_line(one) for run in self.runs for one in (run, *run.forks))
                or "nothing is watched; %landscape -h shows how."
            )
        return self.runs

    def _watch(self, command: grammar.Command) -> "Run":
        from nbtoolkit.capture import watch

        model, optimizer = (self._variable(word) for word in command.words)
        run = watch(model, optimizer, **options.watching(self, command), **options.data(self, command))
        self._before_cell = len(self.runs)
        self._began(command, run)
        return run

    def _show(self, command: grammar.Command) -> "Run":
        from nbtoolkit.widget import show

        run = self.current()
        for name in command.words:
            if name not in run.record.groups:
                known = run.record.groups
                raise UsageError(
                    f"{run.name} has no {name!r}{grammar.nearest(name, known)} It has: {', '.join(known)}."
                )
        show(run, names=command.words or None)
        return run

    def _open(self, command: grammar.Command) -> "Run":
        return opening.stored(self, command)

    def _measure(self, command: grammar.Command) -> Any:
        name, *pairs = command.words
        instrument = self.instrument(name)
        settings = {
            key: self._setting(instrument.settings.get(key), text) for key, text in words.pairs("measure", pairs)
        }
        run = self.current()
        probe = options.probe(self, command)
        if command.switches & {"--quiet", "--output"}:
            return run.measure(instrument, **probe, **settings)
        from nbtoolkit.widget import following, show

        if not instrument.progressive:
            measured = run.measure(instrument, **probe, **settings)
            show(run, names=[instrument.name])
            return measured
        with following(run, [instrument.name]):
            return run.measure(instrument, **probe, **settings)

    def _fork(self, command: grammar.Command) -> "Run":
        return forking.fork(self, command)

    def _task(self, command: grammar.Command) -> None:
        tasks.announce(self, command.words[0] if command.words else None)

    def _list(self, command: grammar.Command) -> Any:
        from nbtoolkit.instruments import known

        if "--quiet" not in command.switches:
            print("\n".join(words.entry(item) for item in known().values()))
        return known()

    def _save(self, command: grammar.Command) -> Any:
        path = self.current().save(command.words[0])
        self.say(command, f"saved to {path}")
        return path

    def _export(self, command: grammar.Command) -> Any:
        path = control.export(self, command)
        self.say(command, f"exported to {path}")
        return path

    # -- the cell --------------------------------------------------------------------------

    def _cell(self, command: grammar.Command, cell: str) -> Any:
        __tracebackhide__ = True
        self._before_cell = began = len(self.runs)
        start = forking.start(self, command, cell)
        watching = self._watching(command, start)
        value = None
        with contextlib.suppress(TrainingStopped), watching, self.stream.cell():
            value = execute.cell(self.shell, cell)
        runs = self.runs[began:]
        if start is not None:
            start.runs, self.start = runs, start
        complaint = getattr(watching, "complaint", "")
        if (complaint or not runs) and "--quiet" not in command.switches:
            print(complaint or NO_STEP, file=sys.stderr)
        result = runs[0] if len(runs) == 1 else runs
        given_back = self._deliver(command, result)
        return given_back if "--output" in command.switches else value

    def _watching(self, command: grammar.Command, start: Any) -> Any:
        from nbtoolkit.capture import Discovery, watch
        from nbtoolkit.store import files

        try:
            known = options.watching(self, command)
            if known.get("store"):
                files.check_free(known["store"])
            if command.words:
                model, optimizer = (self._variable(word) for word in command.words)
                run = watch(model, optimizer, **known, **options.data(self, command))
                self._began(command, run, start)
                return run
        except LandscapeError as error:
            raise UsageError(str(error)) from None
        began, data = (lambda run: self._began(command, run, start)), (lambda: options.data(self, command))
        return Discovery(self.shell.user_ns, began, late=data, **known)

    def _began(self, command: grammar.Command, run: "Run", start: Any = None) -> None:
        self.runs.append(run)
        if start is not None:
            start.began(run)
        self.stream.began(run)
        if "variable" in command.options:
            self.shell.user_ns[command.options["variable"]] = run
        if "--quiet" in command.switches:
            return
        shown = len(self.runs) - self._before_cell
        if shown <= MOST_BOARDS:
            from nbtoolkit.widget import show

            show(run)
        if shown == MOST_BOARDS:
            print(f"runs after the first {MOST_BOARDS} are recorded without a Board; -o gives all of them back")

    # -- words to things -------------------------------------------------------------------

    def dotted(self, name: str) -> Any:
        """A variable, or an attribute of one."""
        first, *rest = name.strip().split(".")
        thing = self._variable(first)
        for word in rest:
            if not hasattr(thing, word):
                raise UsageError(f"{name!r}: {first} has no {word!r}{grammar.nearest(word, dir(thing))}")
            thing = getattr(thing, word)
        return thing

    def _variable(self, name: str) -> Any:
        if name not in self.shell.user_ns:
            names = [key for key in self.shell.user_ns if not key.startswith("_")]
            raise UsageError(
                f"{name!r} is no variable of this notebook{grammar.nearest(name, names)} "
                "%%landscape without names finds model and optimizer by itself."
            )
        return self.shell.user_ns[name]

    def instrument(self, name: str) -> "Instrument":
        """An instrument of the notebook's own, or one on the shelf."""
        from nbtoolkit.instruments import Instrument, known

        own = self.shell.user_ns.get(name)
        if isinstance(own, Instrument):
            return own
        if name in known():
            return known()[name]
        raise UsageError(f"no instrument {name!r}{grammar.nearest(name, known())} There are: {', '.join(known())}.")

    def _setting(self, default: Any, text: str) -> Any:
        """The value of a setting; where words are expected, a word that is no variable is itself."""
        if isinstance(default, str) and text.isidentifier() and text not in self.shell.user_ns:
            return text
        return self.value(text)

    def value(self, text: str) -> Any:
        """A literal, or a variable."""
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            if not text.isidentifier():
                raise UsageError(f"{text!r} is neither a literal nor a name; give it a name first.") from None
            return self._variable(text)

    def number(self, what: str, text: str) -> Any:
        """A number, or a variable that holds one."""
        if text.isidentifier() and text not in self.shell.user_ns:
            raise UsageError(f"{what} got {text!r}, which is neither a number nor a variable of this notebook.")
        return self.value(text)

    def current(self) -> "Run":
        """The run begun last; where it has ended, one that the notebook has begun in Python and that goes on."""
        last = self.runs[-1:]
        if not last or last[0].state != "watching":
            last = self._begun_in_python() or last
        if not last:
            raise UsageError("nothing has been watched yet: put %%landscape on top of a training cell.")
        return last[-1]

    def _begun_in_python(self) -> "list[Run]":
        """The runs under way among the variables of the notebook, and those of its optimizers."""
        from torch.optim import Optimizer

        from nbtoolkit.capture import Run
        from nbtoolkit.capture.watch import watching

        held = [value for name, value in self.shell.user_ns.items() if not name.startswith("_")]
        runs = [watching(value) if isinstance(value, Optimizer) else value for value in held]
        return [run for run in runs if isinstance(run, Run) and run.state == "watching"]

    def _deliver(self, command: grammar.Command, result: Any) -> Any:
        if "variable" in command.options:
            self.shell.user_ns[command.options["variable"]] = result
        return result if "--output" in command.switches else None

    def say(self, command: grammar.Command, text: str) -> None:
        """Print, unless that is not wanted."""
        if "--quiet" not in command.switches:
            print(text)

    def _help(self, command: grammar.Command, cell: str | None) -> None:
        if command.verb == "measure" and command.words:
            instrument = self.instrument(command.words[0])
            print(words.entry(instrument), instrument.doc, sep="\n\n")
            return
        print(grammar.help_text("%%" if cell is not None else command.verb or None))


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%landscape``; called by ``%load_ext nbtoolkit``."""
    magics = LandscapeMagics(shell)
    shell.register_magics(magics)
    complete.install(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by ``%unload_ext nbtoolkit``; runs under way go on."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("landscape", None)
