"""Small problems trained by several processes, and by one on the batches of all."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

BATCH = 24  # examples of all processes together
KINDS = ("one", "ddp", "fsdp", "hsdp")  # the last: shards of two, and each of them twice


@dataclass
class Case:
    """How a loop goes.

    Args:
        micro: backward passes of a step.
        clip: largest norm of the gradient, if it is clipped.
        adam: AdamW rather than SGD with momentum.
        frozen: the first layer is not trained.
        tied: the first weights are also the last ones.
    """

    micro: int = 1
    clip: float | None = None
    adam: bool = False
    frozen: bool = False
    tied: bool = False


SHARDED = ("fsdp", "hsdp")
CASES = {
    "plain": Case(),
    "accumulated": Case(micro=2),
    "clipped": Case(clip=0.05, adam=True),
    "frozen": Case(frozen=True),
    "tied": Case(tied=True),
}


class Net(nn.Module):
    """Sizes that do not divide among the processes, and a parameter with fewer rows than there are processes."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = nn.Linear(7, 13, dtype=dtype)
        self.middle = nn.Sequential(nn.Linear(13, 10, dtype=dtype), nn.Tanh())
        self.last = nn.Linear(10, 3, dtype=dtype)
        self.scale = nn.Parameter(torch.ones(1, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(torch.tanh(self.first(x)))) * self.scale


class TiedNet(nn.Module):
    """One weight, as embedding and as head; the inputs count as words."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = nn.Embedding(11, 6, dtype=dtype)
        self.middle = nn.Sequential(nn.Linear(6, 6, dtype=dtype), nn.Tanh())
        self.last = nn.Linear(6, 11, dtype=dtype)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        words = (4 * x).long().remainder(11)
        return self.last(self.middle(self.first(words).mean(1)))


class Training:
    """One model in training; ``kind`` is one of `KINDS`."""

    def __init__(self, case: Case, kind: str, rank: int = 0, count: int = 1, dtype: torch.dtype = torch.float64):
        torch.manual_seed(0)
        self.case, self.kind, self.dtype = case, kind, dtype
        self.rank, self.count = rank, count
        self.net = TiedNet(dtype) if case.tied else Net(dtype)
        for param in self.net.first.parameters() if case.frozen else ():
            param.requires_grad_(False)
        self.model: nn.Module = self.net
        if kind == "ddp":
            self.model = DistributedDataParallel(self.net)
        elif kind in SHARDED:
            mesh = (
                None if kind == "fsdp" else init_device_mesh("cpu", (count // 2, 2), mesh_dim_names=("copy", "shard"))
            )
            ends = [self.net.first, self.net.last] if case.tied else self.net.last  # which torch wants in one group
            for part in (self.net.middle, ends, self.net):
                fully_shard(part, mesh=mesh)
        trained = [param for param in self.net.parameters() if param.requires_grad]
        self.optimizer: Optimizer = (
            torch.optim.AdamW(trained, lr=1e-2) if case.adam else torch.optim.SGD(trained, lr=0.1, momentum=0.9)
        )
        self._data = torch.Generator().manual_seed(1)

    def batch(self) -> tuple[Tensor, Tensor]:
        """The examples of this process, of the next batch."""
        x = torch.randn(BATCH, 7, dtype=torch.float64, generator=self._data).to(self.dtype)
        y = torch.randint(0, 3, (BATCH,), generator=self._data)
        return x[self.rank :: self.count], y[self.rank :: self.count]

    def step(self) -> None:
        self.optimizer.zero_grad()
        x, y = self.batch()
        parts = list(zip(x.chunk(self.case.micro), y.chunk(self.case.micro), strict=True))
        for place, (inputs, targets) in enumerate(parts):
            with self._synchronised(place == len(parts) - 1):
                (F.cross_entropy(self.model(inputs), targets) / len(parts)).backward()
        if self.case.clip is not None:
            nn.utils.clip_grad_norm_([p for p in self.net.parameters() if p.requires_grad], self.case.clip)
        self.optimizer.step()

    def train(self, steps: int, after: Callable[[int], Any] = lambda step: None) -> None:
        for step in range(steps):
            self.step()
            after(step)

    def state(self) -> dict[str, Tensor]:
        """Weights and optimizer state as this process holds them, for comparing bits."""
        found = {f"weight {name}": _local(param) for name, param in self.net.named_parameters()}
        names = {id(param): name for name, param in self.net.named_parameters()}
        for param, held in self.optimizer.state.items():
            for key, value in held.items():
                if isinstance(value, Tensor):
                    found[f"{key} {names[id(param)]}"] = _local(value)
        return found

    @contextlib.contextmanager
    def _synchronised(self, last: bool):
        if self.kind == "ddp" and not last:
            assert isinstance(self.model, DistributedDataParallel)
            with self.model.no_sync():
                yield
            return
        if self.kind in SHARDED:
            self.model.set_requires_gradient_sync(last)  # type: ignore[operator]
        yield


def _local(tensor: Any) -> Tensor:
    return getattr(tensor, "_local_tensor", tensor).detach().clone()
