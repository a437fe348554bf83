"""Options of a line as arguments of `watch`."""

from typing import TYPE_CHECKING, Any

from nbtoolkit.magics import grammar

if TYPE_CHECKING:
    from nbtoolkit.instruments import Instrument
    from nbtoolkit.magics.landscape import LandscapeMagics


TASKS = ("accuracy_matrix", "stability_gap")  # what --tasks measures has a cadence of its own


def watching(magics: "LandscapeMagics", command: grammar.Command) -> dict[str, Any]:
    """What is known before a cell runs: instruments, their cadence, budget, store."""
    options: dict[str, Any] = {}
    if "store" in command.options:
        options["store"] = command.options["store"]
    if "budget" in command.options:
        options["budget"] = magics.value(command.options["budget"])
    if command.instruments or "every" in command.options:
        options["instruments"] = _instruments(magics, command)
    return options


def data(magics: "LandscapeMagics", command: grammar.Command) -> dict[str, Any]:
    """The probe and the tasks; of a cell, when its first step is made: it may make them itself."""
    tasks = {"tasks": magics.dotted(command.options["tasks"])} if "tasks" in command.options else {}
    return probe(magics, command) | tasks


def probe(magics: "LandscapeMagics", command: grammar.Command) -> dict[str, Any]:
    """The loss and the data of the probe."""
    options: dict[str, Any] = {}
    if "loss" in command.options:
        options["loss"] = magics.dotted(command.options["loss"])
    if "probe" in command.options:
        parts = [magics.dotted(word) for word in command.options["probe"].split(",") if word]
        options["probe"] = parts[0] if len(parts) == 1 else tuple(parts)
    return options


def _instruments(magics: "LandscapeMagics", command: grammar.Command) -> "tuple[Instrument, ...]":
    from nbtoolkit.instruments import default, of_tasks

    every = command.options.get("every", "")
    words = command.instruments or [item.name for item in default()]
    named = {word.partition(":")[0] for word in words}
    tasks = of_tasks() if "tasks" in command.options else ()
    words = [*words, *(item.name for item in tasks if item.name not in named)]
    return tuple(_attached(magics, word, "" if word.startswith(TASKS) else every) for word in words)


def _attached(magics: "LandscapeMagics", word: str, every: str) -> "Instrument":
    """An instrument as ``NAME`` or ``NAME:EVERY``, whose own cadence goes before that of all."""
    name, _, own = word.partition(":")
    item = magics.instrument(name)
    return item.using(every=magics.value(own or every)) if own or every else item
