"""The claims of the companion notebooks on one seed; `make claims` has three."""

from collections.abc import Callable
from math import nan

import pytest

from tests.claims import (
    connectivity,
    edge_of_stability,
    hessian_spectrum,
    learning_rate_transfer,
    plasticity,
    stability_gap,
)
from tests.claims.claim import Claim

SEED = 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "claim",
    [
        *edge_of_stability.CLAIMS, *hessian_spectrum.CLAIMS, *connectivity.CLAIMS, *stability_gap.CLAIMS,
        *plasticity.CLAIMS, *learning_rate_transfer.CLAIMS,
    ],
    ids=lambda claim: claim.__name__,
)  # fmt: skip
def test_holds(claim: Callable[[int], list[Claim]]) -> None:
    found = claim(SEED)
    assert found
    assert not [one for one in found if not one.holds]


@pytest.mark.parametrize(("value", "holds"), [(0.9, True), (1.15, True), (0.89, False), (1.16, False), (nan, False)])
def test_a_claim_can_fail(value: float, holds: bool) -> None:
    assert Claim("ratio", value, 0.9, 1.15).holds is holds
