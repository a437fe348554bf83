"""Healthy trainings, one seed of each: no alarm, no warning, and what their companions show is found."""

import pytest
import torch

from tests.analysis.healthy import CONFIGURATIONS, Healthy, seen, until
from tests.analysis.records import of_loss

SEED = 0


@pytest.mark.parametrize("one", CONFIGURATIONS, ids=lambda one: one.name)
def test_nothing_but_what_its_companion_shows(one: Healthy) -> None:
    torch.manual_seed(SEED)
    run = one.train(SEED)
    found = list(seen(run))
    assert [finding for _, finding in found if finding.severity != "note"] == []
    assert {finding.rule for _, finding in found} >= set(one.shows)
    losses = run["loss"]["loss"].values
    assert losses[-50:].mean() < 0.5 * losses[:5].mean()  # it has learned


def test_a_moment_is_what_was_recorded_by_then() -> None:
    import nbtoolkit

    tree = until(nbtoolkit.Run("falling", of_loss(range(10))).data, 4)
    assert tree["loss"].to_dataset()["loss"].values.tolist() == [0, 1, 2, 3, 4]
