"""Whether the processes of a job were given the same to measure together, compared once, where all meet.

A measurement that only some processes begin would let them wait for the others, and the others for their next step.
"""

import json
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nbtoolkit.capture import lockstep
from nbtoolkit.instruments import Instrument

if TYPE_CHECKING:
    from nbtoolkit.capture.ranks import Found, Ranks
    from nbtoolkit.capture.run import Run

PROBED = {"curvature", "loss_at", "loss_at_or_none", "activations"}  # differ with the probe
LONGEST = 200  # characters of a setting
DIFFER = "the processes were given different things to measure together: {what}; give all the same"
UNTIL = "{text}. Until then nobody measures {names}"


class Terms:
    """What this process was given that all processes measure together, or by which they decide when.

    Args:
        instruments: that were chosen here.
        probe: whether there is one.
        budget: of the costly ones.
    """

    def __init__(self, instruments: Sequence[Instrument], *, probe: bool, budget: float) -> None:
        self._instruments, self._probe, self._budget = instruments, probe, budget
        self._left: list[Instrument] = []
        self._reason = ""

    def told(self, ranks: "Ranks") -> str:
        """In words for the other processes."""
        joint = [one for one in self._instruments if lockstep.is_joint(one, ranks)]
        instruments = {one.name: _settings(one) for one in joint}
        return json.dumps({"instruments": instruments, "probe": self._probe, "budget": repr(float(self._budget))})

    def kept(self, found: "Found") -> Sequence[Instrument]:
        """The instruments without those that not all measure alike; says so."""
        if found.ranks is None or not found.differs:
            return self._instruments
        differs: dict[str, Any] = json.loads(found.differs)
        left = [one for one in self._instruments if lockstep.is_joint(one, found.ranks) and _is_left(one, differs)]
        names = ", ".join(sorted({*differs["names"], *(one.name for one in left)}))
        self._left, self._reason = left, DIFFER.format(what="; ".join(differs["what"]))
        text = UNTIL.format(text=self._reason, names=names) if names else self._reason
        found.notes.append(text)
        warnings.warn(f"nbtoolkit: {text}.", stacklevel=4)
        return [one for one in self._instruments if one not in left]

    def tell(self, run: "Run") -> None:
        """Keep a row without a value, and why, of each instrument that is left out."""
        for one in self._left:
            columns = run.record.group(one.name, one.outputs, one.attrs())
            for output in one.outputs:
                columns.missing(output, run.step, self._reason)
            run.rows.add(one.name, run.step, {}, {})


def compared(told: Sequence[str]) -> str:
    """What differs between what the processes say, by rank; empty if nothing does."""
    given = [json.loads(one) for one in told]
    instruments = [one["instruments"] for one in given]
    differ = {key: len({one[key] for one in given}) > 1 for key in ("probe", "budget")}
    what = [
        f"{key} ({_by_rank([words(one[key]) for one in given])})"
        for key, words in (("probe", lambda is_there: "one" if is_there else "none"), ("budget", str))
        if differ[key]
    ]
    names = []
    for name in dict.fromkeys(name for one in instruments for name in one):
        each = [one.get(name) for one in instruments]
        if any(one != each[0] for one in each):
            names.append(name)
            what.append(f"{name} ({_by_rank(_differing(each))})")
    orders = [[name for name in one if name not in names] for one in instruments]
    if any(one != orders[0] for one in orders):
        names += orders[0]
        what.append(f"their order ({_by_rank([', '.join(one) for one in orders])})")
    if not what:
        return ""
    return json.dumps({"what": what, "names": names, **differ})


def _is_left(one: Instrument, differs: dict[str, Any]) -> bool:
    return one.name in differs["names"] or differs["budget"] or (differs["probe"] and bool(PROBED & {*one.needs}))


def _settings(one: Instrument) -> dict[str, str]:
    settings = one.attrs()["settings"]
    return {"every": str(one.every), **{key: _shown(value) for key, value in settings.items()}}


def _shown(value: Any) -> str:
    """A setting in words that are the same in every process: of an object only what it is."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)[:LONGEST]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"[:LONGEST]
    return type(value).__name__


def _differing(each: Sequence[dict[str, str] | None]) -> list[str]:
    """Of what each process was given, what is not the same in all that have it."""
    there = [one for one in each if one is not None]
    keys = [key for key in there[0] if any(one.get(key) != there[0][key] for one in there)]
    words = [", ".join(f"{key}={one.get(key)}" for key in keys) if one else "" for one in each]
    return ["not at all" if one is None else word or "yes" for one, word in zip(each, words, strict=True)]


def _by_rank(words: Iterable[str]) -> str:
    """The same words of several processes once."""
    ranks: dict[str, list[int]] = {}
    for rank, word in enumerate(words):
        ranks.setdefault(word, []).append(rank)
    return "; ".join(f"rank{'s' * (len(of) > 1)} {', '.join(map(str, of))}: {word}" for word, of in ranks.items())
