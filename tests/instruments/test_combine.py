"""What an instrument says of how parts measured by several processes make one value."""

from typing import Any

import numpy as np
import pytest
import torch

from nbtoolkit import instruments
from nbtoolkit.capture.parts import combined
from nbtoolkit.errors import InstrumentError
from nbtoolkit.instruments import Instrument, Var, instrument, on_host

SHARES = 3
TENSORS = {"params", "initial_params", "grads", "updates"}
SHARDED = [item for item in (*instruments.default(), instruments.step_alignment) if TENSORS & {*item.needs}]


def test_a_word_that_is_none_is_refused() -> None:
    with pytest.raises(InstrumentError, match="size combines by 'median'; it can be mean, norm, sum, max, min"):

        @instrument(outputs={"size": Var((), "1", "size")}, combine={"size": "median"})
        def size(params: Any, /) -> dict[str, Any]:
            return {"size": 0.0}


def test_the_words_stay_with_another_cadence() -> None:
    assert instruments.grad_norm.using(every=3).combine == {"grad_norm": "norm"}
    assert instruments.loss.combine == {"loss": "mean", "terms": "mean"}


@pytest.mark.parametrize("item", SHARDED, ids=lambda item: item.name)
def test_parts_of_the_parameters_make_the_value_of_the_whole(item: Instrument) -> None:
    trees = {need: tree(place) for place, need in enumerate(sorted(TENSORS))}
    memories: list[dict[str, Any]] = [{} for _ in range(SHARES + 1)]
    for again in range(2):  # some compare with the time before
        given = {
            need: {name: t * (1 + again) + again * tree(9)[name] for name, t in own.items()}
            for need, own in trees.items()
        }
        wanted = item(*[given.get(need, memories[-1]) for need in item.needs])
        parts = [
            item.measure(*[shard(given[need], share) if need in given else memories[share] for need in item.needs])
            for share in range(SHARES)
        ]
        assert parts[0].keys() == item.combine.keys()
        whole = {
            key: combined(word, [on_host(part[key])[None] for part in parts]) for key, word in item.combine.items()
        }
        found = item.finish(whole)
        for key, value in wanted.items():
            np.testing.assert_allclose(found[key][0], value, rtol=1e-12, err_msg=key)


def tree(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"weight": (7, 3), "bias": (4,), "scale": (1,)}
    return {name: torch.randn(size, generator=generator, dtype=torch.float64) for name, size in sizes.items()}


def shard(tensors: dict[str, torch.Tensor], share: int) -> dict[str, torch.Tensor]:
    """Rows of every tensor; of the smallest some processes hold none."""
    return {name: list(tensor.tensor_split(SHARES))[share] for name, tensor in tensors.items()}
