"""The shelf of instruments. An import line here puts one on it."""

import sys

from nbtoolkit.instruments._accuracy_matrix import accuracy_matrix as accuracy_matrix
from nbtoolkit.instruments._averaged_weights_gap import averaged_weights_gap as averaged_weights_gap
from nbtoolkit.instruments._barrier_matrix import barrier_matrix as barrier_matrix
from nbtoolkit.instruments._base import NEEDS as NEEDS
from nbtoolkit.instruments._base import Instrument as Instrument
from nbtoolkit.instruments._base import Unknown as Unknown
from nbtoolkit.instruments._base import Var as Var
from nbtoolkit.instruments._base import instrument as instrument
from nbtoolkit.instruments._base import on_host as on_host
from nbtoolkit.instruments._batch_hessian_extremes import batch_hessian_extremes as batch_hessian_extremes
from nbtoolkit.instruments._effective_rank import effective_rank as effective_rank
from nbtoolkit.instruments._feature_similarity import feature_similarity as feature_similarity
from nbtoolkit.instruments._fisher_diag import fisher_diag as fisher_diag
from nbtoolkit.instruments._grad_norm import grad_norm as grad_norm
from nbtoolkit.instruments._gradient_conflict import gradient_conflict as gradient_conflict
from nbtoolkit.instruments._gradient_conflict import term_conflict as term_conflict
from nbtoolkit.instruments._gradient_noise_scale import gradient_noise_scale as gradient_noise_scale
from nbtoolkit.instruments._hessian_density import hessian_density as hessian_density
from nbtoolkit.instruments._hessian_trace import hessian_trace as hessian_trace
from nbtoolkit.instruments._landscape_slice import landscape_slice as landscape_slice
from nbtoolkit.instruments._layer_sharpness import layer_sharpness as layer_sharpness
from nbtoolkit.instruments._layer_spectrum import layer_spectrum as layer_spectrum
from nbtoolkit.instruments._linear_barrier import linear_barrier as linear_barrier
from nbtoolkit.instruments._linear_probe import linear_probe as linear_probe
from nbtoolkit.instruments._logit_stats import logit_stats as logit_stats
from nbtoolkit.instruments._loss import loss as loss
from nbtoolkit.instruments._lr import lr as lr
from nbtoolkit.instruments._permutation_alignment import permutation_alignment as permutation_alignment
from nbtoolkit.instruments._perturbed_loss_gap import perturbed_loss_gap as perturbed_loss_gap
from nbtoolkit.instruments._preconditioned_sharpness import preconditioned_sharpness as preconditioned_sharpness
from nbtoolkit.instruments._sharpness import sharpness as sharpness
from nbtoolkit.instruments._stability_gap import stability_gap as stability_gap
from nbtoolkit.instruments._step_alignment import step_alignment as step_alignment
from nbtoolkit.instruments._step_time import step_time as step_time
from nbtoolkit.instruments._top_eigenvalues import top_eigenvalues as top_eigenvalues
from nbtoolkit.instruments._top_subspace_motion import top_subspace_motion as top_subspace_motion
from nbtoolkit.instruments._trainability_probe import trainability_probe as trainability_probe
from nbtoolkit.instruments._trajectory_pca import trajectory_pca as trajectory_pca
from nbtoolkit.instruments._twin_divergence import twin_divergence as twin_divergence
from nbtoolkit.instruments._unit_activity import unit_activity as unit_activity
from nbtoolkit.instruments._update_ratio import update_ratio as update_ratio
from nbtoolkit.instruments._weight_norm import weight_norm as weight_norm
from nbtoolkit.instruments._weight_stats import weight_stats as weight_stats
from nbtoolkit.numerics.loss_at import LossAt as LossAt
from nbtoolkit.numerics.tasks import Tasks as Tasks
from nbtoolkit.numerics.tasks_at import TasksAt as TasksAt
from nbtoolkit.numerics.trajectory import Trajectory as Trajectory


def known() -> dict[str, Instrument]:
    """Every instrument on the shelf, by name."""
    return {name: thing for name, thing in vars(sys.modules[__name__]).items() if isinstance(thing, Instrument)}


def default() -> tuple[Instrument, ...]:
    """The instruments of a run for which none are named: the cheap ones."""
    return (loss, lr, grad_norm, update_ratio, weight_norm, step_time)


def of_tasks() -> tuple[Instrument, ...]:
    """What is measured beside the default ones where tasks are given."""
    return (accuracy_matrix, stability_gap)
