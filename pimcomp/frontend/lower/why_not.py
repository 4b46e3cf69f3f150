"""Why operators that no pass lowers cannot be lowered, for the message that lists them."""

from collections.abc import Mapping
from types import MappingProxyType

_REASONS = {
    "the vector unit has no exponential, logarithm, root or division": (
        "Exp Log Erf Gelu Elu Selu Celu Softplus Mish Sqrt Reciprocal LogSoftmax"
    ),
    "normalising by the data's own statistics needs roots and division": (
        "LayerNormalization InstanceNormalization GroupNormalization RMSNormalization LpNormalization "
        "MeanVarianceNormalization"
    ),
    "streams have no loops over time steps": "LSTM GRU RNN",
    "export the quantized network with QuantizeLinear and DequantizeLinear pairs (QDQ), or in float32": (
        "QLinearConv QLinearMatMul ConvInteger MatMulInteger DynamicQuantizeLinear QuantizeLinear DequantizeLinear"
    ),
    "attention multiplies feature maps with each other, and crossbars hold constant weights": "Attention",
    "what comes out depends on the data": "NonZero TopK NonMaxSuppression ArgMax ArgMin Unique Compress",
}

WHY_NOT: Mapping[str, str] = MappingProxyType(
    {operator: f": {reason}" for reason, operators in _REASONS.items() for operator in operators.split()}
)
