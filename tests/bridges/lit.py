"""A small problem for Lightning, and the plain loop that does the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

BATCH, EXAMPLES = 8, 48
QUIET: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
    "enable_checkpointing": False, "num_sanity_val_steps": 0,
}  # fmt: skip


def data(rank: int = 0, count: int = 1) -> DataLoader[Any]:
    """The batches in order; of several processes, the part of one of them."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(EXAMPLES, 6, generator=generator)
    inputs = inputs[rank::count]
    return DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), batch_size=BATCH)


def net(dropout: float) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Dropout(dropout), nn.Linear(12, 3))


class Lit(pl.LightningModule):
    """Automatic optimization; logs in every way."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = net(dropout)
        self.fails_at = -1

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        if self.global_step == self.fails_at:
            raise ZeroDivisionError("in the step")
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        self.log("loss", loss.detach() * 2, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Adversaries(pl.LightningModule):
    """Manual optimization with two optimizers, the second of which steps every other time."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        torch.manual_seed(0)
        self.maker, self.judge = nn.Linear(6, 6), nn.Linear(6, 1)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        own: Any = self.optimizers()
        make, judge = own
        loss = F.softplus(-self.judge(self.maker(batch[0]))).mean()
        make.zero_grad()
        self.manual_backward(loss)
        make.step()
        self.log("made", loss.detach())
        if index % 2 == 0:
            loss = F.softplus(self.judge(self.maker(batch[0]).detach())).mean()
            judge.zero_grad()
            self.manual_backward(loss)
            judge.step()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.maker.parameters(), 0.1), torch.optim.Adam(self.judge.parameters(), 0.01)


@dataclass(frozen=True)
class Case:
    """A way to train.

    Attributes:
        accumulate: batches for one step.
        clip: the gradient's norm.
        half: the type that autocast computes in.
        scaled: by a GradScaler.
    """

    accumulate: int = 1
    clip: float = 0.0
    half: torch.dtype | None = None
    scaled: bool = False

    def scaler(self) -> torch.amp.GradScaler:
        return torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=self.scaled)

    def of_lightning(self) -> dict[str, Any]:
        """Options of the Trainer."""
        options: dict[str, Any] = {"accumulate_grad_batches": self.accumulate, "gradient_clip_val": self.clip or None}
        if self.scaled:
            from lightning.pytorch.plugins import MixedPrecision

            options["plugins"] = [MixedPrecision("16-mixed", "cpu", scaler=self.scaler())]
        elif self.half is not None:
            options["precision"] = "bf16-mixed"
        return options

    def loop(self, model: nn.Module, optimizer: Any, schedule: Any, epochs: int) -> Iterator[float]:
        """The plain loop; gives the loss of every step."""
        scaler, total = self.scaler(), 0.0
        for _ in range(epochs):
            for index, (inputs, targets) in enumerate(data(), 1):
                with torch.autocast("cpu", self.half, enabled=self.half is not None):
                    loss = F.cross_entropy(model(inputs), targets) / self.accumulate
                if (index - 1) % self.accumulate == 0:
                    optimizer.zero_grad()
                scaler.scale(loss).backward()
                total += loss.item()
                if index % self.accumulate:
                    continue
                scaler.unscale_(optimizer)
                if self.clip:
                    nn.utils.clip_grad_norm_(model.parameters(), self.clip)
                scaler.step(optimizer)
                scaler.update()
                schedule.step()
                yield total
                total = 0.0


CASES = {
    "plain": Case(),
    "accumulated": Case(accumulate=3),
    "clipped": Case(clip=0.3),
    "bf16": Case(half=torch.bfloat16),
    "fp16, scaled, accumulated, clipped": Case(accumulate=2, clip=0.3, half=torch.float16, scaled=True),
}


def fit(model: pl.LightningModule, *callbacks: Any, validate: bool = False, **options: Any) -> pl.Trainer:
    """Train the model from the same random state."""
    checkpoint, part = options.pop("ckpt_path", None), options.pop("part", (0, 1))
    torch.manual_seed(1)
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 2, **options}, callbacks=list(callbacks))
    trainer.fit(model, data(*part), data() if validate else None, ckpt_path=checkpoint)
    return trainer


class At(pl.Callback):
    """Calls a function after some steps."""

    def __init__(self, step: int, then: Callable[[], Any]) -> None:
        self.step, self.then = step, then

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == self.step:
            self.then()
