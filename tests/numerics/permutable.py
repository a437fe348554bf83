"""Models with an input of each, whose units can be permuted, and what their groups are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Case(NamedTuple):
    """A model in float64, inputs, and the sizes of its groups."""

    model: nn.Module
    inputs: Any
    sizes: list[int]


def case(model: nn.Module, inputs: Any, *sizes: int) -> Case:
    """With random statistics and scales, so that what is not moved along shows."""
    model = model.double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point() and tensor.ndim <= 1:
                tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
    return Case(model, inputs, sorted(sizes))


def images(channels: int, size: int = 8) -> Tensor:
    return torch.randn(5, channels, size, size, dtype=torch.float64)


def mlp() -> Case:
    layers = [nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 3)]
    return case(nn.Sequential(*layers), torch.randn(5, 6, dtype=torch.float64), 9, 7)


def cnn() -> Case:
    layers = [
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2, bias=False),
        nn.BatchNorm2d(6), nn.PReLU(6), nn.Flatten(), nn.Linear(24, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3),
    ]  # fmt: skip
    return case(nn.Sequential(*layers), images(1), 4, 6, 5)


class BasicBlock(nn.Module):
    """As in ResNet-18."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.downsample = None
        if into != out:
            self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return F.relu(out)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)
        self.layers = nn.Sequential(BasicBlock(4, 4, 1), BasicBlock(4, 4, 1), BasicBlock(4, 8, 2), BasicBlock(8, 8, 1))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def resnet() -> Case:
    return case(ResNet(), images(3), 4, 4, 4, 8, 8, 8)


class Language(nn.Module):
    """Learned positions, an encoder, and an output tied to the embedding."""

    def __init__(self, *, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, norm_first=norm_first)
        self.embed = nn.Embedding(11, 12)
        self.position = nn.Parameter(torch.randn(1, 7, 12))
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(12), enable_nested_tensor=False)
        self.out = nn.Linear(12, 11, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.encoder(self.embed(tokens) + self.position))


def post_norm() -> Case:
    return case(Language(norm_first=False), torch.randint(0, 11, (4, 7)), 12, 3, 20, 3, 20)


def pre_norm() -> Case:
    return case(Language(norm_first=True), torch.randint(0, 11, (4, 7)), 12, 3, 20, 3, 20)


class Attention(nn.Module):
    """Written by hand: heads by view and transpose, a parameter as first token, a gated hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.project, self.gated, self.down = nn.Linear(8, 8), nn.Linear(8, 12), nn.Linear(6, 8)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
        batch, length, width = x.shape
        q, k, v = (part(x).view(batch, length, 4, 2).transpose(1, 2) for part in (self.q, self.k, self.v))
        weights = torch.softmax(q @ k.transpose(-2, -1) / 2**0.5, dim=-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(batch, length, width))
        gate, value = self.gated(self.norm(x)).chunk(2, dim=-1)
        x = x + self.down(F.silu(gate) * value)
        return self.head(x[:, 0])


def attention() -> Case:
    return case(Attention(), torch.randn(4, 6, 5, dtype=torch.float64), 8, 4, 6)


class Branches(nn.Module):
    """Concatenated branches, a depthwise convolution that doubles its channels, instance and group normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 4, 1)
        self.whole, self.each = nn.GroupNorm(1, 7), nn.InstanceNorm2d(7, affine=True)
        self.depthwise, self.mix = nn.Conv2d(7, 14, 3, groups=7), nn.Conv2d(14, 5, 1)
        self.up, self.out = nn.ConvTranspose2d(5, 6, 2, stride=2), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((self.left(x), F.relu(self.right(x))), 1)
        x = self.mix(F.relu(self.depthwise(self.each(self.whole(x)))))
        return self.out(F.pad(torch.sigmoid(self.up(x)), (1, 1)))


def branches() -> Case:
    return case(Branches(), images(2), 3, 4, 5, 6)


class Shuffled(nn.Module):
    """Grouped convolutions with a channel shuffle between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.grouped = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 3, groups=2)
        self.normed, self.hidden, self.last = nn.GroupNorm(3, 6), nn.Conv2d(6, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.first(x))
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)
        return self.last(F.relu(self.hidden(self.normed(x))))


def shuffled() -> Case:
    return case(Shuffled(), images(2), 4)


class Decoder(nn.Module):
    """A hidden vector made an image, and weights used twice and through functions."""

    def __init__(self) -> None:
        super().__init__()
        self.grow, self.out = nn.Linear(3, 4 * 9), nn.Conv2d(4, 2, 2)
        self.again, self.weight = nn.Conv2d(4, 4, 1), nn.Parameter(torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.grow(F.linear(x, self.weight))).view(-1, 4, 3, 3)
        return self.out(self.again(F.relu(self.again(x)))).mean((2, 3))


def decoder() -> Case:
    return case(Decoder(), torch.randn(5, 3, dtype=torch.float64), 4, 3)


class Two(nn.Module):
    """Two arguments by name, and an einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 6), nn.Embedding(5, 6)
        self.mixed = nn.Parameter(torch.randn(6, 3, 8))
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor, *, kind: Tensor) -> Tensor:
        joint = torch.einsum("bi,ijk->bjk", self.left(x) * self.right(kind), self.mixed)
        return self.out(F.softmax(joint, -1).amax(1))


def two() -> Case:
    inputs = {"x": torch.randn(5, 4, dtype=torch.float64), "kind": torch.arange(5)}
    return case(Two(), inputs, 6, 8, 3)


class Cut(nn.Module):
    """Slices of hidden units, and sums of blocks that do not fit; one hidden layer is free."""

    def __init__(self) -> None:
        super().__init__()
        self.sliced, self.free = nn.Linear(3, 8), nn.Linear(5, 6)
        self.parts = nn.ModuleList(nn.Linear(6, width) for width in (3, 4, 4, 3))
        self.last = nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.sliced(x)
        x = F.relu(self.free(x[:, :5] * x[:, 3:]))
        a, b, c, d = (part(x) for part in self.parts)
        return self.last(torch.relu(torch.cat([a, b], 1) + torch.cat([c, d], 1)))


def cut() -> Case:
    return case(Cut(), torch.randn(5, 3, dtype=torch.float64), 6)


ALL: dict[str, Callable[[], Case]] = {
    made.__name__: made
    for made in (
        mlp, cnn, resnet, post_norm, pre_norm, attention, branches, shuffled, decoder, two, cut
    )
}  # fmt: skip


def outputs(model: nn.Module, state: dict[str, Tensor], inputs: Any) -> Tensor:
    """Of a whole state dict, tied entries each by themselves."""
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else ((inputs,), {})
    return torch.func.functional_call(model, state, args, kwargs, tie_weights=False)
