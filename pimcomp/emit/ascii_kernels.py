"""Compiled building blocks that write text into a byte buffer."""

from pimcomp.foundation.kernels import kernel
from pimcomp.ir.program import ByteArray


@kernel
def put(buffer: ByteArray, at: int, text: ByteArray | bytes) -> int:
    """Copies text to buffer[at:]; returns the position behind it."""
    for k in range(len(text)):
        buffer[at + k] = text[k]
    return at + len(text)


@kernel
def put_integer(buffer: ByteArray, at: int, value: int) -> int:
    """Writes a decimal integer; returns the position behind it."""
    if value < 0:
        buffer[at] = 45  # minus
        at += 1
        value = -value
    digits = 1
    bound = 10
    while value >= bound:
        digits += 1
        bound *= 10
    for k in range(digits - 1, -1, -1):
        buffer[at + k] = 48 + value % 10
        value //= 10
    return at + digits
