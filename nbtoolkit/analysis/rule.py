"""What a rule is: a pure function of what was recorded, declared with what it needs and what it stands on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nbtoolkit.analysis.recorded import Recorded

__all__ = ["SEVERITIES", "Rule", "Sign", "rule"]

SEVERITIES = ("alarm", "warn", "note")
TOLD = {"batch": "the batch size, run.log(batch=64)"}  # groups that no instrument makes


@dataclass(frozen=True)
class Sign:
    """What a rule has seen.

    Args:
        step: at which it began.
        text: what it is, in one line.
        evidence: the numbers.
        line: what they are read against.
        group: of the record, whose panel shows it.
        severity: where it is not that of the rule.
        advice: where it is not that of the rule.
    """

    step: int
    text: str
    evidence: str
    line: str = ""
    group: str | None = None
    severity: str = ""
    advice: str = ""


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule; call it with what was recorded. Made by `rule`.

    Args:
        function: gives what it sees.
        name: of the rule, in words.
        severity: ``alarm`` (the training is lost or about to be), ``warn`` (look at it) or ``note`` (good to know).
        needs: groups of the record; of each tuple one.
        reference: paper and section.
        advice: what one might try, one sentence.
    """

    function: Callable[[Recorded], Iterable[Sign]]
    name: str
    severity: str
    needs: tuple[tuple[str, ...], ...]
    reference: str
    advice: str

    def __call__(self, data: Recorded) -> list[Sign]:
        """What it sees; nothing where a need is not recorded."""
        return [] if self.lacks(data) else list(self.function(data))

    def lacks(self, data: Recorded) -> str:
        """What it needs and the record has not, in words; "" where it has all."""
        absent = [names for names in self.needs if not any(map(data.has, names))]
        missing = [" or ".join(TOLD.get(name, name) for name in names) for names in absent]
        return f"needs {' and '.join(missing)}" if missing else ""


def rule(
    name: str, *, severity: str, needs: tuple[tuple[str, ...], ...], reference: str, advice: str
) -> Callable[[Callable[[Recorded], Iterable[Sign]]], Rule]:
    """Declare a rule; see `Rule`.

    Raises:
        ValueError: the severity is none of `SEVERITIES`.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity={severity!r}: expected one of {', '.join(SEVERITIES)}")
    return lambda function: Rule(function, name, severity, needs, reference, advice)
