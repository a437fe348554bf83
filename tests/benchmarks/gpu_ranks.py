"""``torchrun --nproc-per-node N -m tests.benchmarks.gpu_ranks``: watching a GPT of 124 million parameters on N GPUs.

With DDP and with FSDP2: final weights bit for bit those of an unwatched training, the loss recorded that of the global
batch, the sharpness on a probe that of one process, and the cost of a watched step beside a bare one.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import nbtoolkit
from nbtoolkit import instruments
from tests.benchmarks.problems import GPT

BLOCKS, STEPS = 7, 20


class Training:
    """The decoder on every GPU, each with batches of its own."""

    def __init__(self, kind: str, rank: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.net = GPT().to(device)
        self.model: Any = self.net
        if kind == "ddp":
            self.model = DistributedDataParallel(self.net, device_ids=[device.index])
        else:
            for block in self.net.blocks:
                fully_shard(block)
            fully_shard(self.net)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=3e-4, fused=True)
        generator = torch.Generator(device).manual_seed(rank)
        self.tokens = torch.randint(50257, (8, 1025), device=device, generator=generator)
        self.losses: list[Tensor] = []

    def step(self) -> None:
        self.optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            loss = F.cross_entropy(self.model(self.tokens[:, :-1]).flatten(0, 1), self.tokens[:, 1:].flatten())
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.detach())

    def state(self) -> list[Tensor]:
        held = [value for state in self.optimizer.state.values() for value in state.values()]
        return [getattr(tensor, "_local_tensor", tensor).detach().clone() for tensor in [*self.net.parameters(), *held]]


def say(*words: Any) -> None:
    """On the first process."""
    if dist.get_rank() == 0:
        print(*words, flush=True)


def bits(kind: str, rank: int, device: torch.device) -> None:
    """Bit for bit as unwatched, by kernels that give the same bits twice; the loss of all."""
    torch.use_deterministic_algorithms(True)
    plain = Training(kind, rank, device)
    for _ in range(8):
        plain.step()
    expected = plain.state()
    del plain
    watched = Training(kind, rank, device)
    with nbtoolkit.watch(watched.net, watched.optimizer) as run:
        for _ in range(8):
            watched.step()
    torch.use_deterministic_algorithms(False)
    same = all(torch.equal(one, other) for one, other in zip(watched.state(), expected, strict=True))
    losses = torch.stack(watched.losses).double()
    dist.all_reduce(losses)
    flag = torch.tensor([float(same)], device=device)
    dist.all_reduce(flag, dist.ReduceOp.MIN)
    if rank == 0:
        _, rows = run.record.groups["loss"].rows()
        told = torch.from_numpy(rows["loss"].copy())
        wrong = ((told - losses.cpu() / dist.get_world_size()) / told).abs().max()
        _, norms = run.record.groups["grad_norm"].rows()
        say(f"{kind}: bit for bit {bool(flag.item())}; loss of all within {wrong:.1e}; norms {norms['total'][:3]}")
        say(f"{kind}: notes {run.notes}")


def curved(kind: str, rank: int, device: torch.device) -> None:
    """The sharpness of a small network on a probe: of all processes, and of one alone."""
    data = torch.Generator().manual_seed(1)
    x, y = torch.randn(512, 32, generator=data).to(device), torch.randint(10, (512,), generator=data).to(device)

    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 10)).to(device)

    measured: dict[str, list[float]] = {}
    for name in ("together", "alone"):
        model: Any = net()
        inner = model
        if name == "together":
            model = DistributedDataParallel(model) if kind == "ddp" else fully_shard(model)
        optimizer = torch.optim.SGD(inner.parameters(), lr=0.1)
        chosen = [instruments.sharpness.using(every=2)]
        watching = nbtoolkit.watch(inner, optimizer, instruments=chosen, loss=F.cross_entropy, probe=(x, y), budget=1e9)
        share = slice(rank, None, dist.get_world_size()) if name == "together" else slice(None)
        for _ in range(6):
            optimizer.zero_grad()
            F.cross_entropy(model(x[share]), y[share]).backward()
            optimizer.step()
        watching.detach()
        measured[name] = watching.record.groups["sharpness"].rows()[1]["sharpness"].tolist()
    say(f"{kind}: sharpness together {measured['together']}, alone {measured['alone']}")


def seconds(training: Training, watched: AbstractContextManager[Any]) -> float:
    """Of a step, the mean over a block."""
    with watched:
        for _ in range(11):
            training.step()
        torch.cuda.synchronize()
        dist.barrier()
        began = time.perf_counter()
        for _ in range(STEPS):
            training.step()
        torch.cuda.synchronize()
        took = (time.perf_counter() - began) / STEPS
    training.losses.clear()
    return took


def cost(kind: str, rank: int, device: torch.device) -> None:
    """Of a watched step over a bare one, without and with a store."""
    training = Training(kind, rank, device)
    folder = Path(tempfile.mkdtemp())

    def stored(block: int) -> Any:
        return nbtoolkit.watch(training.net, training.optimizer, store=folder / f"{kind}{block}.zarr")

    sides: dict[str, Callable[[int], Any]] = {
        "watched": lambda block: nbtoolkit.watch(training.net, training.optimizer),
        "watched and stored": stored,
    }
    ratios: dict[str, list[float]] = {name: [] for name in sides}
    bare = [seconds(training, nullcontext())]
    for block in range(BLOCKS):
        for name, side in sides.items():
            took = seconds(training, side(block))
            bare.append(seconds(training, nullcontext()))
            ratios[name].append(took / statistics.mean(bare[-2:]))
    for name, found in ratios.items():
        low, middle, high = statistics.quantiles(found, n=4, method="inclusive")
        say(f"{kind} {name}: {middle:.4f} [{low:.4f}, {high:.4f}] of {1e3 * statistics.median(bare):.2f} ms")


def main() -> None:
    """Check and measure with each kind."""
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    torch.set_float32_matmul_precision("high")
    dist.init_process_group("nccl", device_id=device)
    say(f"{dist.get_world_size()} x {torch.cuda.get_device_name()}, torch {torch.__version__}")
    try:
        for kind in ("ddp", "fsdp"):
            for part in (bits, curved, cost):
                part(kind, rank, device)
                torch.cuda.empty_cache()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
