"""The findings on their way to the Board: as JSON, told once, looked for seldom, and never an exception."""

import json

import numpy as np
import pytest

from nbtoolkit.analysis import diagnose, rules
from nbtoolkit.widget import strip
from nbtoolkit.widget.strip import Strip


class Clock:
    """Time that passes only when a rule takes it."""

    def __init__(self):
        self.now = 0.0
        self.reads = 0

    def __call__(self):
        self.reads += 1
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(strip, "perf_counter", made)
    return made


def diverge(run):
    """Losses that grow."""
    now = np.arange(run.step, run.step + 60)
    run.record.groups["loss"].append(now, {"loss": 1.2 ** np.arange(60)})
    run.step += 60


def test_findings_are_those_of_diagnose_as_json(run, clock):
    run.train(20)
    diverge(run)
    found = Strip(run).findings()
    assert found is not None
    assert found == [vars(one) for one in diagnose(run.record)] != []
    assert json.loads(json.dumps(found)) == found
    assert set(found[0]) == {
        "rule", "severity", "step", "text", "evidence", "line", "reference", "advice", "group",
    }  # fmt: skip


def test_what_is_unchanged_is_not_told_again(run, clock):
    made = Strip(run)
    run.train(20)
    assert made.findings() == []
    clock.now += 1000
    assert made.findings() is None
    diverge(run)
    clock.now += 1000
    told = made.findings()
    assert told
    assert made.known == told
    clock.now += 1000
    assert made.findings() is None


def test_a_look_that_took_long_is_not_repeated_for_two_hundred_times_as_long(run, clock, monkeypatch):
    looks = []

    def slow(one, data):
        looks.append(clock.now)
        clock.now += 0.1
        return []

    monkeypatch.setattr(strip.rules, "known", lambda: {"divergence": rules.divergence})
    monkeypatch.setattr(strip, "found", slow)
    run.train(1)
    made = Strip(run)
    for _ in range(5000):
        made.findings()
        clock.now += 0.01
    apart = np.diff(looks)
    assert len(looks) > 2
    assert (apart >= 200 * 0.1).all()
    assert 0.1 / apart.mean() < 1 / 200


def test_not_due_is_one_look_at_the_clock(run, clock):
    made = Strip(run)
    made.findings()
    clock.reads = 0
    del run.record  # nothing else is touched
    assert made.findings() is None
    assert clock.reads == 1


def test_the_end_is_looked_at_even_where_it_is_not_due(run, clock):
    made = Strip(run)
    made.findings()
    run.train(20)
    diverge(run)
    assert made.findings() is None
    assert made.findings(now=True)


def test_a_rule_that_fails_is_told_once_and_left_out(run, clock, monkeypatch):
    calls = []

    def failing(data):
        calls.append(1)
        raise RuntimeError("no such thing\nat all")

    broken = rules.Rule(failing, "broken", "warn", (), "", "")
    monkeypatch.setattr(strip.rules, "known", lambda: {"broken": broken, "divergence": rules.divergence})
    run.train(20)
    diverge(run)
    made = Strip(run)
    first = made.findings() or []
    assert [(one["severity"], one["rule"]) for one in first] == [("alarm", "divergence"), ("note", "broken")]
    assert "RuntimeError: no such thing" in first[1]["text"]
    clock.now += 1000
    assert made.findings() is None
    assert len(calls) == 1


def test_a_record_that_cannot_be_read_raises_nothing(run, clock):
    made = Strip(run)
    del run.record
    found = made.findings()
    assert [one["severity"] for one in found or ()] == ["note"]
