"""What the rules say of layers: their gradients, updates and units."""

import numpy as np
import pytest

from tests.analysis.records import PARAMS, falling, record, said

GENTLE = np.array([1.0, 0.1, 0.5, 0.05, 2.0, 0.2])


def norms(rows=200, scale=GENTLE, seed=0):
    return scale * np.exp(0.3 * np.random.default_rng(seed).normal(size=(rows, len(PARAMS))))


def gradients(values):
    return record({"grad_norm": {"grad_norm": values}})


def test_a_layer_without_gradient_is_found_where_it_began():
    values = norms()
    values[100:, 2:4] *= 1e-8
    (found,) = said(gradients(values), "vanishing gradient")
    assert (found.severity, found.step, found.group) == ("warn", 100, "grad_norm")
    assert "of layer 2 is tiny" in found.text


def test_a_share_a_thousand_times_smaller_than_at_first():
    values = norms(400)
    values[200:, 0:2] *= 2e-4
    (found,) = said(gradients(values), "vanishing gradient")
    assert found.step == 200
    assert "of layer 0 is tiny" in found.text


@pytest.mark.parametrize("rule", ["vanishing gradient", "update ratio"])
def test_parameters_of_the_model_itself_are_one_layer(rule):
    """A bare nn.Linear: its bias is no layer of its own, and neither is a small parameter beside parts."""
    params = ("weight", "bias", "2.weight", "2.bias", "4.weight", "4.bias")
    scale = np.array([1.0, 1e-9, 1.0, 1.0, 1.0, 1.0])
    values = norms(scale=scale) * (1 if rule == "vanishing gradient" else 1e-3)
    groups = {"grad_norm": {"grad_norm": values}, "update_ratio": {"ratio": values, "update_norm": 5 * values}}
    assert not said(record({**groups, "loss": {"loss": np.full(200, 2.3)}}, labels={"param": params}), rule)


def test_the_model_itself_is_told_as_such():
    values = norms()
    values[:, :2] *= 1e-8
    made = record({"grad_norm": {"grad_norm": values}}, labels={"param": ("weight", "bias", *PARAMS[2:])})
    (found,) = said(made, "vanishing gradient")
    assert found.text == "the gradient of the model itself is tiny beside that of the others"


def test_a_bias_alone_counts_nothing():
    values = norms()
    values[:, 1] = 1e-12
    assert not said(gradients(values), "vanishing gradient")


def test_layers_of_unequal_size_and_gradients_that_shrink_together_are_healthy():
    shrinking = norms() * np.geomspace(1, 1e-9, 200)[:, None]
    assert not said(gradients(shrinking), "vanishing gradient")
    assert not said(gradients(norms(scale=np.array([1, 1, 1e-3, 1e-3, 1e-4, 1e-4]))), "vanishing gradient")


def test_a_moment_without_gradient_is_not_enough():
    values = norms()
    values[-10:, 2:4] = 0
    assert not said(gradients(values), "vanishing gradient")


def test_no_gradient_anywhere():
    values = norms()
    values[120:] = 0
    (found,) = said(gradients(values), "vanishing gradient")
    assert (found.step, found.text) == (120, "no layer has a gradient")


def test_a_layer_that_is_frozen_is_left_out():
    values = norms()
    values[100:, :2] = np.nan
    assert not said(gradients(values), "vanishing gradient")


def test_an_exploding_layer_is_found_where_it_began():
    values = norms()
    values[150:, 4:] *= 1000
    (found,) = said(gradients(values), "exploding gradient")
    assert (found.severity, found.step) == ("alarm", 150)
    assert "of layer 4 has grown" in found.text


@pytest.mark.parametrize("factor", [1.0, 20.0])
def test_gradients_that_grow_a_little_do_not_explode(factor):
    values = norms()
    values[150:] *= factor
    assert not said(gradients(values), "exploding gradient")


def test_a_peak_is_no_explosion():
    values = norms()
    values[-10:] *= 1e4
    assert not said(gradients(values), "exploding gradient")


