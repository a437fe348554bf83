"""Findings: what the recorded data say of a training, each with its evidence and what one might try.

How often they speak in healthy trainings: nine configurations of the companions, shortened, with 20 seeds each, looked
at up to twelve times in the course of each (``python -m tests.analysis.healthy``). Trainings with at least one such
finding at any of these times, of those in which the rule could be checked:

====================================================================  ==========
divergence, not finite: alarm or warning; plateau: note                 0 of 180
vanishing or exploding gradient, update ratio: alarm or warning         0 of 180
loss spike: warning                                                     0 of 180
dead or dormant units: alarm or warning                                 0 of  80
past the edge of stability: alarm or warning                            0 of  80
forgetting: warning                                                     0 of  20
loss spike that came back: note; all at the warm-up's edge              7 of 180
edge of stability: note; all of them are there (companion 02)          60 of  80
stability gap: note; all of them have one (companion 05)               19 of  20
gradient noise scale: note; above ten batches late in training          3 of  20
====================================================================  ==========

0 of 180 bounds a rate to 1.7 %, 0 of 20 to 14 % (95 %).

All of these losses are errors of supervised training, squared errors and cross-entropies, that are minimised and meant
to fall, in networks of at most a few layers: of others the rates say nothing. Where a loss is not meant to fall (the
players of a GAN at their equilibrium, a term whose weight is raised, temporal differences to a target network), or is
maximised (``maximize=True``, which is read with the other sign), a rise that is slow and by less than an order, with
no growth of gradients or weights, and a plateau are notes that say so. Four such trainings, of our own choice, had
notes at most in 5 seeds each (``python -m tests.analysis.not_meant_to_fall 5``). A reward is found late: a loss that
is next to nothing until then, and its gradients, grow by orders, which is an alarm and may be no harm.
"""

from dataclasses import dataclass
from typing import Any

from nbtoolkit.analysis import rules
from nbtoolkit.analysis.recorded import Recorded, recorded
from nbtoolkit.analysis.rule import SEVERITIES, Rule

__all__ = ["Finding", "checked", "diagnose"]


@dataclass(frozen=True)
class Finding:
    """One thing that a rule has seen in a run.

    Args:
        rule: its name.
        severity: ``alarm`` (the training is lost or about to be), ``warn`` (look at it) or ``note`` (good to know).
        step: at which it began.
        text: what it is, in one line.
        evidence: the numbers.
        line: what they are read against.
        reference: paper and section.
        advice: what one might try.
        group: of the record, whose panel shows it.
    """

    rule: str
    severity: str
    step: int
    text: str
    evidence: str
    line: str
    reference: str
    advice: str
    group: str | None

    def __str__(self) -> str:
        """As ``%landscape diagnose`` prints it: what it is, the numbers, what to try, where it is from."""
        line = f" ({self.line})" if self.line else ""
        told = [f"{self.severity}: {self.rule}, from step {self.step}: {self.text}", f"{self.evidence}{line}"]
        told += [f"try: {self.advice}"] if self.advice else []
        told += [f"see: {self.reference}"] if self.reference else []
        return "\n    ".join(part for part in told if part)


def diagnose(run: Any) -> list[Finding]:
    """What the rules see in a run, alarms first, then in the order of the steps at which it began.

    A rule whose data were not recorded is silent; `checked` tells which. How often rules speak of healthy trainings
    stands at the head of this module.

    Args:
        run: a Run, its DataTree, or a `Record`.

    Raises:
        TypeError: it is none of these.
    """
    data = recorded(run)
    return in_order([finding for one in rules.known().values() for finding in found(one, data)])


def checked(run: Any) -> dict[str, str]:
    """Of each rule "" where it could be checked, else what it needs and was not recorded.

    Args:
        run: as `diagnose` takes it.
    """
    data = recorded(run)
    return {one.name: one.lacks(data) for one in rules.known().values()}


def found(one: Rule, data: Recorded) -> list[Finding]:
    """What one rule sees."""
    return [
        Finding(
            one.name, sign.severity or one.severity, int(sign.step), sign.text, sign.evidence, sign.line,
            one.reference, sign.advice or one.advice, sign.group,
        )
        for sign in one(data)
    ]  # fmt: skip


def in_order(findings: list[Finding]) -> list[Finding]:
    """Alarms first, then by step."""
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.step, one.rule))
