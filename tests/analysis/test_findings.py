"""Findings as a whole: the same of every form of a run, in order, printed, and what could not be checked."""

import inspect

import numpy as np
import pytest

import nbtoolkit
from nbtoolkit import instruments
from nbtoolkit.analysis import Finding, checked, diagnose, rules
from nbtoolkit.analysis.rule import rule
from tests import problems
from tests.analysis.records import falling, of_loss, record, said


@pytest.fixture
def bad():
    """A loss that has a spike, diverges and ends in NaN."""
    loss = np.r_[falling(400), 0.3 * 1.2 ** np.arange(60), np.nan]
    loss[200] = 5
    return of_loss(loss)


def test_alarms_come_first_then_steps(bad):
    found = diagnose(bad)
    assert [(one.severity, one.rule) for one in found] == [
        ("alarm", "divergence"), ("alarm", "not finite"), ("note", "loss spike"),
    ]  # fmt: skip
    assert found[0].step < found[1].step


def test_every_form_of_a_run_gives_the_same(bad, tmp_path):
    run = nbtoolkit.Run("bad", bad)
    opened = nbtoolkit.open_run(run.save(tmp_path / "bad.zarr"))
    assert diagnose(bad) == diagnose(run) == diagnose(run.data) == diagnose(opened) != []


def test_a_run_that_was_watched_is_clean():
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        problem.train(60)
        assert diagnose(run) == []
    assert diagnose(run) == diagnose(run.record) == []


def test_what_is_no_run_is_refused():
    with pytest.raises(TypeError, match="this is a list; give a Run or its DataTree"):
        diagnose([1, 2])


def test_it_prints_all_that_one_needs(bad):
    lines = str(diagnose(bad)[1]).splitlines()
    assert lines[0] == "alarm: not finite, from step 460: the loss is not finite: the loss diverges"
    assert lines[1].strip().startswith("first at step 460: nan")
    assert lines[2].strip().startswith("try: Lower the learning rate")
    assert lines[3].strip().startswith("see: Micikevicius")


def test_nothing_empty_is_printed():
    one = Finding("changed by hand", "note", 3, "the training was changed", "step 3", "", "", "", None)
    assert str(one).splitlines() == ["note: changed by hand, from step 3: the training was changed", "    step 3"]


def test_what_could_not_be_checked_says_what_it_needs():
    told = checked(of_loss(falling(10)))
    assert told["divergence"] == ""
    assert told["edge of stability"] == "needs sharpness or preconditioned_sharpness"
    assert told["forgetting"] == "needs accuracy_matrix"
    assert list(told) == [one.name for one in rules.known().values()]


def test_an_empty_record_is_silent():
    assert diagnose(record({})) == []


@pytest.mark.parametrize("rows", [1, 2, 5, 12, 20, 45])
def test_short_records_are_silent(rows):
    ones = np.ones((rows, 6))
    made = record(
        {"loss": {"loss": np.ones(rows)}, "grad_norm": {"grad_norm": ones}, "update_ratio": {"ratio": ones / 1e3}}
    )
    assert diagnose(made) == []


def test_values_of_ones_own_by_the_same_names_are_left_alone():
    names = ("lr", "grad_norm", "update_ratio", "unit_activity", "sharpness", "gradient_noise_scale", "weight_norm")
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer, instruments=[instruments.loss]) as run:
        for step in range(400):
            problem.step()
            run.log(**dict.fromkeys(names, step % 2), accuracy_matrix=0, stability_gap=1, preconditioned_sharpness=1)
    assert diagnose(run) == []


def test_commands_that_change_the_training_are_told():
    commands = [
        {"step": 5, "what": "pause", "text": "paused", "old": None, "new": None},
        {"step": 7, "what": "lr", "text": "learning rate: 0.1 -> 0.05 from step 7", "old": 0.1, "new": 0.05},
    ]
    (found,) = said(record({}, attrs={"commands": commands}), "changed by hand")
    assert (found.severity, found.step) == ("note", 7)
    assert found.evidence == "step 7: learning rate: 0.1 -> 0.05 from step 7"
    assert not said(record({}, attrs={"commands": commands[:1]}), "changed by hand")
    assert not said(record({}, attrs={"commands": [{**commands[1], "own": True}]}), "changed by hand")


@pytest.mark.parametrize("one", rules.known().values(), ids=lambda one: one.name)
def test_every_rule_is_declared_in_full(one):
    told = inspect.getdoc(one.function)
    assert told
    assert told.splitlines()[0].endswith(".")
    assert one.advice or one.name == "gradient noise scale"
    assert one.reference or one.name == "changed by hand"


def test_an_unknown_severity_is_refused():
    with pytest.raises(ValueError, match="severity='bad': expected one of alarm, warn, note"):
        rule("x", severity="bad", needs=(), reference="", advice="")
