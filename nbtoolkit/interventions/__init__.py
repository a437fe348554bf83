"""Small, tested changes to a training loop."""

from nbtoolkit.interventions.align_units import align_units as align_units
from nbtoolkit.interventions.random_subspace import RandomSubspace as RandomSubspace
from nbtoolkit.interventions.sam import sam as sam
