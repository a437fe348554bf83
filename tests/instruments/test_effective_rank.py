"""Ranks of hidden units by layer."""

import numpy as np
import pytest
import torch

from nbtoolkit.instruments import Unknown, effective_rank


def test_ranks_of_planted_units() -> None:
    orthonormal = torch.linalg.qr(torch.randn(50, 6, dtype=torch.float64)).Q
    line = torch.randn(50, 1) * torch.randn(1, 7)
    found = effective_rank({"none": None, "all": orthonormal, "one": line.double()})
    assert np.isnan(found["effective_rank"][0])
    np.testing.assert_allclose(found["effective_rank"][1:], [6, 1], rtol=1e-5)
    np.testing.assert_array_equal(found["srank"], [np.nan, 6, 1])
    fewer = effective_rank({"all": orthonormal}, delta=0.5)
    assert float(fewer["srank"][0]) == 3


def test_a_planted_geometric_spectrum() -> None:
    sides = [torch.linalg.qr(torch.randn(size, 30, dtype=torch.float64)).Q for size in (200, 40)]
    sigma = 0.5 ** torch.arange(30, dtype=torch.float64)
    p = (sigma / sigma.sum()).numpy()
    found = effective_rank({"a": (sides[0] * sigma) @ sides[1].T})
    # The rounding of ten more singular values of 1e-17 adds 1e-14.
    np.testing.assert_allclose(found["effective_rank"], np.exp(-(p * np.log(p)).sum()), rtol=1e-12)
    assert float(found["srank"][0]) == 7  # 1 - 2^-7 > 0.99


def test_positions_are_examples_of_their_channel() -> None:
    maps = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    rows = torch.cat([maps[:, :, i, j] for i in range(5) for j in range(5)])
    one, other = effective_rank({"a": maps}), effective_rank({"a": rows})
    np.testing.assert_allclose(one["effective_rank"], other["effective_rank"], rtol=1e-12)


def test_centred_takes_the_mean_off() -> None:
    h = torch.randn(60, 5, dtype=torch.float64) * 0.01 + 3
    assert float(effective_rank({"a": h})["effective_rank"][0]) < 1.1
    assert float(effective_rank({"a": h}, centred=True)["effective_rank"][0]) > 4.8
    same = effective_rank({"a": h - h.mean(0)})["effective_rank"]
    np.testing.assert_allclose(effective_rank({"a": h}, centred=True)["effective_rank"], same, rtol=1e-10)


def test_silent_constant_and_broken_layers() -> None:
    broken = torch.rand(5, 3)
    broken[0, 0] = torch.nan
    layers = {"live": torch.rand(5, 3), "silent": torch.zeros(5, 3), "broken": broken}
    found = effective_rank.measure(layers)
    assert found["effective_rank"][1] is None  # unknown, and not a number that went wrong
    assert np.isnan(found["effective_rank"][2])
    assert np.isnan(found["srank"][2])
    nothing = effective_rank.measure({"a": torch.zeros(5, 3)})["srank"]
    assert isinstance(nothing, Unknown)
    assert "all hidden units are 0" in nothing.reason
    constant = torch.rand(1, 30, dtype=torch.float64).expand(11, 30)  # whose mean is off by rounding
    assert isinstance(effective_rank.measure({"a": constant}, centred=True)["srank"], Unknown)
    assert "no layer" in effective_rank.measure({"a": None})["srank"].reason
    with pytest.raises(ValueError, match="delta=1: expected a number from 0 to below 1"):
        effective_rank({"a": None}, delta=1)
