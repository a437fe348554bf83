"""``make bench``: cost of watching on this machine, beside other loggers; a table and build/bench.json."""

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.benchmarks import curvature, landscape, peers, problems, sides, tasks
from tests.benchmarks.interleave import compare

LOAD_EXT = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
start = time.perf_counter()
shell.run_line_magic("load_ext", "nbtoolkit")
print(time.perf_counter() - start)
"""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--blocks", type=int, default=9, help="blocks of steps for each side (default 9)")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()

    compared = {"nbtoolkit": sides.watched, "nbtoolkit, live Board": sides.watched_live, **peers.available()}
    ratios = []
    torch.set_num_threads(1)
    for name, make, steps in (("MLP", problems.mlp, 600), ("CNN", problems.cnn, 40)):
        ratios += compare(name, make, sides.bare, compared, blocks=options.blocks, steps=steps)
        print(f"\n{name}, one thread: time of a step over that of the bare loop, median [quartiles]")
        print("\n".join(ratio.row() for ratio in ratios if ratio.problem == name), flush=True)

    curved = curvature.run()
    slices = landscape.run()
    streams = tasks.run()
    memory = json.loads(_fresh("-m", "tests.benchmarks.memory"))
    load_ext = sorted(float(_fresh("-c", LOAD_EXT).split()[-1]) for _ in range(5))[2]
    print(f"\n1e6 steps x 20 scalars: {memory['held_mb']:.0f} MB held, {memory['peak_mb']:.0f} MB at the most")
    print(f"%load_ext nbtoolkit: {load_ext:.3f} s")

    options.out.parent.mkdir(parents=True, exist_ok=True)
    results = {
        "when": time.strftime("%Y-%m-%d"),
        "machine": {"processor": platform.machine(), "python": platform.python_version(), "torch": torch.__version__},
        "ratios": [ratio.json() for ratio in ratios],
        "curvature": curved,
        "landscape": slices,
        "tasks": streams,
        "memory": memory,
        "load_ext_seconds": load_ext,
    }
    options.out.write_text(json.dumps(results, indent=1))
    print(f"\nwritten to {options.out}")


def _fresh(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
