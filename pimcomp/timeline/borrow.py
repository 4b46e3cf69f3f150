"""Arrays without reference counts for the inside of kernels."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba.core import cgutils
from numba.extending import intrinsic

_builders: Any = cgutils  # carries no types


@intrinsic
def _borrow(typing_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo = _builders.get_null_value(view.meminfo.type)
        view.parent = _builders.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), generate


Array = TypeVar("Array", bound=npt.NDArray[np.generic])
borrow = cast("Callable[[Array], Array]", _borrow)
"""Inside a kernel: the same memory as an array that counts no references; inlined kernels would count at every call and
loop, which took three quarters of the replay's time. The original has to outlive it."""
