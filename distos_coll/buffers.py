"""Arrays of any library as the core takes them: an address, a count, a type.

numpy arrays (with ml_dtypes' types too), CPU torch tensors, and whatever else exports DLPack. Of
those libraries only numpy is imported here.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from distos_coll import _native
from distos_coll._vocabulary import DType
from distos_coll.errors import InvalidArgument, Unsupported

_DTYPES: Mapping[str, DType] = MappingProxyType(
    {
        "int8": DType.INT8,
        "uint8": DType.UINT8,
        "int16": DType.INT16,
        "int32": DType.INT32,
        "int64": DType.INT64,
        "float16": DType.FLOAT16,
        "bfloat16": DType.BFLOAT16,
        "float32": DType.FLOAT32,
        "float64": DType.FLOAT64,
        "float8_e4m3fn": DType.FLOAT8_E4M3,
        "float8_e5m2": DType.FLOAT8_E5M2,
        "complex64": DType.COMPLEX64,
        "complex128": DType.COMPLEX128,
        "bool": DType.BOOL,
    }
)
# Two's complement: these sum, multiply and combine bits as the signed type of their width does.
_AS_SIGNED: Mapping[str, DType] = MappingProxyType(
    {"uint16": DType.INT16, "uint32": DType.INT32, "uint64": DType.INT64}
)


@dataclass(frozen=True)
class Buffer:
    """Contiguous memory of somebody's array, alive as long as this is."""

    array: Any
    """What the caller passed."""
    address: int
    count: int
    item_bytes: int
    type_name: str
    shape: tuple[int, ...]
    owner: Any
    """What keeps the memory: the array, or a contiguous copy of it."""
    finish: Callable[[], None] | None = None
    """Copies a contiguous stand-in back into the caller's array; for outputs."""

    @property
    def nbytes(self) -> int:
        return self.count * self.item_bytes


def readable(x: Any, what: str) -> Buffer:
    """Return the memory to read `x` from: its own, or a copy's if it is not contiguous."""
    if _is_torch(x):
        _check_torch(x, what)
        return _of_torch(x, _dense(x))
    plain = _numpy(x, what)
    return _of_numpy(x, np.ascontiguousarray(plain).reshape(plain.shape))


def writable(x: Any, what: str) -> Buffer:
    """Return the memory to write into for `x`; `finish` must run afterwards if it is not None."""
    if _is_torch(x):
        _check_torch(x, what)
        _check_torch_writable(x, what)
        dense, own = _dense(x), x.detach()
        if dense.data_ptr() == own.data_ptr():
            return _of_torch(x, dense)
        return _of_torch(x, dense, lambda: own.copy_(dense))
    plain = _numpy(x, what)
    if not plain.flags.writeable:
        raise InvalidArgument(f"{what}: the array is read-only; pass a copy, or another `out`")
    if plain.flags.c_contiguous:
        return _of_numpy(x, plain)
    copy = np.ascontiguousarray(plain)
    return _of_numpy(x, copy, lambda: np.copyto(plain, copy))


def apart(source: Buffer, target: Buffer) -> Buffer:
    """Return `source`, or a copy of it if `target` overlaps it: others may still read it then."""
    source_end, target_end = source.address + source.nbytes, target.address + target.nbytes
    if source_end <= target.address or target_end <= source.address:
        return source
    if _is_torch(source.owner):
        return _of_torch(source.array, source.owner.clone())
    return _of_numpy(source.array, source.owner.copy())


def like(x: Any, shape: tuple[int, ...]) -> Any:
    """Return a new array of the same library and type, uninitialised."""
    if _is_torch(x):
        return x.detach().new_empty(shape)
    return np.empty(shape, dtype=_numpy(x, "array").dtype)


def reduction_type(buffer: Buffer, op: str) -> DType:
    """Return the type whose kernels reduce the buffer. Unsupported says what to use instead."""
    known = _DTYPES.get(buffer.type_name)
    if known is not None:
        return known
    signed = _AS_SIGNED.get(buffer.type_name)
    if signed is None:
        names = ", ".join((*_DTYPES, *_AS_SIGNED))
        raise Unsupported(f"{buffer.type_name} cannot be reduced; convert it to one of {names}")
    if op in {"min", "max", "average"}:
        raise Unsupported(
            f"{op} of {buffer.type_name} is not offered: its kernels are those of the signed type; "
            "convert to a wider signed type"
        )
    return signed


def _is_torch(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def _check_torch(x: Any, what: str) -> None:
    if x.device.type != "cpu":
        raise Unsupported(
            f"{what}: the tensor is on {x.device}; only CPU tensors are moved as yet, pass x.cpu()"
        )
    if str(x.layout) != "torch.strided" or x.is_nested:
        kind = "a nested tensor" if x.is_nested else f"a tensor of layout {x.layout}"
        raise Unsupported(f"{what}: {kind} is not one piece of memory; pass a dense one")


def _check_torch_writable(x: Any, what: str) -> None:
    if x.requires_grad and x.is_leaf:
        raise InvalidArgument(
            f"{what}: a leaf tensor that requires grad cannot be written; pass x.detach()"
        )
    if any(step == 0 and n > 1 for step, n in zip(x.stride(), x.shape, strict=True)):
        raise InvalidArgument(
            f"{what}: elements of the tensor share memory; pass x.contiguous(), or another `out`"
        )


def _dense(x: Any) -> Any:
    """Return the tensor itself if its memory holds its values in order, else a copy that does."""
    return x.detach().resolve_conj().resolve_neg().contiguous()


def _of_torch(x: Any, dense: Any, finish: Callable[[], None] | None = None) -> Buffer:
    return Buffer(
        x,
        dense.data_ptr(),
        dense.numel(),
        dense.element_size(),
        str(dense.dtype).removeprefix("torch."),
        tuple(dense.shape),
        dense,
        finish,
    )


def _of_numpy(x: Any, plain: "np.ndarray[Any, Any]", finish: Any = None) -> Buffer:
    name = plain.dtype.name
    if name in _DTYPES or name in _AS_SIGNED:
        # The next call on such an array may be a quick one (cpp/bind/quick.h).
        _native.learn_type(plain.dtype, plain.itemsize, _DTYPES.get(name, -1))
    return Buffer(
        x,
        int(plain.ctypes.data),
        plain.size,
        plain.itemsize,
        name,
        plain.shape,
        plain,
        finish,
    )


def _numpy(x: Any, what: str) -> "np.ndarray[Any, Any]":
    if isinstance(x, np.ma.MaskedArray):
        raise Unsupported(f"{what}: masks are not moved; pass x.filled(value), or x.data")
    if isinstance(x, np.ndarray):
        plain = x
    elif hasattr(x, "__dlpack__"):
        try:
            plain = np.from_dlpack(x)
        except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
            raise Unsupported(
                f"{what}: numpy cannot read this {type(x).__name__} through DLPack ({error}); "
                "pass a CPU array of a type that numpy has"
            ) from None
    else:
        raise InvalidArgument(
            f"{what} takes numpy arrays, torch tensors and arrays with __dlpack__, "
            f"not {type(x).__name__}"
        )
    if plain.dtype.hasobject or plain.dtype.names:
        raise Unsupported(f"{what}: arrays of {plain.dtype} are not moved; use a plain number type")
    if not plain.dtype.isnative:
        raise Unsupported(
            f"{what}: the array's bytes are swapped; pass x.astype(x.dtype.newbyteorder('='))"
        )
    return plain
