"""Costly instruments in a job of several processes: the values of one process, at the same steps in all."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from torch.nn import functional as F

from nbtoolkit.capture.measuring import PART
from tests.ranks import together
from tests.ranks.launch import Job
from tests.ranks.problems import CASES, Training


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A job of two processes."""
    yield from ended(Job("together.py", 2, tmp_path_factory.mktemp("together2")))


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A job of four."""
    yield from ended(Job("together.py", 4, tmp_path_factory.mktemp("together4")))


def ended(job: Job) -> Iterator[Job]:
    try:
        yield job.done()
    finally:
        job.kill()


def alone(instruments: Any = together.PROBED, case: str = "clipped", **options: Any) -> dict[str, Any]:
    return together.watched(Training(CASES[case], "one"), instruments, **options)


def same(found: dict[str, Any], wanted: dict[str, Any], *, least: int = 10) -> None:
    """Every number of every instrument, at the same steps."""
    assert found["data"].keys() == wanted["data"].keys()
    compared = 0
    for group, known in wanted["data"].items():
        for name, variable in known.variables.items():
            one, other = np.asarray(found["data"][group][name]), np.asarray(variable)
            if other.dtype.kind == "f":
                compared += bool(np.isfinite(other).any())
                rtol = 1e-3 if "error" in name or "residual" in name else 1e-7  # small differences of large numbers
                np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-11, err_msg=f"{group} {name}")
            else:
                assert np.array_equal(one, other)
    assert compared > least


def reason(found: dict[str, Any], name: str) -> str:
    """Why a group has no value."""
    return " ".join(str(variable.attrs) for variable in found["data"][f"/{name}"].variables.values())


def test_hessian_of_step(two: Job) -> None:
    found = two.left("live")
    same(found, alone(together.CURVED))
    assert found["same"]
    assert found["data"]["/sharpness"].attrs["data"] == "the batches of all processes"


def test_frozen_layer(two: Job) -> None:
    same(two.left("frozen"), alone(together.CURVED, "frozen"))


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_probe_shared_out(two: Job, kind: str) -> None:
    wanted = alone(probe=together.probe((12, 8, 4)), loss=F.cross_entropy)
    for rank in range(2):  # they agree, also where nobody reads it
        found = two.left(kind, rank)
        same(found, wanted)
        assert found["same"]


def test_four_processes(four: Job) -> None:
    batches = {"probe": together.probe((12, 8, 4)), "loss": F.cross_entropy}  # fewer than processes, so they are cut
    same(four.left("live"), alone(together.CURVED[:3]), least=5)
    wanted = alone(together.FEW, **batches)
    for kind in ("fsdp", "hsdp"):  # also where shards are in two copies
        same(four.left(kind), wanted)
    assert all(four.left(kind)["same"] for kind in ("live", "fsdp", "hsdp"))


def test_tied_weight_counts_once(two: Job) -> None:
    found = two.left("tied")
    same(found, alone(together.FEW, "tied", probe=together.probe((12, 8, 4)), loss=F.cross_entropy))
    assert found["same"]


def test_record_says_that_hidden_units_are_of_one_part(two: Job) -> None:
    first, second = two.left("own part", 0), two.left("own part", 1)
    assert [note for note in first["notes"] if "hidden units" in note] == [PART]
    assert not [note for note in second["notes"] if "hidden units" in note]  # there all is its own part
    assert first["data"]["/effective_rank"].attrs["data"] == "this process's part of the batch"
    ranks = [one["data"]["/effective_rank"]["effective_rank"].values for one in (first, second)]
    known = np.isfinite(ranks[0])
    assert known.any()
    assert not np.isclose(*ranks)[known].any()


def test_what_is_set_otherwise_is_measured_by_nobody(two: Job) -> None:
    for rank in range(2):
        found = two.left("unlike", rank)
        left = ["sharpness", "hessian_trace"][: 2 - rank]
        for name in left:
            group = found["data"][f"/{name}"]
            assert group["step"].values.tolist() == [0]
            assert np.isnan(group[next(iter(group.data_vars))]).all()
            assert "sharpness (rank 0: seed=0; rank 1: seed=1)" in reason(found, name)
            assert "hessian_trace (rank 0: yes; rank 1: not at all)" in reason(found, name)
        assert {*found["data"]} == {"/", "/loss", "/preconditioned_sharpness", *(f"/{name}" for name in left)}
        assert len(found["data"]["/preconditioned_sharpness"]["step"]) == together.STEPS
        values = found["data"]["/preconditioned_sharpness"]["preconditioned_sharpness"]
        assert np.isfinite(values).all()


def test_batch_cut_into_examples(two: Job) -> None:
    same(two.left("cut"), alone(probe=together.probe(), loss=F.cross_entropy))


def test_parts_of_one_probe(two: Job) -> None:
    whole = [pair for rank in range(2) for pair in together.parts(rank, 2)]
    wanted, found = alone(together.CURVED, probe=whole, loss=F.cross_entropy), two.left("parts")
    found["data"] = {key: value for key, value in found["data"].items() if key in wanted["data"]} | {
        "/perturbed_loss_gap": found["data"]["/perturbed_loss_gap"]
    }
    gap = found["data"].pop("/perturbed_loss_gap")
    same(found, wanted)
    assert found["data"]["/sharpness"].attrs["data"] == "the probes of all processes, as parts of one"
    assert gap.attrs["data"] == "this process's probe, which is not that of the others"
    own = alone([together.shelf.perturbed_loss_gap.using(every=2)], probe=together.parts(0, 2), loss=F.cross_entropy)
    np.testing.assert_allclose(gap["rise"], own["data"]["/perturbed_loss_gap"]["rise"], rtol=1e-8)


def test_probe_that_is_a_function(two: Job) -> None:
    same(two.left("function"), alone(together.CURVED, probe=together.of_model))


def test_sharded_graph_has_no_second_derivative(two: Job) -> None:
    found = two.left("no probe")
    assert np.isnan(found["data"]["/sharpness"]["sharpness"]).all()
    assert "sharded parameters has no second derivative; give a probe" in reason(found, "sharpness")


@pytest.mark.parametrize("kind", ["unused", "static"])
def test_data_parallel_wrappers(two: Job, kind: str) -> None:
    found, wanted = two.left(kind), alone([together.shelf.sharpness.using(every=1)], "plain")
    assert found["same"]
    np.testing.assert_allclose(
        found["data"]["/sharpness"]["sharpness"], wanted["data"]["/sharpness"]["sharpness"], rtol=1e-8
    )


def test_budget_stretches_alike(two: Job) -> None:
    steps = [two.left("budget", rank)["data"]["/slow"]["step"].values.tolist() for rank in range(2)]
    assert steps[0] == steps[1]
    assert 2 < len(steps[0]) < 40  # of 60 without a budget


def test_one_that_fails(two: Job) -> None:
    first, second = two.left("failing", 0), two.left("failing", 1)
    assert "rank 1 could not measure: ValueError: this one has had enough" in reason(first, "uneven")
    assert "ValueError: this one has had enough" in reason(second, "uneven")
    for found in (first, second):
        assert "the processes went different ways" in reason(found, "apart")
        assert np.isnan(found["data"]["/apart"]["first_product"]).all()
        assert np.isfinite(found["data"]["/sharpness"]["sharpness"]).all()


def test_between_steps(two: Job) -> None:
    found = two.left("between")
    values = found["data"]["/sharpness"]["sharpness"].values
    assert len(values) == 2
    assert values[0] == values[1]
    training = Training(CASES["plain"], "one")
    training.train(1)
    run = together.nbtoolkit.watch(training.model, training.optimizer, instruments=[together.shelf.loss])
    wanted = run.measure("sharpness", loss=F.cross_entropy, probe=together.probe()[0])
    run.detach()
    np.testing.assert_allclose(values[0], wanted["sharpness"].values[-1], rtol=1e-8)
    assert "many is trained by 2 processes together" in found["fork"]


def test_one_that_does_not_come(two: Job) -> None:
    found = two.left("missing")
    assert np.isnan(found["data"]["/sharpness"]["sharpness"]).all()
    assert len(found["data"]["/sharpness"]["step"]) == 6
    assert "rank 1 did not come within 0.4 s" in reason(found, "sharpness")
    assert "nothing is measured by all processes together any more" in reason(found, "sharpness")
    assert np.isfinite(found["data"]["/loss"]["loss"]).all()
    assert found["took"] < 6 * 0.4 + 3
