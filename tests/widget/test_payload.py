"""What a page carries: the same numbers, as far as a screen shows them, in the fewest bytes."""

import base64
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import messages, payload
from tests.widget.pages import unpack

GOLDEN = Path(__file__).parent / "golden_payload.json"
INF = float("inf")


def packed(values, width: int = 1):
    values = np.asarray(values, float)
    head = {"series": [{"key": "a/b", "x": 0, "y": 0, "width": width}]}
    out = unpack(payload.pack(head, [values.ravel().data]))
    return out["numbers"][0][0], out["arrays"][0]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([], "step"),
        ([0, 1, 2, 2, 5, -3, 2**31 - 4], "step"),
        ([0.1, 0.2, 0.3], "single"),
        ([0.1, np.nan, INF, -INF], "single"),
        ([0.1] * 4, "single"),
        ([np.nan] * 4, "single"),
        ([1e300, 0.5], "double"),  # not representable
        ([1e-44, 0.5], "double"),  # only with one digit
        ([1.0, 1.0 + 1e-6, 1.0 + 2e-6], "double"),  # a curve of its own, flat in single precision
        ([0, 2**31], "double"),
        ([INF, INF], "double"),
        ([0.5, 2.0**53], "single"),
    ],
)
def test_each_column_has_the_shortest_form_that_shows_the_same(values, form):
    got, back = packed(values)
    assert got == form
    assert np.allclose(back, np.asarray(values, float), rtol=1e-7, atol=0, equal_nan=True)
    if form != "single":
        assert np.array_equal(back, np.asarray(values, float))


def test_a_flat_column_beside_a_steep_one_keeps_its_digits():
    steep, flat = np.array([0.1, 10.3, 100.7]), 1.0 + np.array([0.0, 1e-6, 2e-6])
    rows = np.column_stack([steep, flat])
    assert packed(rows, width=2)[0] == "double"
    assert np.array_equal(packed(rows, width=2)[1], rows.ravel())


def bowl(extent: float) -> np.ndarray:
    """A landscape of the same value nearly everywhere."""
    x = np.linspace(-1, 1, 25)
    return 2.3025851 + extent * (x[:, None] ** 2 + x**2)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_field_measured_once_keeps_its_shape_however_flat(rows):
    shallow = np.tile(bowl(1e-7).ravel(), rows)
    form, back = packed(shallow, width=625)
    assert form == "double"
    assert np.array_equal(back, shallow)
    assert packed(np.tile(bowl(1.0).ravel(), rows), width=625)[0] == "single"
    assert packed(np.full(625 * rows, 0.1), width=625)[0] == "single"


def test_the_flat_end_of_a_curve_keeps_its_shape_for_those_who_zoom():
    steps = np.arange(400)
    curve = 1 + np.where(steps < 100, 10 * np.exp(-steps / 5), 1e-8 * np.sin(steps / 20))
    assert np.array_equal(packed(curve)[1], curve)
    assert packed(1 + 10 * np.exp(-steps / 100))[0] == "single"


@pytest.mark.parametrize("at", [1, 31, 32, 63, 64, 65, 100, 199])
def test_a_small_step_between_two_plateaus_is_seen_wherever_it_is(at):
    curve = np.where(np.arange(200) < at, 0.1, 0.1 + 1e-12)
    assert np.array_equal(packed(curve)[1], curve)


def test_equal_numbers_are_kept_once():
    steps, values = np.arange(1000.0), np.sqrt(np.arange(1000.0))
    once = len(payload.pack({}, [steps.data, values.data]))
    twice = payload.pack({}, [steps.data, values.data, steps.data, values.data])
    assert len(twice) < once + 60
    assert [len(array) for array in unpack(twice)["arrays"]] == [1000] * 4


def test_what_no_json_has_is_null():
    assert unpack(payload.pack({"a": [float("nan"), INF, 1.5], "b": {"c": -INF}}))["a"] == [None, None, 1.5]


def test_a_saved_message_is_read_back():
    record = Record()
    record.group("loss", {"loss": Var((), "1", "loss")}).append([1, 2], {"loss": np.array([0.5, np.nan])})
    message = messages.reset(record, {}, 3, {"state": "finished"})
    head, arrays = payload.unpack_snapshot(messages.pack(message))
    assert head == message[0]
    assert [list(array.view(np.int64)) for array in arrays] == [
        list(np.frombuffer(buffer).view(np.int64)) for buffer in message[1]
    ]


def golden() -> dict:
    """Each form, as Python packs it and as the page is to read it."""
    arrays = [[0, 1, 2, 5], [0.5, 0.25, 0.1], [1e300, -1e-300, 0.5], []]
    read = [arrays[0], [float(np.float32(value)) for value in arrays[1]], *arrays[2:], arrays[0]]
    text = payload.pack({"op": "reset", "word": "é"}, [np.array(array, float).data for array in [*arrays, arrays[0]]])
    return {"text": text, "read": read}


def test_the_golden_payload_is_what_python_packs():
    kept = json.loads(GOLDEN.read_text())
    assert kept["read"] == golden()["read"]
    inflated = [gzip.decompress(base64.b64decode(text)) for text in (kept["text"], golden()["text"])]
    assert inflated[0] == inflated[1], (
        "write it anew: python -m tests.widget.test_payload, then look whether js/tests/packed.test.ts still passes"
    )


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden()) + "\n")
