"""Small, tested changes to a training loop."""

from nbtoolkit.interventions.agem import agem as agem
from nbtoolkit.interventions.align_units import align_units as align_units
from nbtoolkit.interventions.continual_backprop import ContinualBackprop as ContinualBackprop
from nbtoolkit.interventions.coordinate_check import coordinate_check as coordinate_check
from nbtoolkit.interventions.ewc import EWC as EWC
from nbtoolkit.interventions.l2_init import L2Init as L2Init
from nbtoolkit.interventions.lwf import LwF as LwF
from nbtoolkit.interventions.mup import mup as mup
from nbtoolkit.interventions.nap import NaP as NaP
from nbtoolkit.interventions.random_subspace import RandomSubspace as RandomSubspace
from nbtoolkit.interventions.replay import Reservoir as Reservoir
from nbtoolkit.interventions.sam import sam as sam
from nbtoolkit.interventions.shrink_perturb import shrink_perturb as shrink_perturb
from nbtoolkit.interventions.spectral_reg import SpectralReg as SpectralReg
