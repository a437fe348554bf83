"""Every claim of the companion notebooks on three seeds, as a table: ``python -m tests.claims``."""

import sys
from time import perf_counter

import torch

from tests.claims import (
    connectivity,
    edge_of_stability,
    hessian_spectrum,
    learning_rate_transfer,
    plasticity,
    stability_gap,
)
from tests.claims.claim import Claim

SEEDS = (0, 1, 2)
COMPANIONS = {
    "02 edge of stability": edge_of_stability,
    "03 Hessian spectrum": hessian_spectrum,
    "04 connectivity and merging": connectivity,
    "05 stability gap": stability_gap,
    "06 loss of plasticity": plasticity,
    "sweep: learning rates and widths": learning_rate_transfer,
}


def row(found: list[Claim]) -> str:
    """One claim: its name, bound, value of each seed, and whether all of them hold."""
    values = "".join(f"{claim.value:>10.4g}" for claim in found)
    verdict = "ok" if all(claim.holds for claim in found) else "FAILS"
    return f"{found[0].name:<78}{found[0].bound:>13}{values}  {verdict}"


def main() -> int:
    """Print the table; the number of claims that fail on some seed."""
    torch.set_num_threads(1)
    failed = 0
    for title, companion in COMPANIONS.items():
        started = perf_counter()
        print(f"\n{title:<78}{'bound':>13}" + "".join(f"{f'seed {seed}':>10}" for seed in SEEDS))
        for claim in companion.CLAIMS:
            for found in zip(*(claim(seed) for seed in SEEDS), strict=True):
                print(row(list(found)), flush=True)
                failed += not all(one.holds for one in found)
        print(f"{perf_counter() - started:.0f} s")
    print(f"\n{failed} claims fail" if failed else "\nall claims hold")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
