"""Layers that nets of many families share, and initialisations by name."""

from .attention import SelfAttention
from .conditional import ConditionalBatchNorm
from .heads import ConcatHead, LinearHead, ProjectionHead, class_head, label_head
from .init import INITIALISATIONS, initialise, normal
from .latents import truncated_normal
from .native import use_native_layers
from .norms import MomentNorm, norm
from .precision import full
from .resampling import downsample, upsample
from .residual import BottleneckDown, BottleneckUp, ResidualDown, ResidualUp
from .stages import Stages, attention_stage, stages_of

__all__ = [
    "INITIALISATIONS",
    "BottleneckDown",
    "BottleneckUp",
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
    "label_head",
    "norm",
    "normal",
    "stages_of",
    "truncated_normal",
    "upsample",
    "use_native_layers",
]
