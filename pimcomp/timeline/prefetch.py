"""Rows on their way to the cache before a kernel needs them."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_builders: Any = cgutils  # carries no types
_READ, _KEEP, _DATA = 0, 3, 1  # arguments of LLVM's llvm.prefetch


@intrinsic
def _prefetch(typing_context: Any, array: Any, row: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        offset = builder.mul(arguments[1], _builders.unpack_tuple(builder, view.strides)[0])
        address = builder.gep(builder.bitcast(view.data, ir.IntType(8).as_pointer()), [offset])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = _builders.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [address, number(_READ), number(_KEEP), number(_DATA)])
        return context.get_dummy_value()

    return types.none(array, row), generate


prefetch = cast("Callable[[npt.NDArray[np.generic], int], None]", _prefetch)
"""Inside a kernel: begin to bring a row of an array into the cache. Any row number will do: it is no access."""
