"""Small training problems as data: what is trained, and how one step of its loop goes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer


@dataclass
class Problem:
    """Models, their optimizers, and a function that makes one training step."""

    models: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    step: Callable[[], Any]
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> nn.Module:
        return next(iter(self.models.values()))

    @property
    def optimizer(self) -> Optimizer:
        return next(iter(self.optimizers.values()))

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.step()


def mlp(*, lr: float = 0.1, dtype: torch.dtype = torch.float32) -> Problem:
    """Plain SGD on a two-layer network."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    x, y = torch.randn(32, 8, dtype=dtype), torch.randint(0, 3, (32,))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return Problem({"model": model}, {"optimizer": optimizer}, step)


def cnn() -> Problem:
    """Batch statistics and dropout, so buffers and random numbers move; AdamW with a schedule."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(4 * 36, 3)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)

    def step() -> None:
        x, y = torch.randn(16, 1, 8, 8), torch.randint(0, 3, (16,))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        schedule.step()

    return Problem({"model": model}, {"optimizer": optimizer}, step)


def transformer() -> Problem:
    """A small encoder with attention, dropout and clipped gradients."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
    model = nn.Sequential(
        nn.Embedding(11, 16), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 11)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        tokens = torch.randint(0, 11, (4, 9))
        optimizer.zero_grad()
        logits = model(tokens[:, :-1])
        F.cross_entropy(logits.reshape(-1, 11), tokens[:, 1:].reshape(-1)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()

    return Problem({"model": model}, {"optimizer": optimizer}, step)


class Tied(nn.Module):
    """Input and output embeddings share one tensor; one tensor is frozen; one is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 5)
        self.frozen = nn.Linear(5, 5).requires_grad_(False)
        self.unused = nn.Linear(5, 5)
        self.out = nn.Linear(5, 7, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.frozen(self.embed(tokens)))


def tied() -> Problem:
    """Tied, frozen and unused parameters, momentum SGD with two groups."""
    torch.manual_seed(0)
    model = Tied()
    groups = [{"params": [model.embed.weight]}, {"params": [*model.frozen.parameters(), *model.unused.parameters()]}]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)

    def step() -> None:
        tokens = torch.randint(0, 7, (16,))
        optimizer.zero_grad()
        F.cross_entropy(model(tokens), (tokens + 1) % 7).backward()
        optimizer.step()

    return Problem({"model": model}, {"optimizer": optimizer}, step)


def accumulation(*, set_to_none: bool = True) -> Problem:
    """Four micro-batches a step."""
    problem = mlp()
    model, optimizer = problem.model, problem.optimizer

    def step() -> None:
        optimizer.zero_grad(set_to_none=set_to_none)
        for _ in range(4):
            x, y = torch.randn(8, 8), torch.randint(0, 3, (8,))
            (F.cross_entropy(model(x), y) / 4).backward()
        optimizer.step()

    return Problem({"model": model}, {"optimizer": optimizer}, step)


def bf16() -> Problem:
    """bfloat16 autocast."""
    problem = mlp()
    model, optimizer = problem.model, problem.optimizer

    def step() -> None:
        x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    return Problem({"model": model}, {"optimizer": optimizer}, step)


def lbfgs() -> Problem:
    """A closure, evaluated several times within a step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=4)
    x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
    first_losses: list[float] = []

    def step() -> None:
        evaluated: list[float] = []

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            evaluated.append(loss.item())
            return loss

        optimizer.step(closure)
        first_losses.append(evaluated[0])

    return Problem({"model": model}, {"optimizer": optimizer}, step, {"first_losses": first_losses})


def gan(*, set_to_none: bool = True) -> Problem:
    """Two optimizers; the generator's loss also fills the discriminator's gradients."""
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    discriminator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    opt_g = torch.optim.Adam(generator.parameters(), lr=1e-2)
    opt_d = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    seen: dict[str, list[float]] = {"opt_d": [], "opt_g": []}

    def step() -> None:
        real, fake = torch.randn(16, 2) + 2, generator(torch.randn(16, 4))
        opt_d.zero_grad(set_to_none=set_to_none)
        on_real = F.binary_cross_entropy_with_logits(discriminator(real), torch.ones(16, 1))
        on_fake = F.binary_cross_entropy_with_logits(discriminator(fake.detach()), torch.zeros(16, 1))
        on_real.backward()
        on_fake.backward()
        opt_d.step()
        opt_g.zero_grad(set_to_none=set_to_none)
        fooled = F.binary_cross_entropy_with_logits(discriminator(fake), torch.ones(16, 1))
        fooled.backward()
        opt_g.step()
        seen["opt_d"].append(on_real.item() + on_fake.item())
        seen["opt_g"].append(fooled.item())

    return Problem(
        {"discriminator": discriminator, "generator": generator}, {"opt_d": opt_d, "opt_g": opt_g}, step,
        {"seen": seen},
    )  # fmt: skip


def compiled() -> Problem:
    """A model behind torch.compile."""
    problem = mlp()
    optimizer = problem.optimizer
    model = torch.compile(problem.model, backend="aot_eager")
    assert isinstance(model, nn.Module)

    def step() -> None:
        x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    return Problem({"model": model}, {"optimizer": optimizer}, step)


def scaled(*, fused: bool = False, divide: bool = False) -> Problem:
    """A GradScaler; the loss it scales may be divided on the way to backward()."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    losses: list[float] = []

    def step() -> None:
        x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        losses.append(loss.item() / (2 if divide else 1))
        scaled_loss = scaler.scale(loss)
        (scaled_loss / 2 if divide else scaled_loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return Problem({"model": model}, {"optimizer": optimizer}, step, {"losses": losses})


ALL: dict[str, Callable[[], Problem]] = {
    "mlp": mlp, "cnn": cnn, "transformer": transformer, "tied": tied, "accumulation": accumulation, "bf16": bf16,
    "lbfgs": lbfgs, "gan": gan, "compiled": compiled, "scaled": scaled,
}  # fmt: skip
