"""Small, tested changes to a training loop."""

from nbtoolkit.interventions.sam import sam as sam
