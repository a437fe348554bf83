"""What the rules say of a loss: divergence, spikes, plateaus, NaN. Each has planted cases on both sides."""

import numpy as np
import pytest

from tests.analysis.records import PARAMS, falling, noisy, of_loss, record, said

ONE = np.ones(500)


def test_a_loss_that_grows_diverges():
    loss = np.concatenate([falling(50)[:30], 0.5 * 1.2 ** np.arange(40)])
    (found,) = said(of_loss(loss), "divergence")
    assert found.severity == "alarm"
    assert found.group == "loss"
    start = np.median(loss[:5])
    assert loss[found.step] > 2 * start >= loss[found.step - 1]
    assert f"{loss[-1]:.3g} at step 69" in found.evidence


@pytest.mark.parametrize("first", [-3.0, 0.0])
def test_a_loss_that_is_not_positive_diverges_too(first):
    (found,) = said(of_loss(first + 1.3 ** np.arange(40)), "divergence")
    assert found.severity == "alarm"


def test_a_loss_that_doubles_slowly_diverges():
    (found,) = said(of_loss(1.01 ** np.arange(600)), "divergence")
    assert found.severity == "alarm"


@pytest.mark.parametrize(
    ("rise", "gradient", "weight", "severity"),
    [
        (np.linspace(1, 4, 400), None, None, "note"),  # slow, and by a few times
        (np.linspace(1, 30, 400), 1, 1, "note"),  # far, but not faster and faster
        (np.linspace(1, 4, 400), 1, 1, "note"),
        (np.linspace(1, 4, 400), 20, 1, "alarm"),
        (np.linspace(1, 4, 400), 1, 20, "alarm"),
        (np.r_[np.ones(100), np.full(300, 4.0)], None, None, "alarm"),  # suddenly
        (np.r_[np.ones(100), np.full(300, 4.0)], 1, 1, "note"),  # as where the data change
        (np.r_[np.ones(100), np.full(300, 12.0)], 1, 1, "alarm"),  # by an order
        (np.r_[np.ones(20), np.linspace(1, 5000, 380)], 1, 1, "alarm"),  # out of sight
    ],
)  # fmt: skip
def test_a_rise_is_an_alarm_if_it_is_fast_or_norms_grow_with_it(rise, gradient, weight, severity):
    groups = {"loss": {"loss": rise}}
    for name, factor in (("grad_norm", gradient), ("weight_norm", weight)):
        if factor is not None:
            groups[name] = {name: np.geomspace(1, factor**2, 400)[:, None] * np.ones((1, len(PARAMS)))}
    (found,) = said(record(groups), "divergence")
    assert found.severity == severity
    assert ("meant to fall" in found.text) == (severity == "note")
    assert ("times as large as before" in found.evidence) == (20 in (gradient, weight))


@pytest.mark.parametrize(("factor", "severity"), [(1, "note"), (400, "warn")])
def test_gain_that_is_lost_is_a_warning_if_norms_grow(factor, severity):
    loss = falling(400)
    loss[200:] += np.linspace(0, 1.9, 200)
    assert said(of_loss(loss), "divergence")[0].severity == "note"
    weights = np.geomspace(1, factor, 400)[:, None] * np.ones((1, len(PARAMS)))
    (found,) = said(record({"loss": {"loss": loss}, "weight_norm": {"weight_norm": weights}}), "divergence")
    assert found.severity == severity


@pytest.mark.parametrize("loss", [falling(400), noisy(400), noisy(400, 0.01, 0.02), -falling(400)[::-1]])
def test_falling_and_flat_losses_do_not_diverge(loss):
    assert not said(of_loss(loss), "divergence")


def test_a_moment_above_the_line_is_no_divergence():
    loss = falling(400)
    loss[-5:] = 20
    assert not said(of_loss(loss), "divergence")


def test_much_of_the_gain_is_lost():
    loss = falling(400)
    loss[300:] += 1.5
    (found,) = said(of_loss(loss), "divergence")
    assert (found.severity, found.step) == ("warn", 300)


