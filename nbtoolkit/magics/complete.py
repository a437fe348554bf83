"""TAB after ``%landscape``: verbs, options, the notebook's variables, instruments, their settings."""

import sys
from types import FunctionType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from nbtoolkit.magics import grammar, opening


def install(shell: InteractiveShell) -> None:
    """Complete lines that begin with the magic."""
    for key in ("%landscape", "%%landscape"):
        shell.set_hook("complete_command", _complete, str_key=key)


def words(shell: Any, line: str) -> list[str]:
    """What may follow ``line``, whose last word may be incomplete."""
    head, *given = line.split(" ")
    done, begun = given[:-1], given[-1] if given else ""
    is_cell = head.startswith("%%")
    verb = "" if is_cell or not done else done[0]
    spec = grammar.CELL if is_cell else grammar.VERBS.get(verb, grammar.VERBS[""])
    options = {spelling: option for option in (*spec.options, *grammar.COMMON) for spelling in option.spellings}
    if done and done[-1] in options and options[done[-1]].value:
        found = _instruments(shell) if options[done[-1]].repeats else []
    elif begun.startswith("-"):
        found = list(options)
    elif not is_cell and not done:
        found = [name for name in grammar.VERBS if name]
    elif verb == "fork":
        found = [f"{name}=" for name in grammar.FORK] if len(done) >= 2 else _functions(shell)
    elif verb == "measure" and len(done) >= 2:
        found = [f"{name}=" for name in _settings(shell, done[1])]
    elif verb == "measure":
        found = _instruments(shell)
    elif verb == "every":
        found = _instruments(shell) if len(done) < 2 else []
    elif verb == "lr":
        found = ["group="] if len(done) >= 2 else []
    elif verb == "export":
        found = _measured(shell) if len(done) >= 2 else []
    elif verb == "task":
        found = _tasks(shell)
    elif verb == "open":
        found = opening.paths(begun) if all(word.startswith("-") for word in done[1:]) else []
    elif verb == "show":
        found = _measured(shell)
    else:
        found = _variables(shell, spec, len(done) - (not is_cell))
    return [word for word in found if word.startswith(begun)]


def _complete(shell: Any, event: Any) -> list[str]:
    try:
        return words(shell, event.line)
    except Exception:  # an error while typing must not print a traceback into the notebook
        return []


def _shelf() -> Any:
    """The shelf of instruments, if something has loaded it: completion loads nothing heavy."""
    return sys.modules.get("nbtoolkit.instruments")


def _instruments(shell: Any) -> list[str]:
    shelf = _shelf()
    if shelf is None:
        return []
    own = [name for name, thing in shell.user_ns.items() if isinstance(thing, shelf.Instrument)]
    return [*shelf.known(), *own]


def _settings(shell: Any, name: str) -> list[str]:
    shelf = _shelf()
    if shelf is None:
        return []
    instrument = shell.user_ns.get(name, shelf.known().get(name))
    return list(instrument.settings)


def _measured(shell: Any) -> list[str]:
    magics = shell.magics_manager.registry.get("LandscapeMagics")
    return list(magics.runs[-1].record.groups) if magics is not None and magics.runs else []


def _tasks(shell: Any) -> list[str]:
    magics = shell.magics_manager.registry.get("LandscapeMagics")
    run = magics.runs[-1] if magics is not None and magics.runs else None
    tasks = None if run is None or run.subject is None else run.subject.probing["tasks"]
    return [] if tasks is None else list(tasks.names)


def _functions(shell: Any) -> list[str]:
    return [name for name, thing in shell.user_ns.items() if isinstance(thing, FunctionType) and name[0] != "_"]


def _variables(shell: Any, spec: grammar.Verb, place: int) -> list[str]:
    """Models where a MODEL stands, optimizers where an OPTIMIZER does."""
    torch = sys.modules.get("torch")
    wanted = spec.words[place].rstrip("?*") if 0 <= place < len(spec.words) else ""
    if torch is None or wanted not in ("MODEL", "OPTIMIZER"):
        return []
    kind = torch.nn.Module if wanted == "MODEL" else torch.optim.Optimizer
    return [name for name, thing in shell.user_ns.items() if isinstance(thing, kind) and not name.startswith("_")]
