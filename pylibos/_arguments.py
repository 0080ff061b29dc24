# SPDX-License-Identifier: GPL-2.0-only
"""Turns Python objects into the words of a system call, and keeps their memory in place."""

from __future__ import annotations

import ctypes
import operator
from typing import Any

_MASK = 2**64 - 1
_PROBE = b"pylibos"
# Where the bytes of a bytes object lie behind its id(); ctypes.cast() tells it ten times slower.
BYTES_OFFSET = (ctypes.cast(ctypes.c_char_p(_PROBE), ctypes.c_void_p).value or 0) - id(_PROBE)
_pin = ctypes.c_char.from_buffer
_new_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
_new_bytes.restype = ctypes.py_object
_new_bytes.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t)
# Up to here it takes longer to ask for bytes without content than to clear them.
CLEARED = 4096


class Arguments:
    """Six words, and the objects whose memory they point into.

    Attributes:
        words: signed 64-bit values.
        alive: must live until the call has ended.
    """

    __slots__ = ("alive", "words")

    def __init__(self) -> None:
        self.words: list[int] = []
        self.alive: list[Any] = []


def signed(value: int) -> int:
    """Bring an int of up to 64 bits, signed or not, into the signed range."""
    if not -(2**63) <= value <= _MASK:
        raise OverflowError(f"A system call's argument has 64 bits; {value} does not fit.")
    return value - 2**64 if value >= 2**63 else value


def address_of(value: Any) -> tuple[int, Any]:
    """Return the address of an object's memory and an object that keeps it in place.

    Args:
        value: bytes, str (copied with a NUL at its end), a writable contiguous buffer, or a
            read-only memoryview (copied).

    Raises:
        TypeError: it has no memory to show.
    """
    if isinstance(value, str):
        value = value.encode() + b"\0"
    if isinstance(value, bytes):
        return id(value) + BYTES_OFFSET, value
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(
            "A system call's argument is an int, None, bytes, str, a buffer or a ctypes "
            f"object, not {type(value).__name__}."
        ) from None
    if view.readonly:
        return address_of(view.tobytes())
    if view.nbytes == 0:
        return 0, view
    first = _pin(view)
    return ctypes.addressof(first), first


def _word(value: Any, alive: list[Any]) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return signed(value)
    if isinstance(value, ctypes._SimpleCData | ctypes._Pointer) and not isinstance(
        value, ctypes.c_char
    ):
        alive.append(value)
        if isinstance(value, ctypes.c_void_p | ctypes.c_char_p | ctypes._Pointer):
            return signed(ctypes.cast(value, ctypes.c_void_p).value or 0)
        return signed(int(value.value))
    if isinstance(value, ctypes.Structure | ctypes.Union | ctypes.Array | ctypes.c_char):
        alive.append(value)
        return ctypes.addressof(value)
    if hasattr(value, "_obj"):  # ctypes.byref()
        alive.append(value)
        return ctypes.cast(value, ctypes.c_void_p).value or 0
    if hasattr(value, "__index__"):
        return signed(operator.index(value))
    if hasattr(value, "fileno") and not isinstance(value, str | bytes):
        return int(value.fileno())
    address, keep = address_of(value)
    alive.append(keep)
    return address


def convert(args: tuple[Any, ...]) -> Arguments:
    """Convert the arguments of a system call.

    Raises:
        TypeError: more than six, or one that cannot be passed.
        OverflowError: an int of more than 64 bits.
    """
    if len(args) > 6:
        raise TypeError(f"A system call takes at most 6 arguments, not {len(args)}.")
    result = Arguments()
    for value in args:
        result.words.append(_word(value, result.alive))
    result.words += [0] * (6 - len(args))
    return result


def c_int(value: Any) -> int:
    """Check that a value fits a C int, with CPython's errors.

    Raises:
        TypeError: it is no integer.
        OverflowError: it has more than 32 bits.
    """
    if type(value) is int and -0x80000000 <= value <= 0x7FFFFFFF:
        return value
    if not hasattr(value, "__index__"):
        raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as an integer")
    number = operator.index(value)
    if number > 0x7FFFFFFF:
        raise OverflowError("signed integer is greater than maximum")
    if number < -0x80000000:
        raise OverflowError("signed integer is less than minimum")
    return number


def nanoseconds(seconds: float) -> int:
    """Turn seconds into ns, to the nearest, but never a positive time into none."""
    return max(round(seconds * 1e9), 1) if seconds > 0 else 0


def bytes_address(data: bytes) -> int:
    """Address of the bytes of a bytes object, which the caller keeps alive."""
    return id(data) + BYTES_OFFSET


def new_bytes(size: int) -> bytes:
    """A bytes object that nobody else has, to be filled; its size is 1 or more."""
    if size <= CLEARED:
        return bytes(size)
    data: bytes = _new_bytes(None, size)
    return data


def pin(buffer: Any) -> tuple[int, Any]:
    """Address of a writable contiguous buffer, and what keeps it in place; 0 if it is empty."""
    view = memoryview(buffer)
    if view.nbytes == 0:
        return 0, view
    first = _pin(view)
    return ctypes.addressof(first), first
