"""What goes to the browser: complete, in order, bounded, and as the browser reads it."""

import json
import struct
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import messages

GOLDEN = Path(__file__).parent / "golden_message.json"


def received(message: messages.Message) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and values by key, read as the browser does."""
    head, buffers = message
    arrays = [np.frombuffer(buffer, np.float64) for buffer in buffers]
    return {
        one["key"]: (arrays[one["x"]], arrays[one["y"]].reshape(len(arrays[one["x"]]), one["width"]))
        for one in head["series"]
    }


def unpacked(data: bytes) -> messages.Message:
    length = struct.unpack("<II", data[:8])[0]
    head = json.loads(data[8 : 8 + length])
    ends = 8 + length + np.cumsum([0, *head["sizes"]])
    return head, [data[a:b] for a, b in pairwise(ends)]


def golden_bytes() -> bytes:
    """A packed message with a curve that has a gap, and a field."""
    record = Record()
    record.group("loss", {"loss": Var((), "loss", "loss")}).append([0, 1, 2], {"loss": np.array([2.5, np.nan, 0.5])})
    norm = record.group("norm", {"norm": Var(("param",), "1", "n")})
    norm.append([0, 1, 2], {"norm": np.arange(6.0).reshape(3, 2)}, {"param": ["ä", "</script>"]})
    status = {"step": 3, "steps_per_second": None, "elapsed": 1.5, "share": 0.25, "state": "watching", "notes": []}
    return messages.pack(messages.reset(record, {}, 4, status))


def test_the_golden_message_is_what_python_packs():
    assert json.loads(GOLDEN.read_text())["bytes"] == golden_bytes().hex(), (
        "write it anew: python -m tests.widget.test_messages"
    )


def test_appends_add_up_to_the_record(run):
    sent: dict[str, int] = {}
    parts = []
    for steps in (3, 1, 40):
        run.train(steps)
        parts.append(received(messages.append(run.record, sent, len(parts) + 1, {})))
    for key in ("loss/loss", "grad_norm/total", "grad_norm/norm"):
        group, name = key.split("/")
        steps, values = run.record.groups[group].rows()
        np.testing.assert_array_equal(np.concatenate([part[key][0] for part in parts]), steps)
        np.testing.assert_array_equal(
            np.concatenate([part[key][1] for part in parts]), values[name].reshape(len(steps), -1)
        )


def test_nothing_new_is_an_empty_message(run):
    run.train(5)
    sent: dict[str, int] = {}
    messages.append(run.record, sent, 1, {})
    head, buffers = messages.append(run.record, sent, 2, {})
    assert (head["series"], buffers) == ([], [])


def test_variables_of_a_group_share_their_steps(run):
    run.train(5)
    head, buffers = messages.append(run.record, {}, 1, {})
    total, norm = (one for one in head["series"] if one["key"].startswith("grad_norm"))
    assert total["x"] == norm["x"]
    assert len(buffers) == 5


def test_a_reset_of_a_long_run_is_bounded_and_keeps_the_extremes(run):
    run.train(60_000)
    run.record.groups["loss"].append([60_000], {"loss": np.array([1e9])})
    run.train(1000)
    sent: dict[str, int] = {}
    got = received(messages.reset(run.record, sent, 1, {}))
    steps, values = got["loss/loss"]
    assert len(steps) < messages.FULL + 3
    assert values.max() == 1e9
    assert steps[-1] == run.record.groups["loss"].rows()[0][-1]
    assert sent == {name: len(columns) for name, columns in run.record.groups.items()}


def test_a_long_field_is_sent_as_evenly_spaced_rows_with_the_last():
    kept = messages.thin(np.arange(10_001), np.zeros((10_001, 20)))
    assert len(kept) <= messages.FULL_FIELD
    assert kept[-1] == 10_000
    assert len(set(np.diff(kept))) == 1


def test_packing_loses_nothing(run):
    run.train(7)
    message = messages.reset(run.record, {}, 1, {"step": 7})
    head, buffers = unpacked(messages.pack(message))
    assert head["status"] == {"step": 7}
    for key, (steps, values) in received(message).items():
        again = received((head, buffers))[key]
        np.testing.assert_array_equal(again[0], steps)
        np.testing.assert_array_equal(again[1], values)


def test_buffers_of_a_packed_message_are_aligned(run):
    run.train(3)
    data = messages.pack(messages.reset(run.record, {}, 1, {"state": "x"}))
    assert (8 + struct.unpack("<II", data[:8])[0]) % 8 == 0


def test_what_is_not_finite_is_null_in_the_status(run):
    status = replace(run.status(), steps_per_second=float("nan"), elapsed=float("inf"))
    head = messages.status_head(status)
    assert (head["steps_per_second"], head["elapsed"], head["step"]) == (None, None, 0)
    json.dumps(head, allow_nan=False)


def ritz_record(rows: int) -> Record:
    """Wide rows, few of them: 10 probes with 80 nodes, and a scalar beside."""
    record = Record()
    values = Var(("probe", "node"), "1", "eigenvalue"), Var(("probe", "node"), "1", "weight"), Var((), "1", "mean")
    columns = record.group("density", dict(zip(("value", "weight", "mean"), values, strict=True)))
    labels = {"probe": list(range(10)), "node": list(range(80))}
    wide = np.arange(rows * 800.0).reshape(rows, 10, 80)
    columns.append(range(rows), {"value": wide, "weight": -wide, "mean": np.arange(rows)}, labels)
    return record


def test_rows_of_ritz_values_are_dropped_whole_and_alike() -> None:
    for rows, make in ((3, messages.reset), (900, messages.reset), (3, messages.append), (200, messages.append)):
        message = make(ritz_record(rows), {}, 1, {})
        got = received(message)
        for key, sign in (("density/value", 1), ("density/weight", -1)):
            steps, values = got[key]
            assert steps[-1] == rows - 1
            np.testing.assert_array_equal(values, sign * (steps[:, None] * 800 + np.arange(800)))
        assert len(got["density/value"][0]) <= (messages.SCREEN if make is messages.reset else 26)
        np.testing.assert_array_equal(got["density/mean"][1][:, 0], got["density/mean"][0])


def test_one_row_wider_than_an_update_is_sent_whole() -> None:
    record = Record()
    columns = record.group("wide", {"v": Var(("probe", "node"), "1", "v")})
    columns.append([7], {"v": np.ones((1, 100, 300))}, {"probe": list(range(100)), "node": list(range(300))})
    (steps, values) = received(messages.append(record, {}, 1, {}))["wide/v"]
    assert (steps.tolist(), values.shape) == ([7], (1, 30_000))


def test_errors_and_lines_are_sent_for_the_steps_of_their_curve() -> None:
    record, steps = Record(), np.arange(30_000)
    names = ("value", "bound", "edge")
    variables = Var((), "1", "v", error="bound", line="edge"), Var((), "1", "b"), Var((), "1", "e")
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=len(steps)) for name in names}
    record.group("g", dict(zip(names, variables, strict=True))).append(steps, rows)
    got = received(messages.reset(record, {}, 1, {}))
    assert len(got["g/value"][0]) < len(steps)
    for name in names:
        np.testing.assert_array_equal(got[f"g/{name}"][0], got["g/value"][0])
        np.testing.assert_array_equal(got[f"g/{name}"][1][:, 0], rows[name][got["g/value"][0].astype(int)])


def test_an_update_of_a_wide_field_is_bounded_and_ends_with_the_last_row():
    record, sent = Record(), {}
    columns = record.group("norm", {"norm": Var(("param",), units="1", long_name="norm")})
    columns.append(range(90), {"norm": np.ones((90, 2000))}, {"param": [f"p{i}" for i in range(2000)]})
    head, buffers = messages.append(record, sent, 1, {})
    assert sum(np.asarray(buffer).nbytes for buffer in buffers) <= 8 * 1.2 * messages.UPDATE
    steps = np.asarray(buffers[head["series"][0]["x"]])
    assert steps[-1] == 89
    assert len(set(np.diff(steps))) == 1
    assert sent == {"norm": 90}


@pytest.mark.parametrize("rows", [10, 10 * messages.SCREEN])
def test_what_is_told_besides_the_rows_arrives_whatever_the_variables_are_called(rows: int) -> None:
    record = Record()
    for name in ("status", "series", "commands"):
        record.group(name, {name: Var((), "1", name)}).append(range(rows), {name: np.ones(rows)})
    log = [{"step": 3, "text": "learning rate: 0.1 -> 0.05"}]
    for make in (messages.reset, messages.append):
        head, _ = make(record, {}, 1, {"step": rows}, told={"commands": log, "findings": [], "status": "taken"})
        assert (head["status"], head["commands"], head["findings"]) == ({"step": rows}, log, [])
        assert [one["key"] for one in head["series"]] == ["status/status", "series/series", "commands/commands"]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({"bytes": golden_bytes().hex()}) + "\n")
