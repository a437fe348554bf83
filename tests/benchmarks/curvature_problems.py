"""Networks and data whose curvature is timed, and the trainings along which it is measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.products import Operator, hessian


@dataclass
class Curved:
    """A model and one batch of it; the loss is the cross-entropy."""

    name: str
    model: nn.Module
    inputs: Tensor
    targets: Tensor

    @property
    def params(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    @property
    def device(self) -> str:
        return self.inputs.device.type

    def loss(self) -> Tensor:
        return F.cross_entropy(self.model(self.inputs), self.targets)

    def loss_at(self) -> LossAt:
        return LossAt(self.model, (self.inputs, self.targets), F.cross_entropy)

    def hessian(self) -> Operator:
        return hessian(self.loss_at(), self.params)


def digits(images: bool = False) -> tuple[Tensor, Tensor]:
    """The 1,797 handwritten digits of scikit-learn, in the same random order each time."""
    data: Any = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    inputs = torch.tensor(data.data / 16, dtype=torch.float32)[order]
    return (inputs.view(-1, 1, 8, 8) if images else inputs), torch.tensor(data.target)[order]


def mlp_net() -> nn.Module:
    """64-64-32-10, 6,570 parameters."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def digits_cnn_net() -> nn.Module:
    """Two convolutions for images of 8 x 8, 3,706 parameters."""
    first = nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    second = nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(96, 10))


def trained(seed: int = 0, steps: int = 200) -> Curved:
    """The MLP after some steps, probed with 1,024 digits."""
    problem = next(iter(along("MLP", seed, every=steps, last=steps, first=steps)))
    return Curved("MLP 6.6k", problem.model, problem.inputs[:1024], problem.targets[:1024])


def along(name: str, seed: int, *, every: int = 10, last: int = 400, first: int = 0) -> Iterator[Curved]:
    """The model every so many steps of SGD (batches of 64, learning rate 0.1), with a fixed probe of 1,200 digits."""
    images = name != "MLP"
    x, y = digits(images)
    torch.manual_seed(seed)
    model = digits_cnn_net() if images else mlp_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    draws = torch.Generator().manual_seed(seed)
    for step in range(last + 1):
        if step >= first and step % every == 0:
            yield Curved(name, model, x[:1200], y[:1200])
        batch = torch.randint(len(x), (64,), generator=draws)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()


def cnn(batch: int = 32, device: str = "cpu") -> Curved:
    """Three convolutions on images of 32 x 32, 351 thousand parameters."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 125), nn.ReLU(), nn.Linear(125, 10)).to(device)
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
    return Curved("CNN 351k", model, x.to(device), y.to(device))


class Residual(nn.Module):
    """Two convolutions around which the input is led."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        around = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.around = nn.Identity() if same else nn.Sequential(*around)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.around(x))


def resnet18(batch: int = 64, device: str = "cuda") -> Curved:
    """ResNet-18 for images of 32 x 32, 11.2 million parameters, in eval mode as PyHessian sets it."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Residual(width, outputs, stride), Residual(outputs, outputs, 1)]
        width = outputs
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)).to(device)
    x, y = torch.randn(batch, 3, 32, 32).to(device), torch.randint(10, (batch,)).to(device)
    with torch.no_grad():
        for _ in range(20):
            model(x)  # statistics that fit the weights
    return Curved("ResNet-18", model.eval(), x, y)
