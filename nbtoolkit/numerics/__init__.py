"""Numerics on torch tensors: no state, no xarray, no pictures."""
