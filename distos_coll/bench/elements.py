"""The element types that can be measured, by nccl-tests' names, and how their values become bits.

Everything is numpy, also for types that numpy lacks: those are kept as unsigned integers of their
width.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Kind(Enum):
    INTEGER = auto()
    BOOL = auto()
    FLOAT = auto()
    COMPLEX = auto()


@dataclass(frozen=True)
class Element:
    name: str
    """nccl-tests' name where it has one."""
    array_name: str
    """The name that numpy, ml_dtypes and torch use."""
    kind: Kind
    storage: "np.dtype[Any]"
    precision: int = 0
    """Floats: integers up to 2**precision are exact."""
    powers: int = 0
    """Floats: 2**-powers to 2**powers are normal numbers."""
    small: tuple[int, int] | None = None
    """Bits of exponent and of fraction, for floats that numpy lacks."""

    @property
    def nbytes(self) -> int:
        return self.storage.itemsize

    @property
    def word(self) -> "np.dtype[Any]":
        """The unsigned integer as wide as an element, or as half of a complex one."""
        halves = 2 if self.kind is Kind.COMPLEX else 1
        return np.dtype(f"u{self.nbytes // halves}")

    def encode(self, values: Array) -> Array:
        """Return the bits of values that this type holds exactly; they are not rounded."""
        if self.small is None:
            return values.astype(self.storage)
        return _encode_small(values, *self.small).astype(self.storage)


def _encode_small(values: Array, exponent_bits: int, fraction_bits: int) -> Array:
    fraction, exponent = np.frexp(np.abs(values))  # |values| = fraction * 2**exponent
    biased = exponent.astype(np.int64) - 1 + (1 << (exponent_bits - 1)) - 1
    bits = biased << fraction_bits
    bits |= ((fraction * 2 - 1) * (1 << fraction_bits)).astype(np.int64)
    bits[values == 0] = 0
    bits |= np.signbit(values).astype(np.int64) << (exponent_bits + fraction_bits)
    return bits


def _integer(name: str) -> Element:
    return Element(name, name, Kind.INTEGER, np.dtype(name))


def _float(
    name: str,
    array_name: str,
    precision: int,
    powers: int,
    small: tuple[int, int] | None = None,
) -> Element:
    if small is None:
        return Element(name, array_name, Kind.FLOAT, np.dtype(array_name), precision, powers)
    width = np.dtype(f"u{(1 + sum(small)) // 8}")
    return Element(name, array_name, Kind.FLOAT, width, precision, powers, small)


# nccl-tests' twelve in its order, then those that NCCL lacks.
ELEMENTS: tuple[Element, ...] = (
    *map(_integer, ("int8", "uint8", "int32", "uint32", "int64", "uint64")),
    _float("half", "float16", 11, 14),
    _float("float", "float32", 24, 126),
    _float("double", "float64", 53, 1022),
    _float("bfloat16", "bfloat16", 8, 126, (8, 7)),
    _float("f8e4m3", "float8_e4m3fn", 4, 6, (4, 3)),
    _float("f8e5m2", "float8_e5m2", 3, 14, (5, 2)),
    *map(_integer, ("int16", "uint16")),
    Element("bool", "bool", Kind.BOOL, np.dtype("u1")),
    Element("complex64", "complex64", Kind.COMPLEX, np.dtype("c8"), 24, 126),
    Element("complex128", "complex128", Kind.COMPLEX, np.dtype("c16"), 53, 1022),
)


def element_named(text: str) -> Element:
    """Find a type by either of its names; ValueError lists them."""
    for element in ELEMENTS:
        if text in {element.name, element.array_name}:
            return element
    names = ", ".join(element.name for element in ELEMENTS)
    raise ValueError(f"there is no data type {text!r}; use one of {names}, or all")
