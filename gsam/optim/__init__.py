"""Sharpness-aware optimizers: one two-pass core, and each variant one small piece plugged into it.

Beside them the Riemannian optimizers they descend with.
"""

from gsam.optim.ae_sam import AESAM
from gsam.optim.chart_adam import ChartAdam
from gsam.optim.clipping import clip_grad_norm_
from gsam.optim.esam import ESAM
from gsam.optim.fgsam import FGSAM
from gsam.optim.fgsam_plus import FGSAMPlus
from gsam.optim.fisher_sam import Fisher, FisherSAM
from gsam.optim.geometry import Adaptive, Euclidean, Geometry
from gsam.optim.looksam import LookSAM
from gsam.optim.lorentz_sam import LorentzGeometry, LorentzSAM
from gsam.optim.msam import MSAM
from gsam.optim.riemannian import Riemannian
from gsam.optim.riemannian_adam import RiemannianAdam
from gsam.optim.riemannian_sam import RiemannianSAM
from gsam.optim.riemannian_sgd import RiemannianSGD
from gsam.optim.sam import ASAM, SAM
from gsam.optim.sharpness_aware import SharpnessAware
from gsam.optim.sites import Site
from gsam.optim.statistics import held_statistics
from gsam.optim.step_guard import StepGuard, TooManySkippedError

__all__ = [
    "AESAM",
    "ASAM",
    "ESAM",
    "FGSAM",
    "MSAM",
    "SAM",
    "Adaptive",
    "ChartAdam",
    "Euclidean",
    "FGSAMPlus",
    "Fisher",
    "FisherSAM",
    "Geometry",
    "LookSAM",
    "LorentzGeometry",
    "LorentzSAM",
    "Riemannian",
    "RiemannianAdam",
    "RiemannianSAM",
    "RiemannianSGD",
    "SharpnessAware",
    "Site",
    "StepGuard",
    "TooManySkippedError",
    "clip_grad_norm_",
    "held_statistics",
]
