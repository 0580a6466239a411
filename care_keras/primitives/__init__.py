"""The operations a deploy form is made of: each a layer, each one operation of TFLite."""

from care_keras.primitives.activation import Elu, Gelu, Rsqrt, Softmax
from care_keras.primitives.arithmetic import (
    Add,
    AddEpsilon,
    AddOne,
    ChannelAffine,
    ChannelScale,
    Divide,
    HeadMask,
    MatMul,
    Mean,
    Multiply,
    RepeatHeads,
    Subtract,
    SumOverPixels,
)
from care_keras.primitives.base import Primitive
from care_keras.primitives.convolution import Conv2D, DepthwiseConv2D
from care_keras.primitives.movement import (
    ChannelSlice,
    Concatenate,
    FlattenPixels,
    SqueezePixels,
    Transpose,
    UnflattenPixels,
)

__all__ = [
    "Add",
    "AddEpsilon",
    "AddOne",
    "ChannelAffine",
    "ChannelScale",
    "ChannelSlice",
    "Concatenate",
    "Conv2D",
    "DepthwiseConv2D",
    "Divide",
    "Elu",
    "FlattenPixels",
    "Gelu",
    "HeadMask",
    "MatMul",
    "Mean",
    "Multiply",
    "Primitive",
    "RepeatHeads",
    "Rsqrt",
    "Softmax",
    "SqueezePixels",
    "Subtract",
    "SumOverPixels",
    "Transpose",
    "UnflattenPixels",
]
