"""``python -m tests.benchmarks.curvature_gpu`` on a CUDA device: eigenvalues and densities beside PyHessian."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from tests.benchmarks import curvature_peers as peers
from tests.benchmarks import curvature_problems as problems
from tests.benchmarks.curvature import density, show, top
from tests.benchmarks.curvature_problems import Curved

# Probes and steps, so that the slower side takes about ten seconds.
WORK = (("mlp", 10, 100), ("cnn", 10, 100), ("resnet18", 10, 20))


def make(name: str) -> Curved:
    """A problem on the device, random data of the sizes that were measured before."""
    if name == "mlp":
        torch.manual_seed(0)
        x, y = torch.rand(1024, 64), torch.randint(10, (1024,))
        return Curved("MLP 6.6k", problems.mlp_net().cuda(), x.cuda(), y.cuda())
    return problems.cnn(128, "cuda") if name == "cnn" else problems.resnet18(128, "cuda")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.curvature_gpu", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all take turns (default 3)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-curvature-gpu.json"))
    options = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; seconds over ours, median [quartiles]")
    others = [peers.LOOP, *(peer for peer in peers.available() if "PyHessian" in peer.name or "tol" in peer.name)]
    rows = []
    for name, probes, steps in WORK:
        problem = make(name)
        rows += show(top(problem, others, options.rounds))
        torch.cuda.reset_peak_memory_stats()
        rows += show(density(problem, others, probes, steps, 1 if name == "resnet18" else options.rounds))
        print(f"{problem.name}: at most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB", flush=True)
        del problem
        torch.cuda.empty_cache()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
