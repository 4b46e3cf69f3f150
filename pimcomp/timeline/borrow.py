"""Arrays without reference counts for the inside of kernels."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba.core import cgutils
from numba.core import types as numba_types
from numba.extending import intrinsic

_builders: Any = cgutils  # carries no types
types: Any = numba_types


@intrinsic
def _borrow(typing_context: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def lent(kind: Any, value: Any) -> Any:
            if isinstance(kind, types.BaseTuple):
                parts = [lent(part, builder.extract_value(value, i)) for i, part in enumerate(kind.types)]
                return context.make_tuple(builder, kind, parts)
            if not isinstance(kind, types.Array):
                return value
            view = context.make_array(kind)(context, builder, value)
            view.meminfo = _builders.get_null_value(view.meminfo.type)
            view.parent = _builders.get_null_value(view.parent.type)
            return view._getvalue()

        return lent(signature.args[0], arguments[0])

    return value(value), generate


Lent = TypeVar("Lent", bound=npt.NDArray[np.generic] | tuple[Any, ...])
borrow = cast("Callable[[Lent], Lent]", _borrow)
"""Inside a kernel: the same memory as an array, or as the arrays of a tuple, that count no references; inlined kernels
would count at every call and loop, which took three quarters of the replay's time. The original has to outlive it."""
