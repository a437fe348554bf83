"""What the rules say of the sharpness beside its line, and of the noise of the gradient beside the batch size."""

import numpy as np
import pytest

from nbtoolkit.analysis import checked
from tests.analysis.records import falling, record, said

LINE = 40.0


def sharpness(ratio, *, error=0.0, loss=None, line=LINE):
    """Readings every 20 steps; losses every step."""
    ratio = np.asarray(ratio, float)
    values = {
        "sharpness": ratio * line,
        "sharpness_error": np.full(len(ratio), error * line),
        "edge": np.full(len(ratio), line),
        "instability_ratio": ratio,
    }
    made = record({"sharpness": values}, every=20)
    if loss is not None:
        made.groups |= record({"loss": {"loss": loss}}).groups
    return made


SETTLED = [0.2, 0.4, 0.6, 0.8, 1.0, 1.05, 0.97, 1.1, 1.02]


def test_at_the_edge_is_a_note():
    (found,) = said(sharpness(SETTLED), "edge of stability")
    assert (found.severity, found.step, found.group) == ("note", 80, "sharpness")
    assert found.evidence == "sharpness 40.8 at step 160, 1.02 of its line, in 5 readings in a row"
    assert found.line.startswith("line 40: 2/lr")
    assert not said(sharpness(SETTLED), "past the edge of stability")


def test_one_reading_that_stands_out_changes_nothing():
    (found,) = said(sharpness([*SETTLED, 0.3, 1.0, 1.01]), "edge of stability")
    assert found.step == 80


@pytest.mark.parametrize("ratio", [[0.2, 0.4, 0.5, 0.6], [0.2, 0.5, 1.0], [np.nan] * 9, [1.0, 1.0]])
def test_below_the_edge_or_too_few_readings(ratio):
    assert not said(sharpness(ratio), "edge of stability")


def test_the_error_bar_counts():
    near = [0.2, 0.4, 0.78, 0.78, 0.78, 0.78]
    assert not said(sharpness(near), "edge of stability")
    (found,) = said(sharpness(near, error=0.1), "edge of stability")
    assert "(+- 4)" in found.evidence
    past = [0.5, 1.0, 1.4, 1.4, 1.4, 1.4]
    assert said(sharpness(past), "past the edge of stability")
    assert not said(sharpness(past, error=0.2), "past the edge of stability")


def test_past_the_edge_is_a_warning_and_with_a_rising_loss_an_alarm():
    ratio = [0.5, 0.9, 1.0, 1.5, 1.6, 1.7, 1.8]
    (found,) = said(sharpness(ratio, loss=falling(130)), "past the edge of stability")
    assert (found.severity, found.step) == ("warn", 60)
    rising = np.r_[falling(70), falling(70)[-1] * 1.1 ** np.arange(60)]
    (found,) = said(sharpness(ratio, loss=rising), "past the edge of stability")
    assert found.severity == "alarm"
    assert "the loss rises" in found.text
    assert "times what it was" in found.evidence


def test_an_adaptive_optimizer_has_its_own_line():
    ratio = np.array(SETTLED)
    line = np.full(9, 38 / 0.003)
    values = {"preconditioned_sharpness": ratio * line, "error": 0 * line, "edge": line, "instability_ratio": ratio}
    (found,) = said(record({"preconditioned_sharpness": values}, every=20), "edge of stability")
    assert found.group == "preconditioned_sharpness"
    assert "preconditioned sharpness 1.29e+04" in found.evidence
    assert "of Adam" in found.line


def noise(scale, error, *, size: float | None = 64.0):
    scale = np.asarray(scale, float)
    values = {"noise_scale": scale, "noise_scale_error": np.full(len(scale), error)}
    logged = {} if size is None else {"batch": {"batch": np.full(len(scale), size)}}
    return record({"gradient_noise_scale": values, **logged}, every=50)


def test_noise_far_above_the_batch():
    (found,) = said(noise([100, 600, 900, 1000, 1200], 50), "gradient noise scale")
    assert (found.severity, found.step) == ("note", 100)
    assert "far above" in found.text
    assert found.evidence == "noise scale 1.2e+03 +- 50 examples at step 200, batches of 64"
    assert "Larger batches" in found.advice


def test_noise_far_below_the_batch():
    (found,) = said(noise([5, 4, 3, 2], 0.5), "gradient noise scale")
    assert "far below" in found.text
    assert found.line == "line 6.4"
    assert "Smaller batches" in found.advice


@pytest.mark.parametrize(("scale", "error"), [([64] * 5, 1), ([700] * 5, 100), ([100, 900, 900], 1), ([np.nan] * 5, 1)])
def test_noise_that_is_near_or_uncertain(scale, error):
    assert not said(noise(scale, error), "gradient noise scale")


def test_without_the_batch_size_it_says_how_to_tell_it():
    made = noise([900] * 4, 5, size=None)
    assert not said(made, "gradient noise scale")
    assert checked(made)["gradient noise scale"] == "needs the batch size, run.log(batch=64)"
