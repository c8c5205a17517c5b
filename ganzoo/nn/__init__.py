"""Layers that nets of many families share, and initialisations by name."""

from .attention import SelfAttention
from .conditional import ConditionalBatchNorm
from .heads import ConcatHead, LinearHead, ProjectionHead, class_head
from .init import INITIALISATIONS, initialise, normal
from .native import use_native_layers
from .norms import MomentNorm, norm
from .precision import full
from .resampling import downsample, upsample
from .residual import ResidualDown, ResidualUp
from .stages import Stages, attention_stage, stages_of

__all__ = [
    "INITIALISATIONS",
    "ConcatHead",
    "ConditionalBatchNorm",
    "LinearHead",
    "MomentNorm",
    "ProjectionHead",
    "ResidualDown",
    "ResidualUp",
    "SelfAttention",
    "Stages",
    "attention_stage",
    "class_head",
    "downsample",
    "full",
    "initialise",
    "norm",
    "normal",
    "stages_of",
    "upsample",
    "use_native_layers",
]
