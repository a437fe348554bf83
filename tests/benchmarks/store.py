"""What a store costs: its writer, and opening one of any size.

``python -m tests.benchmarks.store`` prints one line of JSON for each.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import zarr

from nbtoolkit.store import writing
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var

FIRST = """
import json, sys, time
began = time.perf_counter()
import nbtoolkit
imported = time.perf_counter()
from zarr.storage import LocalStore
read = []
get = LocalStore.get
async def counted(self, *args, **kwargs):
    value = await get(self, *args, **kwargs)
    read.append(0 if value is None else len(value))
    return value
LocalStore.get = counted
from nbtoolkit.widget import figures, messages, ranges
loaded = time.perf_counter()
spent = time.process_time()
run = nbtoolkit.open_run(sys.argv[1])
opened = time.perf_counter()
panels = figures.describe(run.record)
described = time.perf_counter()
sent = {}
packed = messages.pack(messages.reset(run.record, sent, 1, messages.status_head(run.status(), run.name)))
drawn = time.perf_counter()
spent = time.process_time() - spent
held = len(read), sum(read)
keys = [f"{name}/{key}" for name, columns in run.record.groups.items() for key in columns.variables][:8]
zooms = {}
for width in (1_500, 40_000):
    asked = time.perf_counter()
    ranges.rows(run.record, sent, {"keys": keys, "from": 412_345, "to": 412_345 + width})
    zooms[f"zoom_to_{width}_s"] = round(time.perf_counter() - asked, 3)
zoomed = time.perf_counter()
from nbtoolkit.widget.strip import Strip
Strip(run).findings(now=True)
looked = time.perf_counter()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({
    "import_s": round(imported - began, 2), "panels_import_s": round(loaded - imported, 2),
    "open_s": round(opened - loaded, 2), "describe_s": round(described - opened, 2),
    "reset_s": round(drawn - described, 2), "open_to_bytes_s": round(drawn - loaded, 2),
    "cpu_s": round(spent, 2),
    "reads": held[0], "bytes_read": held[1], "bytes_sent": len(packed), **zooms,
    "findings_s": round(looked - zoomed, 2), "peak_mb": int(peak.split()[1]) // 1024,
}))
"""


def record(rows: int, groups: int, *, width: int = 1, seed: int = 0) -> Record:
    """Random walks: so many groups of ``rows`` steps, with ``width`` values to a row."""
    made, draw = Record({"name": "made", "steps": rows}), np.random.default_rng(seed)
    labels = {"param": [f"p{i}" for i in range(width)]} if width > 1 else {}
    for i in range(groups):
        dims = ("param",) if width > 1 else ()
        columns = made.group(f"g{i}", {"value": Var(dims, "1", f"value {i}")})
        shape = (rows, width) if width > 1 else (rows,)
        columns.append(np.arange(rows), {"value": np.cumsum(draw.standard_normal(shape), axis=0)}, labels)
    return made


def first_picture(folder: Path, name: str, rows: int, groups: int, width: int = 1) -> dict:
    """Seconds and bytes from a closed store to the bytes of its first picture, in a process of its own."""
    path, began = folder / f"{name}.zarr", time.perf_counter()
    writing.Writer(zarr.open_group(path, mode="w-", zarr_format=3)).write(record(rows, groups, width=width))
    seconds = time.perf_counter() - began
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    kept = sum(file.stat().st_size for file in (path / "_overviews").rglob("*") if file.is_file())
    done = subprocess.run(
        [sys.executable, "-c", FIRST, str(path)], capture_output=True, text=True, timeout=600, check=True
    )
    told = {"store": name, "values": rows * groups * width, "written_s": round(seconds, 1)}
    return {**told, "bytes": size, "overview_share": round(kept / size, 4), **json.loads(done.stdout)}


def counted_puts(ahead: bool, rows_per_write: int, writes: int) -> dict:
    """Objects and bytes put by the writer for one write of a default run's worth of groups."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem
    from zarr.storage import FsspecStore

    put: Counter = Counter()

    class Counted(MemoryFileSystem):
        protocol = "countedbench"
        store: dict = {}  # noqa: RUF012
        pseudo_dirs = [""]  # noqa: RUF012

        def pipe_file(self, path, value, **kwargs):
            put["puts"] += 1
            put["bytes"] += len(value)
            return super().pipe_file(path, value, **kwargs)

        def cat_file(self, path, *args, **kwargs):
            put["gets"] += 1
            return super().cat_file(path, *args, **kwargs)

    fsspec.register_implementation("countedbench", Counted, clobber=True)
    root = zarr.open_group(FsspecStore.from_url(f"countedbench://b/run{ahead}.zarr"), mode="w-", zarr_format=3)
    writer, made = writing.Writer(root, ahead=ahead, live=True), Record()
    draw, labels = np.random.default_rng(0), {"param": [f"p{i}" for i in range(20)]}
    scalars = [made.group(f"s{i}", {"value": Var((), "1", "v")}) for i in range(4)]
    fields = [made.group(f"f{i}", {"value": Var(("param",), "1", "v"), "total": Var((), "1", "t")}) for i in range(3)]
    seconds, largest = [], 0
    for turn in range(writes):
        steps = np.arange(turn * rows_per_write, (turn + 1) * rows_per_write)
        for columns in scalars:
            columns.append(steps, {"value": draw.standard_normal(len(steps))})
        for columns in fields:
            values = {"value": draw.standard_normal((len(steps), 20)), "total": draw.standard_normal(len(steps))}
            columns.append(steps, values, labels)
        before, began = put["bytes"], time.perf_counter()
        if turn == 1:  # after the arrays were made
            put.clear()
            before = 0
        writer.write(made)
        seconds.append(time.perf_counter() - began)
        largest = max(largest, put["bytes"] - before)
    told = {name: round(put[name] / (writes - 1), 1) for name in ("puts", "gets", "bytes")}
    return {
        "writer": "ahead" if ahead else "exact", "variables": 10, "rows_per_write": rows_per_write, "per_write": told,
        "largest_bytes": largest, "ms_per_write": round(1e3 * float(np.median(seconds)), 1),
    }  # fmt: skip


def main() -> None:
    """Print all of it."""
    for ahead in (False, True):
        print(json.dumps(counted_puts(ahead, 200, 200)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(first_picture(Path(folder), "1e6 x 50", 1_000_000, 50)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(first_picture(Path(folder), "2e6 x one of 50", 2_000_000, 1, 50)), flush=True)


if __name__ == "__main__":
    main()