def test_gradients_at_a_new_task_do_not_explode():
    values = norms() * np.r_[np.full(120, 1e-4), np.ones(80)][:, None]
    assert said(gradients(values), "exploding gradient")
    made = gradients(values)
    made.group("task", {}).append([0, 120], {})
    assert not said(made, "exploding gradient")


def test_gradients_as_large_as_at_first_do_not_explode():
    values = norms() * np.r_[np.ones(30), np.full(140, 1e-4), np.ones(30)][:, None]
    assert not said(gradients(values), "exploding gradient")


def updated(ratio, loss, lr=None):
    weight = np.array([5.0, 0.5, 5.0, 0.5, 5.0, 0.5])
    groups = {
        "update_ratio": {"ratio": ratio, "update_norm": ratio * weight},
        "loss": {"loss": loss},
        **({} if lr is None else {"lr": {"lr": np.asarray(lr)[:, None]}}),
    }
    return record(groups, labels={"group": [0], "param": PARAMS})


def test_large_updates_are_told_with_their_layer():
    ratio = norms(scale=np.full(6, 1e-3))
    ratio[100:, :2] *= 1000
    (found,) = said(updated(ratio, falling(200)), "update ratio")
    assert (found.severity, found.step, found.group) == ("warn", 100, "update_ratio")
    assert found.evidence.startswith("median update over weights of layer 0: ")


def test_updates_of_the_usual_size_are_healthy():
    assert not said(updated(norms(scale=np.full(6, 1e-3)), falling(200)), "update ratio")
    assert not said(updated(norms(scale=np.full(6, 3e-2)), falling(200)), "update ratio")


def test_a_bias_that_begins_at_zero_is_healthy():
    ratio = norms(scale=np.array([1e-3, 0.5] * 3))
    assert not said(updated(ratio, falling(200)), "update ratio")


def test_tiny_updates_are_told_where_little_was_learned():
    ratio = norms(scale=np.full(6, 1e-8))
    (found,) = said(updated(ratio, np.full(200, 2.3)), "update ratio")
    assert found.severity == "note"
    assert "small" in found.text
    assert not said(updated(ratio, falling(200)), "update ratio")
    assert not said(updated(ratio, np.full(200, 2.3), np.linspace(1e-9, 1e-4, 200)), "update ratio")


def activity(dead, dormant=None):
    dead = np.asarray(dead, float)
    dormant = dead if dormant is None else np.asarray(dormant, float)
    return record({"unit_activity": {"dead": dead, "dormant": dormant}}, every=50, labels={"layer": ["2", "4"]})


def test_half_a_layer_that_is_dead():
    (found,) = said(activity([[0, 0], [0.6, 0.1], [0.6, 0.1]]), "dead or dormant units")
    assert (found.severity, found.step, found.group) == ("warn", 50, "unit_activity")
    assert "at least half of the units that enter layer 2" in found.text


def test_a_layer_that_is_dead_as_a_whole_is_an_alarm():
    (found,) = said(activity([[0, 0], [0, 1], [0, 1]]), "dead or dormant units")
    assert (found.severity, found.step) == ("alarm", 50)
    assert "all units that enter layer 4" in found.text


def test_dormant_units_that_grow():
    dormant = np.c_[np.linspace(0, 0.45, 10), np.full(10, 0.1)]
    (found,) = said(activity(0 * dormant, dormant), "dead or dormant units")
    assert found.severity == "warn"
    assert found.step == 200
    assert "enter layer 2 are dormant" in found.text


def test_a_share_that_stays_or_is_small_is_healthy():
    assert not said(activity(np.full((10, 2), 0.4)), "dead or dormant units")
    assert not said(activity(np.c_[np.linspace(0, 0.27, 10), np.zeros(10)]), "dead or dormant units")
    assert not said(activity([[0, 0], [0, 0], [0.7, 0]]), "dead or dormant units")
    assert not said(activity(np.full((10, 2), np.nan)), "dead or dormant units")
