"""Layers that nets of many families share, and initialisations by name."""

from .attention import SelfAttention
from .conditional import ConditionalBatchNorm
from .equalised import EqualConv2d, EqualLinear, scaled_leaky_relu
from .filters import filtered, filtered_downsample, filtered_upsample
from .heads import (
    ConcatHead,
    Head,
    LinearHead,
    ProjectionHead,
    add_label_head,
    class_head,
    label_head,
)
from .init import INITIALISATIONS, initialise, normal
from .latents import truncated_normal
from .minibatch import MinibatchDeviation, MinibatchDiscrimination
from .modulated import ModulatedConv2d
from .native import use_native_layers
from .norms import MomentNorm, norm, pixel_norm
from .outputs import (
    finished,
    gumbel_noise,
    relaxed,
    straight_through,
    table_rows,
    within_range,
)
from .precision import full
from .resampling import downsample, upsample
from .residual import BottleneckDown, BottleneckUp, ResidualDown, ResidualUp
from .shares import own, ranks, whole, whole_mean
from .stages import Stages, attention_stage, stages_of
from .tokens import FeedForward, MultiHeadAttention, heads_of, rms_norm
from .vectors import add_vector, beside, joined

__all__ = [
    "INITIALISATIONS",
    "BottleneckDown",
    "BottleneckUp",
    "ConcatHead",
    "ConditionalBatchNorm",
    "EqualConv2d",
    "EqualLinear",
    "FeedForward",
    "Head",
    "LinearHead",
    "MinibatchDeviation",
    "MinibatchDiscrimination",
    "ModulatedConv2d",
    "MomentNorm",
    "MultiHeadAttention",
    "ProjectionHead",
    "ResidualDown",
    "ResidualUp",
    "SelfAttention",
    "Stages",
    "add_label_head",
    "add_vector",
    "attention_stage",
    "beside",
    "class_head",
    "downsample",
    "filtered",
    "filtered_downsample",
    "filtered_upsample",
    "finished",
    "full",
    "gumbel_noise",
    "heads_of",
    "initialise",
    "joined",
    "label_head",
    "norm",
    "normal",
    "own",
    "pixel_norm",
    "ranks",
    "relaxed",
    "rms_norm",
    "scaled_leaky_relu",
    "stages_of",
    "straight_through",
    "table_rows",
    "truncated_normal",
    "upsample",
    "use_native_layers",
    "whole",
    "whole_mean",
    "within_range",
]
