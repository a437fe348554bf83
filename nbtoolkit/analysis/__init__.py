"""Dataset in, Dataset out: what can be computed from a finished or running record."""

from nbtoolkit.analysis.curves import minmax, smooth

__all__ = ["minmax", "smooth"]
