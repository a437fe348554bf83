"""What the processes of a job say they were given, compared."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nbtoolkit import instruments
from nbtoolkit.capture.alike import Terms, compared
from nbtoolkit.capture.ranks import Found
from nbtoolkit.capture.run import Run
from nbtoolkit.instruments import Instrument
from nbtoolkit.store.columns import Record

TRACE, NORM = instruments.hessian_trace, instruments.grad_norm
RANKS: Any = SimpleNamespace(sharded=False, count=2, writes=True)


def told(*chosen: Instrument, probe: bool = True, budget: float = 0.1) -> str:
    return Terms(chosen, probe=probe, budget=budget).told(RANKS)


def test_what_is_the_same_and_what_nobody_measures_together_does_not_differ() -> None:
    assert compared([told(TRACE, NORM)] * 3) == ""
    assert compared([told(TRACE, NORM), told(NORM.using(every=5), TRACE)]) == ""


def test_objects_in_settings_count_by_what_they_are() -> None:
    one, other = (TRACE.using(method=object()) for _ in range(2))
    assert compared([told(one), told(other)]) == ""


@pytest.mark.parametrize(
    ("one", "other", "what", "names"),
    [
        (told(TRACE), told(TRACE.using(every=1)), f"{TRACE.name} (rank 0: every=100; rank 1: every=1)", [TRACE.name]),
        (
            told(TRACE), told(TRACE.using(seed=1)), "hessian_trace (rank 0: seed=0; rank 1: seed=1)",
            ["hessian_trace"],
        ),
        (told(TRACE), told(NORM), "hessian_trace (rank 0: yes; rank 1: not at all)", ["hessian_trace"]),
        (told(TRACE), told(TRACE, probe=False), "probe (rank 0: one; rank 1: none)", []),
        (told(TRACE), told(TRACE, budget=2), "budget (rank 0: 0.1; rank 1: 2.0)", []),
        (
            told(TRACE, instruments.logit_stats), told(instruments.logit_stats, TRACE),
            "their order (rank 0: hessian_trace, logit_stats; rank 1: logit_stats, hessian_trace)",
            ["hessian_trace", "logit_stats"],
        ),
    ],
)  # fmt: skip
def test_what_differs_is_named_and_measured_by_nobody(one: str, other: str, what: str, names: list[str]) -> None:
    found = json.loads(compared([one, other]))
    assert (found["what"], found["names"]) == ([what], names)
    terms = Terms([TRACE, NORM], probe=True, budget=0.1)
    met = Found(RANKS, differs=compared([one, other]))
    with pytest.warns(UserWarning, match="nobody measures hessian_trace"):
        assert terms.kept(met) == [NORM]
    assert what in met.notes[-1]
    run = Run("one", Record(), [NORM])
    terms.tell(run)
    assert run["hessian_trace"]["step"].values.tolist() == [0]
    for variable in run["hessian_trace"].data_vars.values():
        assert np.isnan(variable).all()
        assert what in variable.attrs["not_measured"]
    assert [*run.instruments] == ["grad_norm"]  # whoever asks for the other by its name has that of the shelf
