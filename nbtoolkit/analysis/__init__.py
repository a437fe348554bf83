"""Dataset in, Dataset out: what can be computed from a finished or running record."""

from nbtoolkit.analysis.curves import minmax, smooth
from nbtoolkit.analysis.intrinsic_dimension import objective_intrinsic_dim
from nbtoolkit.analysis.spectra import axis_scale, density, outliers
from nbtoolkit.analysis.stability import stability_lines

__all__ = ["axis_scale", "density", "minmax", "objective_intrinsic_dim", "outliers", "smooth", "stability_lines"]
