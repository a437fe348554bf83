"""``python -m tests.benchmarks.gpu`` on a machine with a CUDA device: ratios, and no synchronisation in a step."""

import argparse
import functools
import json
from pathlib import Path

import torch

import nbtoolkit
from tests.benchmarks import problems, sides
from tests.benchmarks.interleave import WARMUP_STEPS, compare

CASES = (("GPT", problems.gpt, 20), ("MLP", problems.mlp, 1000), ("CNN", problems.cnn, 500))


def never_synchronises(problem: problems.Problem, steps: int = 200) -> None:
    """A watched step may not wait for the device; PyTorch raises where one does."""
    with nbtoolkit.watch(problem.model, problem.optimizer):
        for _ in range(WARMUP_STEPS):
            problem.step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(steps):
                problem.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--blocks", type=int, default=15, help="blocks of steps for each side (default 15)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-gpu.json"))
    options = parser.parse_args()

    torch.set_float32_matmul_precision("high")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    tensors = len(list(problems.gpt().model.parameters()))
    assert tensors == 147, tensors
    ratios = []
    for name, make, steps in CASES:
        on_device = functools.partial(make, "cuda")
        compared = {"nbtoolkit": sides.watched, "nbtoolkit, stored": sides.stored}
        ratios += compare(name, on_device, sides.bare, compared, blocks=options.blocks, steps=steps)
        print("\n".join(ratio.row() for ratio in ratios if ratio.problem == name), flush=True)
        never_synchronises(on_device())
        print(f"{name:<6} 200 watched steps without a synchronisation", flush=True)

    options.out.parent.mkdir(parents=True, exist_ok=True)
    results = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    options.out.write_text(json.dumps({**results, "ratios": [ratio.json() for ratio in ratios]}, indent=1))


if __name__ == "__main__":
    main()
