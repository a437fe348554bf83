"""Settings that cannot be are told in one line, also where labels and cost follow from them."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import nbtoolkit
from nbtoolkit.instruments import (
    Instrument,
    barrier_matrix,
    feature_similarity,
    linear_barrier,
    permutation_alignment,
    trajectory_pca,
)
from tests.instruments.models import digits, network, parameters, passed, probe_of, trained
from tests.instruments.settings import run_with

POINTS = [
    (3.5, "3.5"),
    (-3, "-3"),
    (True, "True"),
    (1, "1"),
    ("many", "'many'"),
    (torch.zeros(9, 9), "tensor([[0., 0."),
]
NAMES = r"expected names of layers; there are: 0, 2"
BAD = [
    *(
        (item, {"points": given}, f"points={said}")
        for item in (linear_barrier, barrier_matrix)
        for given, said in POINTS
    ),
    (permutation_alignment, {"points": 2.5}, "points=2.5: a line needs its two ends: a whole number of 2 or more"),
    (permutation_alignment, {"restarts": 2.5}, "restarts=2.5: expected a whole number of starts, 1 or more"),
    (permutation_alignment, {"seed": 2**70}, "seed=1180591620717411303424: expected a whole number from 0"),
    *((barrier_matrix, {"copies": copies}, f"copies={copies!r}: ") for copies in (2.5, -2, True, "a")),
    *((trajectory_pca, {"components": count}, f"components={count!r}: ") for count in (2.5, 0, -1, True, "a")),
    *(
        (feature_similarity, {"examples": count}, f"examples={count!r}: expected a whole number of 2 or more")
        for count in (0, -5, 2.5, "a")
    ),
    (feature_similarity, {"layers": 0}, f"layers=0: {NAMES}"),
    (feature_similarity, {"layers": [0]}, f"layers=[0]: {NAMES}"),
    (linear_barrier, {"statistics": "zzz"}, "statistics='zzz': expected one of 'automatic', 'frozen', 'reestimated', "),
]


@pytest.mark.parametrize(("item", "settings", "said"), BAD, ids=lambda value: getattr(value, "name", None))
def test_a_bad_setting_is_told_in_one_line_and_training_goes_on(
    item: Instrument, settings: dict[str, Any], said: str
) -> None:
    run = run_with(item, settings)
    notes = [note for note in run.notes if note.startswith(f"{item.name} could not be measured")]
    assert len(notes) == 1
    assert said in notes[0]
    assert "\n" not in notes[0]
    assert len(notes[0]) < 200
    assert all(np.isnan(values).all() for values in run[item.name].data_vars.values())


def test_one_word_is_the_name_of_one_layer() -> None:
    model = network(0)
    one = feature_similarity(probe_of(model), parameters(model), passed(), other=trained(1), layers="3")
    assert [bool(np.isfinite(value)) for value in one["cka"]] == [False, True]
    with pytest.raises(ValueError, match="no layer '03' is trained here"):
        feature_similarity(probe_of(model), parameters(model), passed(), layers="03")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("item", "settings"),
    [
        (linear_barrier, {"points": 3}),
        (permutation_alignment, {"points": 3, "restarts": 1, "seed": 2}),
        (barrier_matrix, {"copies": 2, "points": 3}),
        (trajectory_pca, {"components": 2}),
        (feature_similarity, {"examples": 30}),
    ],
)
def test_whole_numbers_of_numpy_are_whole_numbers(item: Instrument, settings: dict[str, Any]) -> None:
    model, (x, y) = network(0), digits(40)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = []
    for kind in (int, np.int64):
        kinds: dict[str, Any] = {name: kind(value) for name, value in settings.items()}
        given = item.using(every=1, **kinds)
        assert given.forward_passes() == item.using(**settings).forward_passes() or math.isnan(given.forward_passes())
        assert json.dumps(given.attrs()["settings"]) == json.dumps({**item.attrs()["settings"], **settings})
        model.load_state_dict(trained(0).state_dict())
        with nbtoolkit.watch(
            model, optimizer, loss=F.cross_entropy, probe=(x, y), instruments=[given], budget=1e9
        ) as run:
            for _ in range(3):
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
        assert not run.notes
        found.append(run[item.name])
    assert found[0].equals(found[1])
    assert any(np.isfinite(values[-1]).any() for values in found[0].data_vars.values())


@pytest.mark.parametrize("norm", [False, True])
def test_statistics_are_automatic_and_what_that_is(norm: bool) -> None:
    for item in (linear_barrier, barrier_matrix, permutation_alignment):
        assert item.settings["statistics"] == "automatic"
    model = trained(0, norm)
    line = {
        how: linear_barrier(
            probe_of(model), parameters(model), passed(), other=trained(1, norm), points=3, statistics=how
        )
        for how in ("automatic", "frozen", "reestimated")
    }
    np.testing.assert_array_equal(
        line["automatic"]["path_loss"], line["reestimated" if norm else "frozen"]["path_loss"]
    )
    assert norm == bool((line["frozen"]["path_loss"] != line["reestimated"]["path_loss"]).any())
