"""How the outputs of layers, and what training changes in them, grow with the width of a network."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nbtoolkit.numerics.given import is_seed, is_whole, shown

if TYPE_CHECKING:
    import xarray

DIMS = ("width", "layer", "step")


def coordinate_check(
    make: Callable[[int], tuple[nn.Module, torch.optim.Optimizer]], widths: Sequence[int],
    loss: Callable[[nn.Module], Tensor], *, steps: int = 4, seeds: Sequence[int] = (0, 1, 2),
) -> "xarray.Dataset":  # fmt: skip
    """Size of every layer's outputs, and of their change since the beginning, against the width.

    ``rms`` is the root of the mean square over a layer's output on the batch of ``loss``, ``change`` that
    of the output at a step less the output at step 0; each the geometric mean over seeds. ``rms_slope`` and
    ``change_slope`` are the slopes of their logarithms on that of the width, by least squares over all widths and
    seeds, with the standard errors ``rms_slope_error`` and ``change_slope_error``. Where a network is scaled right
    (`mup`) no change depends on the width: the slopes of ``change`` are near 0 at every layer. In torch's own
    initialisation with one learning rate those of the logits are well above 0. At step 0 what the
    weights of a readout give shrinks with the root of the width in `mup`, as it should. ::

        def make(width):
            model = Net(width)
            return model, torch.optim.Adam(mup(model, Net(64), lr=0.01))

        check = coordinate_check(make, [64, 256, 1024], lambda model: F.cross_entropy(model(x), y))
        check.change_slope.sel(step=4)

    Args:
        make: builds a network of a width and its optimizer; the random state is seeded before each call.
        widths: two or more.
        loss: of a network, always on the same batch.
        steps: of training.
        seeds: one network of each width for each.

    Returns:
        ``rms`` and ``change`` with the dims width, layer and step, their slopes with the dims layer and step. The
        layers are the modules with parameters of their own whose outputs are tensors, at every width.

    Raises:
        ValueError: fewer than two widths, no steps or seeds, or what ``make`` gives is no network and optimizer.
    """
    import xarray

    _check(widths, steps, seeds)
    found: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for width in widths:
        for seed in seeds:
            with torch.random.fork_rng(), torch.enable_grad():
                torch.manual_seed(seed)
                found[width, seed] = _trained(*_pair(make(width)), loss, steps)
    first = next(iter(found.values()))
    layers = [name for name in first if all(name in one for one in found.values())]
    shape = (2, len(widths), len(seeds), len(layers), steps + 1)
    sizes = np.array([[[found[w, s][name] for name in layers] for s in seeds] for w in widths])
    sizes = np.moveaxis(sizes, -1, 0).reshape(shape)
    with np.errstate(divide="ignore"):
        logs = np.log(sizes)
    logs[~np.isfinite(logs)] = np.nan  # what has not changed, or is not finite, has no size to compare
    words = ("size of the outputs (RMS)", "change of the outputs since step 0 (RMS)")
    variables: dict[str, Any] = {}
    for name, long_name, one in zip(("rms", "change"), words, logs, strict=True):
        slope, error = _slopes(np.log(np.asarray(widths, float)), one)
        variables[name] = (DIMS, np.exp(one.mean(1)), {"long_name": long_name, "units": "1", "scale": "log"})
        told = {"units": "1", "error": f"{name}_slope_error", "line": 0.0}
        variables[f"{name}_slope"] = (DIMS[1:], slope, {"long_name": f"slope on the width: {long_name}", **told})
        variables[f"{name}_slope_error"] = (DIMS[1:], error, {"long_name": "standard error", "units": "1"})
    return xarray.Dataset(variables, {"width": list(widths), "layer": layers, "step": np.arange(steps + 1)})


def _trained(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[..., Tensor], steps: int) -> Any:
    """By layer ``(steps + 1, 2)``: size and change of its outputs."""
    seen: dict[str, list[tuple[float, float]]] = {}
    start: dict[str, Tensor] = {}
    for step in range(steps + 1):
        with _outputs(model) as outputs:
            value = loss(model)
        for name, output in outputs.items():
            start.setdefault(name, output)
            alike = output.shape == start[name].shape
            change = _rms(output - start[name]) if alike else float("nan")
            seen.setdefault(name, []).append((_rms(output), change))
        if step < steps:
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return {name: np.array(rows) for name, rows in seen.items() if len(rows) == steps + 1}


@contextlib.contextmanager
def _outputs(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Outputs of the layers in the passes of the block, the last of each, in float64."""
    held: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(_: nn.Module, __: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) and output else output
            if isinstance(first, Tensor) and first.is_floating_point():
                held[name] = first.detach().double()

        return keep

    handles = [
        module.register_forward_hook(hook(name or "the model"))
        for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))
    ]  # fmt: skip
    try:
        yield held
    finally:
        for handle in handles:
            handle.remove()


def _rms(values: Tensor) -> float:
    return values.square().mean().sqrt().item()


def _slopes(logs_of_width: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares slope on the width and its standard error, of ``(widths, seeds, layers, steps)``."""
    count = logs.shape[0] * logs.shape[1]
    x = logs_of_width[:, None, None, None] - logs_of_width.mean()
    spread = (x**2).sum() * logs.shape[1]
    slope = (x * logs).sum((0, 1)) / spread
    left = logs - logs.mean((0, 1)) - slope * x
    if count < 3:
        return slope, np.full_like(slope, np.nan)
    return slope, np.sqrt((left**2).sum((0, 1)) / (count - 2) / spread)


def _pair(made: Any) -> tuple[nn.Module, torch.optim.Optimizer]:
    good = isinstance(made, (tuple, list)) and len(made) == 2 and isinstance(made[0], nn.Module)
    if not good or not isinstance(made[1], torch.optim.Optimizer):
        raise ValueError(
            f"coordinate_check() got a {type(made).__name__} from make(width); it must return the network and its "
            "optimizer: `return model, optimizer`."
        )
    return made[0], made[1]


def _check(widths: Any, steps: Any, seeds: Any) -> None:
    good = len(set(widths)) == len(widths) > 1 and all(is_whole(width, 1) for width in widths)
    if not good:
        raise ValueError(f"coordinate_check() got widths={shown(widths)}; give two different whole numbers or more.")
    if not is_whole(steps, 1):
        raise ValueError(f"coordinate_check() got steps={shown(steps)}; it must be a whole number, 1 or more.")
    if not len(seeds) or not all(is_seed(seed) for seed in seeds):
        raise ValueError(f"coordinate_check() got seeds={shown(seeds)}; give one whole number or more, such as (0, 1).")