def test_a_rise_within_the_noise_is_no_divergence():
    assert not said(of_loss(np.r_[noisy(200, 0.0, 0.5), noisy(200, 1.0, 0.1)]), "divergence")
    assert not said(of_loss(np.r_[noisy(200), noisy(100, 0.97), noisy(200, 1.0, 1e-3)]), "divergence")


def test_another_task_begins_anew():
    loss = np.concatenate([falling(200, first=0.5), falling(200, first=6)[:60]])
    assert said(of_loss(loss), "divergence")
    boundaries = record({"loss": {"loss": loss}})
    boundaries.group("task", {}).append([0, 200], {})
    assert not said(boundaries, "divergence")


def spiked(count=600, at=400, height=3.0, back_after=3):
    loss = falling(count)
    loss[at : at + back_after] += height
    return loss


def test_a_spike_that_recovers_is_a_note():
    (found,) = said(of_loss(spiked()), "loss spike")
    assert (found.severity, found.step) == ("note", 400)
    assert "back after 3 steps" in found.evidence


def test_a_spike_that_stays_is_a_warning():
    (found,) = said(of_loss(spiked(back_after=200)), "loss spike")
    assert found.severity == "warn"
    assert 400 <= found.step < 450
    assert "not back" in found.evidence


def test_a_spike_just_now_may_still_come_back():
    (found,) = said(of_loss(spiked(count=405, back_after=5)), "loss spike")
    assert found.severity == "note"
    assert "not known yet" in found.evidence


def test_the_highest_of_several_spikes_is_told():
    loss = spiked(800)
    loss[600] += 8
    (found,) = said(of_loss(loss), "loss spike")
    assert found.step == 600
    assert "1 more" in found.evidence


def test_of_many_spikes_the_last_five_hundred_are_looked_at():
    loss = noisy(130_000, 1.0, 0.05)
    loss[100::200] += np.random.default_rng(0).uniform(2, 5, 650)
    loss[[10_100, 90_100]] = 40, 20  # the first of these is too long ago
    (found,) = said(of_loss(loss), "loss spike")
    assert found.step == 90_100
    assert "499 more" in found.evidence


def test_heavy_tails_are_no_spikes():
    """Losses of single examples: exponential about a level that falls."""
    hits = sum(
        bool(said(of_loss(falling(2000, noise=0) * np.random.default_rng(seed).exponential(size=2000)), "loss spike"))
        for seed in range(30)
    )
    assert hits <= 2


def test_a_new_task_is_no_spike():
    loss = np.concatenate([falling(300), falling(300)])
    assert said(of_loss(loss), "loss spike")
    with_boundaries = of_loss(loss)
    with_boundaries.group("task", {}).append([0, 300], {})
    assert not said(with_boundaries, "loss spike")


def test_a_loss_that_does_not_fall_is_on_a_plateau():
    (found,) = said(of_loss(noisy(600, 2.3, 0.05)), "plateau")
    assert found.severity == "note"
    assert found.step == 360
    assert "2.3" in found.evidence
    assert found.text == "the loss does not fall: look at it if this loss is meant to fall"


@pytest.mark.parametrize(
    "loss", [falling(600), np.linspace(2.3, 1.9, 600), np.r_[falling(300), noisy(300, 0.1, 0.01)], noisy(250, 2.3)]
)
def test_no_plateau_where_it_falls_or_has_fallen_or_is_short(loss):
    assert not said(of_loss(loss), "plateau")


def test_noise_that_could_hide_a_fall_is_no_plateau():
    assert not said(of_loss(noisy(320, 2.3, 2.0)), "plateau")


def rates(values):
    return {"lr": np.asarray(values)[:, None], "momentum": np.zeros((len(values), 1))}


