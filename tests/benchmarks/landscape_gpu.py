"""``python -m tests.benchmarks.landscape_gpu`` on a CUDA device: slices beside a plain loop and the chip's speed."""

import argparse
import json
import statistics
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks import landscape, landscape_peers
from tests.benchmarks.curvature_problems import Curved

MAKE = {"mlp": landscape.mlp, "cnn": landscape.cnn, "resnet18": landscape.resnet18}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.landscape_gpu", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which both take turns (default 3)")
    parser.add_argument("--size", type=int, default=25, help="points a side (default 25)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-landscape-gpu.json"))
    options = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {landscape.SAMPLES} examples")
    rows = [measure(make(device="cuda"), options.size, options.rounds) for make in MAKE.values()]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1))


def measure(problem: Curved, size: int, rounds: int) -> dict[str, object]:
    """Seconds of a slice, of a plain loop, and of forward passes one after the other without waiting."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        problem.loss()
    flops = counter.get_total_flops()
    tools = {"ours": landscape_peers.ours, "naive": landscape_peers.naive, "forward": _passes}
    taken: dict[str, list[float]] = {name: [] for name in tools}
    for index in range(-1, rounds):
        for name, tool in tools.items():
            side = (size if name == "ours" else 9) if index >= 0 else 3
            seconds, _ = landscape.seconds_of(tool, problem, side)
            if index >= 0:
                taken[name].append(seconds / side**2)
    middle = {name: statistics.median(seconds) for name, seconds in taken.items()}
    told = ", ".join(f"{name} {1e3 * s:.3f} ms ({flops / s / 1e12:.1f} TFLOP/s)" for name, s in middle.items())
    print(f"{problem.name}, {size} x {size}: a point {told}; {middle['naive'] / middle['ours']:.1f} x", flush=True)
    return {"problem": problem.name, "size": size, "flops": flops, **middle}


def _passes(problem: Curved, size: int) -> None:
    with torch.no_grad():
        for _ in range(size**2):
            problem.loss()


if __name__ == "__main__":
    main()
