"""Dataset in, Dataset out: what can be computed from a finished or running record."""

from nbtoolkit.analysis.curves import minmax, smooth
from nbtoolkit.analysis.findings import Finding, checked, diagnose
from nbtoolkit.analysis.growth import log_growth
from nbtoolkit.analysis.intrinsic_dimension import objective_intrinsic_dim
from nbtoolkit.analysis.rankings import rank_agreement
from nbtoolkit.analysis.spectra import axis_scale, density, outliers
from nbtoolkit.analysis.stability import stability_lines
from nbtoolkit.analysis.summary import summary
from nbtoolkit.analysis.sweeps import intervals, lr_sensitivity, lr_transfer, optimum
from nbtoolkit.analysis.transfer import stability_gaps, transfer

__all__ = [
    "Finding", "axis_scale", "checked", "density", "diagnose", "intervals", "log_growth", "lr_sensitivity",
    "lr_transfer", "minmax", "objective_intrinsic_dim", "optimum", "outliers", "rank_agreement", "smooth",
    "stability_gaps", "stability_lines", "summary", "transfer",
]  # fmt: skip
