"""The grammar of ``%landscape``: one table of verbs, from which parsing, help and completion follow."""

import difflib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class GrammarError(Exception):
    """A line that is not of the grammar: one line saying what is wrong and what there is."""


@dataclass(frozen=True)
class Option:
    """A dashed word: its spellings, the name of its value (none: a switch), what it does."""

    spellings: tuple[str, ...]
    value: str
    help: str
    repeats: bool = False


@dataclass(frozen=True)
class Verb:
    """One verb: its bare words in order (``?``: may be left out, ``*``: any number), options, purpose."""

    words: tuple[str, ...]
    options: tuple[Option, ...]
    help: str


@dataclass
class Command:
    """A parsed line."""

    verb: str
    words: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    instruments: list[str] = field(default_factory=list)
    switches: set[str] = field(default_factory=set)


COMMON = (
    Option(("-o", "--output"), "", "give the result back as the value of the line or cell"),
    Option(("-v", "--variable"), "NAME", "store the result in a variable"),
    Option(("-q", "--quiet"), "", "draw and print nothing"),
    Option(("-h", "--help"), "", "show this help"),
)
PROBE = (
    Option(("--loss",), "F", "loss(outputs, targets) of the probe, e.g. F.cross_entropy"),
    Option(("--probe",), "X,Y", "data of that loss: inputs and targets, a loader, or a function of the model"),
)
WATCHING = (
    Option(("-i", "--instrument"), "NAME[:N]", "measure this (every N steps), not the default set", repeats=True),
    Option(("--every",), "N", "measure every N optimizer steps"),
    *PROBE,
    Option(
        ("--tasks",),
        "NAME",
        "held-out data of tasks, {name: (inputs, targets)}; accuracy on them is measured",
    ),
    Option(("--budget",), "SHARE", "largest share of time for costly instruments (default 0.1)"),
    Option(("--store",), "PATH", "write a Zarr store while training runs"),
)
FOLLOW = Option(("--follow",), "", "it is being written, or will be: keep in step with its writer")
TEXT = Option(("--text",), "T", "a few words above the page")
FORK = ("steps", "lr", "seed", "perturb", "name", "every", "at")  # settings
VERBS: Mapping[str, Verb] = {
    "": Verb((), (), "say what is watched, at which step, at what cost"),
    "watch": Verb(("MODEL", "OPTIMIZER"), WATCHING, "watch an optimizer's steps from now on"),
    "show": Verb(("NAME*",), (), "draw the run, or only the named instruments"),
    "measure": Verb(("NAME", "SETTING=VALUE*"), PROBE, "measure one instrument once, now"),
    "fork": Verb(("STEP?", "SETTING=VALUE*"), (), "train a twin by the function STEP; settings " + ", ".join(FORK)),
    "task": Verb(("NAME?",), (), "go on with this task of the stream; without a name, the task ends"),
    "list": Verb((), (), "list the instruments: needs, dims, units, cost, cadence"),
    "save": Verb(("PATH",), (), "write everything measured to a Zarr store"),
    "open": Verb(("PATH",), (FOLLOW,), "draw a stored run, also of a URL or of a job that still writes it"),
    "export": Verb(("PATH", "NAME*"), (TEXT,), "write one self-contained HTML page; PATH.png or .svg: one picture"),
    "pause": Verb((), (), "let the training wait after the step under way"),
    "resume": Verb((), (), "let it go on"),
    "advance": Verb(("N?",), (), "make N more steps, by default one, then wait"),
    "lr": Verb(("RATE", "group=G?"), (), "train on with another learning rate, of one parameter group or of all"),
    "every": Verb(("NAME", "N"), (), "measure an instrument every N steps from now on"),
    "diagnose": Verb((), (), "say what in the run deserves attention, and what was looked at"),
    "stop": Verb((), (), "end the training if it runs in a thread, and the watching; what was measured is kept"),
}
FORKABLE = Option(("--forkable",), "", "keep a copy of all the cell begins with, for %landscape fork at=STEP")
CELL = Verb(
    ("MODEL?", "OPTIMIZER?"),
    (*WATCHING, FORKABLE),
    "run this cell watched; models and optimizers are found by themselves",
)


