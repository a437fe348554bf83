"""The training loops that are timed: one model, one optimizer, fixed batches in memory."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class Problem:
    """One training step at a time, as a plain loop would do it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[], Tensor]

    def step(self) -> Tensor:
        """One optimizer step; the loss before it."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss


def mlp(device: str = "cpu") -> Problem:
    """784-128-10, batches of 64, SGD with momentum."""
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
    x, y = torch.randn(64, 784, device=device), torch.randint(10, (64,), device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return Problem(model, optimizer, lambda: F.cross_entropy(model(x), y))


def cnn(device: str = "cpu") -> Problem:
    """Three convolutions with BatchNorm, 308 thousand parameters, batches of 16 images of 32 x 32, Adam."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]

    model = nn.Sequential(*block(3, 32), *block(32, 64), *block(64, 128), nn.Flatten(), nn.Linear(2048, 104), nn.ReLU())
    model = model.append(nn.Linear(104, 10)).to(device)
    x, y = torch.randn(16, 3, 32, 32, device=device), torch.randint(10, (16,), device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return Problem(model, optimizer, lambda: F.cross_entropy(model(x), y))


class Block(nn.Module):
    """Causal attention and a two-layer network, each on a normalised residual stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """A decoder of 124 million parameters in 147 tensors, with the embedding tied to the output."""

    def __init__(self, vocabulary: int = 50257, length: int = 1024, width: int = 768, depth: int = 12) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, width // 64) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return F.linear(self.norm(self.blocks(self.token(tokens) + self.place(places))), self.token.weight)


def gpt(device: str = "cuda", batch: int = 8, length: int = 1024) -> Problem:
    """The decoder in bfloat16 autocast with fused AdamW."""
    model = GPT(length=length).to(device)
    tokens = torch.randint(50257, (batch, length + 1), device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=device == "cuda")
    autocast = torch.autocast("cuda", torch.bfloat16) if device == "cuda" else contextlib.nullcontext()

    def loss() -> Tensor:
        with autocast:
            return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    return Problem(model, optimizer, loss)