def test_warm_up_is_told_from_a_plateau():
    flat = noisy(600, 2.3, 0.05)
    rising = record({"loss": {"loss": flat}, "lr": rates(np.linspace(1e-4, 0.1, 600))}, labels={"group": [0]})
    (found,) = said(rising, "plateau")
    assert found.severity == "note"
    assert "warms up" in found.text
    assert "0.0001 at first, 0.1 now" in found.evidence
    constant = record({"loss": {"loss": flat}, "lr": rates(np.full(600, 0.1))}, labels={"group": [0]})
    assert "does not fall" in said(constant, "plateau")[0].text
    decayed = record({"loss": {"loss": flat}, "lr": rates(np.geomspace(0.1, 1e-6, 600))}, labels={"group": [0]})
    assert not said(decayed, "plateau")


def test_nan_in_the_loss_is_found_with_its_step():
    loss = np.r_[falling(50), np.nan, np.nan]
    (found,) = said(of_loss(loss), "not finite")
    assert (found.severity, found.step, found.group) == ("alarm", 50, "loss")
    assert "first at step 50: nan" in found.evidence


def test_infinity_that_passes_is_a_warning():
    (found,) = said(of_loss(np.r_[falling(50), np.inf, falling(50)]), "not finite")
    assert (found.severity, found.step) == ("warn", 50)
    assert "diverges" not in found.text


def test_what_grew_by_orders_before_is_divergence():
    (found,) = said(of_loss(np.r_[4.0 ** np.arange(12), np.nan, np.nan]), "not finite")
    assert (found.severity, found.step) == ("alarm", 12)
    assert found.text == "the loss is not finite: the loss diverges"
    assert "the loss had grown from 1 to 4.19e+06 before" in found.evidence
    assert found.advice.startswith("Lower the learning rate")
    (other,) = said(of_loss(np.r_[1 + np.arange(12), np.nan, np.nan]), "not finite")
    assert "diverges" not in other.text
    assert other.advice.startswith("Go back")


def test_a_norm_that_overflows_is_not_said_of_the_gradient():
    norms = np.ones((30, len(PARAMS)))
    norms[20:, :2] = np.inf
    (found,) = said(record({"grad_norm": {"grad_norm": norms}}), "not finite")
    assert (found.severity, found.step) == ("alarm", 20)
    assert found.text == (
        "the norm of gradients overflows in 0.weight, 0.bias: entries are infinite, or too large for its 32 bits"
    )


@pytest.mark.parametrize(
    ("every", "told"), [(10, "first seen at step 80 (measured every 10): "), (1, "first at step 8")]
)
def test_what_is_not_measured_in_each_step_was_first_seen(every, told):
    norms = np.ones((15, len(PARAMS)))
    norms[8:] = np.inf
    (found,) = said(record({"weight_norm": {"weight_norm": norms}}, every=every), "not finite")
    assert told in found.evidence


def test_a_loss_that_was_not_measured_is_no_nan():
    made = of_loss(np.r_[falling(50), np.nan])
    made.groups["loss"].missing("loss", 50, "no backward was seen")
    assert not said(made, "not finite")
    assert not said(of_loss(falling(50)), "not finite")


def test_nan_that_begins_in_a_gradient_names_the_layers():
    norms = np.ones((30, len(PARAMS)))
    norms[20:, :4] = np.nan
    loss = np.r_[np.ones(21), np.full(9, np.nan)]
    made = record({"loss": {"loss": loss}, "grad_norm": {"grad_norm": norms}})
    made.groups["loss"].attrs["first_non_finite_step"] = 21
    made.groups["grad_norm"].attrs["first_non_finite_step"] = 20
    (found,) = said(made, "not finite")
    assert (found.step, found.group, found.severity) == (20, "grad_norm", "alarm")
    assert "in 0.weight, 0.bias, 2.weight, 2.bias, but finite in 4.weight" in found.text
    assert "4 of 6 parameter tensors" in found.evidence
    assert "loss" in found.evidence.split("; ", 1)[1]


def test_parameters_without_gradients_are_no_nan():
    norms = np.ones((30, len(PARAMS)))
    norms[:, 1] = np.nan
    assert not said(record({"grad_norm": {"grad_norm": norms}}), "not finite")