def parse(line: str, *, cell: bool = False) -> Command:
    """Read a line.

    Raises:
        GrammarError: an unknown verb or option, a word too few or too many, a value left out.
    """
    try:
        tokens = shlex.split(line)
    except ValueError as error:
        raise GrammarError(f"cannot read this line: {str(error).lower()}.") from error
    verb = "" if cell else _take_verb(tokens)
    spec = CELL if cell else VERBS[verb]
    command = Command(verb)
    options = {spelling: option for option in (*spec.options, *COMMON) for spelling in option.spellings}
    while tokens:
        token = tokens.pop(0)
        if token.startswith("-") and len(token) > 1 and not token[1].isdigit() and token[1] != ".":
            _take_option(token, tokens, options, command)
        else:
            command.words.append(token)
    if "--help" not in command.switches:
        _count_words(spec, command, "%%landscape" if cell else f"%landscape {verb}".strip())
    return command


def help_text(verb: str | None = None) -> str:
    """Help on one verb, or on all of them."""
    if verb is not None:
        spec = CELL if verb == "%%" else VERBS[verb]
        head = "%%landscape" if verb == "%%" else f"%landscape {verb}".strip()
        lines = [f"{head} {_usage(spec)}".strip(), f"    {spec.help}", ""]
        for option in (*spec.options, *COMMON):
            lines.append(f"    {', '.join(option.spellings)} {option.value}".ljust(34) + option.help)
        return "\n".join(lines)
    rows = [(f"%landscape {name} {_usage(spec)}".strip(), spec.help) for name, spec in VERBS.items()]
    rows.append((f"%%landscape {_usage(CELL)}", CELL.help))
    lines = [f"{left}  ".ljust(52) + right for left, right in rows]
    lines += ["", "with watch and %%landscape:"]
    lines += [f"    {', '.join(o.spellings)} {o.value}".ljust(34) + o.help for o in WATCHING]
    lines += ["on every verb:"]
    lines += [f"    {', '.join(o.spellings)} {o.value}".ljust(34) + o.help for o in COMMON]
    return "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint with the known word most like ``word``, if any is."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else "."


def _usage(spec: Verb) -> str:
    words = [f"[{w[:-1]}]..." if w.endswith("*") else f"[{w[:-1]}]" if w.endswith("?") else w for w in spec.words]
    options = [f"[{o.spellings[0]}{' ' if o.value else ''}{o.value}]" + "..." * o.repeats for o in spec.options]
    return " ".join((*words, *options))


def _take_verb(tokens: list[str]) -> str:
    if not tokens or tokens[0].startswith("-"):
        return ""
    verb = tokens.pop(0)
    if verb not in VERBS:
        known = ", ".join(name for name in VERBS if name)
        raise GrammarError(f"%landscape has no {verb!r}{nearest(verb, VERBS)} It has: {known}.")
    return verb


def _take_option(token: str, tokens: list[str], options: Mapping[str, Option], command: Command) -> None:
    spelling, _, attached = token.partition("=")
    if spelling not in options:
        known = ", ".join(option.spellings[0] for option in dict.fromkeys(options.values()))
        raise GrammarError(f"no option {spelling!r} here{nearest(spelling, options)} There are: {known}.")
    option = options[spelling]
    if not option.value:
        command.switches.add(option.spellings[-1])
        return
    if not attached and not tokens:
        raise GrammarError(f"{spelling} needs a value: {spelling} {option.value}.")
    value = attached or tokens.pop(0)
    if option.repeats:
        command.instruments.append(value)
    else:
        command.options[option.spellings[-1].lstrip("-")] = value


def _count_words(spec: Verb, command: Command, head: str) -> None:
    least = sum(not word.endswith(("*", "?")) for word in spec.words)
    most = len(spec.words) if not any(word.endswith("*") for word in spec.words) else None
    given = len(command.words)
    if given < least:
        raise GrammarError(f"{head} needs {' '.join(spec.words[given:least])}: {head} {_usage(spec)}")
    if most is not None and given > most:
        raise GrammarError(f"{head} has no place for {command.words[most]!r}: {head} {_usage(spec)}".rstrip())
    if "OPTIMIZER?" in spec.words and given == 1:
        raise GrammarError(f"{head} got {command.words[0]!r} alone; name MODEL and OPTIMIZER, or neither.")
