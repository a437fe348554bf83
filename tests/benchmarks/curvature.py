"""``python -m tests.benchmarks.curvature``: Hessian eigenvalues and densities beside other tools, on one thread."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from nbtoolkit.numerics.lanczos import Eigenpairs, extreme_eigenpairs
from nbtoolkit.numerics.products import live_hessian
from tests.benchmarks import curvature_peers as peers
from tests.benchmarks import curvature_problems as problems
from tests.benchmarks import report
from tests.benchmarks.curvature_problems import Curved


@dataclass(frozen=True)
class Row:
    """Seconds of one tool, in multiples of ours in the same round: median and quartiles."""

    work: str
    tool: str
    ratio: float
    quartiles: tuple[float, float]
    seconds: float
    products: float | None = None
    error: float | None = None

    def line(self) -> str:
        """One line of the table."""
        low, high = self.quartiles
        text = f"{self.work:<28} {self.tool:<22} {self.ratio:7.2f} x  [{low:.2f}, {high:.2f}]  {self.seconds:8.3f} s"
        if self.products is not None:
            text += f"  {self.products:5.1f} products"
        return text if self.error is None else f"{text}  error {self.error:.0e}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.curvature", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which all tools take turns (default 5)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-curvature.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = run(options.rounds)
    report.write(options.out, rows)


def run(rounds: int = 5) -> dict[str, object]:
    """All tables, printed as they are made."""
    mlp, others = problems.trained(), peers.available()
    agree(mlp)
    result: dict[str, list[Row]] = {}
    print("\nlargest eigenvalue to 1e-3 from a random vector: seconds over ours")
    result["top"] = show(top(mlp, others, rounds))
    print("\nspectral density: seconds over ours")
    result["density"] = show(density(mlp, others, 10, 100, max(2, rounds // 2)))
    result["density"] += show(density(problems.cnn(), others, 2, 10, 3))
    print("\nlargest eigenvalue on the loss of a step, over that on a probe of the same batch: seconds")
    result["live"] = show(live(mlp, rounds))
    print("\nlargest eigenvalue every 10 steps of training, from the last measurement")
    followed = [follow(name) for name in ("MLP", "CNN")]
    return {**{name: [asdict(row) for row in rows] for name, rows in result.items()}, "followed": followed}


def show(rows: Sequence[Row]) -> list[Row]:
    """Print the rows."""
    print("\n".join(row.line() for row in rows), flush=True)
    return list(rows)


def interleave(
    work: str, tools: Sequence[tuple[str, Callable[[int], object]]], rounds: int
) -> tuple[list[Row], dict[str, list[object]]]:
    """Each tool once a round, the first being the measure; a tool that fails is named and left out."""
    seconds: dict[str, list[float]] = {}
    results: dict[str, list[object]] = {}
    failed: set[str] = set()
    for index in range(-1, rounds):  # one round to warm up
        for name, call in tools:
            if name in failed:
                continue
            begun = time.perf_counter()
            try:
                value = call(max(index, 0))
            except Exception as error:
                print(f"left out: {name} on {work}: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
                failed.add(name)
                continue
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if index >= 0:
                seconds.setdefault(name, []).append(time.perf_counter() - begun)
                results.setdefault(name, []).append(value)
    first = seconds[tools[0][0]]
    rows = []
    for name, taken in seconds.items():
        ratios = [a / b for a, b in zip(taken, first, strict=True)]
        low, high = np.quantile(ratios, [0.25, 0.75])
        middle = statistics.median
        rows.append(Row(work, name, middle(ratios), (float(low), float(high)), middle(taken)))
    return rows, results


def top(problem: Curved, others: Sequence[peers.Peer], rounds: int) -> list[Row]:
    """Largest eigenvalue: seconds, products and the largest true error over the rounds, each with its own start."""
    tools = [(peer.name, lambda seed, peer=peer: peer.top(problem, seed)) for peer in (peers.OURS, *others)]
    for peer in others:  # what it must be told is not timed
        if peer.top is peers.eigenthings_told:
            for seed in range(rounds):
                peer.top(problem, seed)
    rows, results = interleave(problem.name, tools, rounds)
    true = truth(problem)
    return [
        Row(
            row.work, row.tool, row.ratio, row.quartiles, row.seconds,
            statistics.median(products for _, products in results[row.tool]),  # type: ignore[misc]
            max(abs(value - true) / true for value, _ in results[row.tool]),  # type: ignore[misc]
        )
        for row in rows
    ]  # fmt: skip


def density(problem: Curved, others: Sequence[peers.Peer], probes: int, steps: int, rounds: int) -> list[Row]:
    """Lanczos quadrature of the same number of probes and steps."""
    tools = [
        (peer.name, lambda seed, peer=peer: peer.density(problem, probes, steps))
        for peer in (peers.OURS, *others)
        if not peer.name.startswith(" ")
    ]
    return interleave(f"{problem.name}, {probes} x {steps}", tools, rounds)[0]


def live(problem: Curved, rounds: int) -> list[Row]:
    """The loss of a step, forward pass included, against that of a probe."""

    def on_live(seed: int) -> Eigenpairs:
        operator = live_hessian(problem.loss(), problem.params)
        return extreme_eigenpairs(operator, peers.normal(operator.size, 1, seed, problem.device))

    tools = [("loss_at", lambda seed: peers.our_top(problem, seed)), ("live_loss", on_live)]
    return interleave(problem.name, tools, 4 * rounds)[0]


def truth(problem: Curved) -> float:
    """The largest eigenvalue, certified to 1e-6 from two random vectors."""
    operator = problem.hessian()
    start = (peers.normal(operator.size, 1, seed, problem.device) for seed in (11, 12))
    return max(float(extreme_eigenpairs(operator, v, tolerance=1e-6, most=300).values[0]) for v in start)


def follow(name: str, seeds: Sequence[int] = (0, 1)) -> dict[str, object]:
    """Products and true errors of measurements along trainings, each begun from the last."""
    products, errors, within = [], [], 0
    for seed in seeds:
        last = None
        for index, problem in enumerate(problems.along(name, seed)):
            operator = problem.hessian()
            start = peers.normal(operator.size, 1, index, problem.device)
            last = extreme_eigenpairs(operator, start, previous=last)
            if index:
                off = abs(float(last.values[0]) - truth(problem))
                products.append(last.products)
                errors.append(off / float(last.values[0]))
                within += off <= float(last.residuals[0])
    low, high = np.quantile(products, [0.25, 0.75])
    over = sum(error > peers.TOLERANCE for error in errors)
    print(
        f"{name}, {len(seeds)} seeds: median {statistics.median(products):g} products [{low:g}, {high:g}], true error "
        f"median {statistics.median(errors):.0e}, largest {max(errors):.0e}; over 1e-3 in {over} of {len(errors)}, "
        f"within the residual in {within}",
        flush=True,
    )
    return {"problem": name, "products": products, "errors": errors}


def agree(problem: Curved) -> None:
    """Products and values of curvlinops are ours to 1e-6, where it is installed."""
    try:
        theirs = peers.curvlinops_operator(problem)
    except ImportError:
        return
    ours = problem.hessian()
    vector = peers.normal(ours.size, 1, 3, problem.device)[0]
    difference = torch.linalg.vector_norm(theirs @ vector - ours(vector)) / torch.linalg.vector_norm(ours(vector))  # type: ignore[operator]
    assert float(difference) < 1e-5, float(difference)  # float32
    print(f"products of curvlinops and ours differ by {float(difference):.0e} in float32")


if __name__ == "__main__":
    main()
