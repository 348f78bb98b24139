"""Arrays of several libraries as addresses, counts and types; nothing is communicated here."""

import ctypes
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from error_page import raises

from distos_coll._vocabulary import DType
from distos_coll.buffers import Buffer, apart, like, readable, reduction_type, writable

PLAIN = [
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64", "longdouble", "complex64", "complex128"),
    *("datetime64[s]", "timedelta64[ns]", "S3", "U2", "V5"),
]


class Exporter:
    """An array of a library that nobody here knows."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def content(buffer: Buffer) -> bytes:
    return ctypes.string_at(buffer.address, buffer.nbytes) if buffer.nbytes else b""


def fill(buffer: Buffer, data: bytes) -> None:
    """Write as the core does, and then what Work.wait() does."""
    assert len(data) == buffer.nbytes
    ctypes.memmove(buffer.address, data, len(data))
    if buffer.finish is not None:
        buffer.finish()


# ---- numpy


@pytest.mark.parametrize("dtype", PLAIN)
def test_numpy_arrays_of_every_plain_type(dtype: str) -> None:
    x = np.zeros(6, dtype).reshape(2, 3)
    source, target = readable(x, "op"), writable(x, "op")
    for buffer in (source, target):
        assert buffer.address == x.ctypes.data
        assert (buffer.count, buffer.nbytes, buffer.shape) == (6, x.nbytes, (2, 3))
        assert buffer.type_name == x.dtype.name
    assert target.finish is None


STRIDED: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "every second": lambda x: x[::2],
    "reversed": lambda x: x[::-1],
    "transposed": lambda x: x.T,
    "Fortran order": np.asfortranarray,
    "a column": lambda x: x[:, 1],
}


@pytest.mark.parametrize("view", STRIDED.values(), ids=STRIDED)
def test_numpy_arrays_that_are_not_contiguous(
    view: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]],
) -> None:
    whole = np.arange(20, dtype=np.int32).reshape(4, 5)
    x = view(whole)
    assert content(readable(x, "op")) == x.tobytes()
    target = writable(x, "op")
    assert content(target) == x.tobytes()
    new = np.arange(100, 100 + x.size, dtype=np.int32)
    fill(target, new.tobytes())
    np.testing.assert_array_equal(x, new.reshape(x.shape))


def test_numpy_arrays_without_dimensions() -> None:
    x = np.array(3.5)
    assert readable(x, "op").shape == ()
    fill(writable(x, "op"), np.array(4.5).tobytes())
    assert x == 4.5
    every_second = np.arange(4.0)[::2]
    assert readable(every_second[1:].reshape(()), "op").shape == ()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_numpy_arrays_without_elements(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape)
    assert readable(x, "op").nbytes == writable(x, "op").nbytes == 0
    assert readable(x, "op").shape == shape


def test_read_only_arrays_are_read_but_not_written() -> None:
    x = np.arange(3)
    x.flags.writeable = False
    assert content(readable(x, "op")) == x.tobytes()
    for array in (x, np.broadcast_to(np.arange(2), (3, 2))):
        with raises("read-only", "scatter: the array is read-only; pass a copy"):
            writable(array, "scatter")


@pytest.mark.parametrize("take", [readable, writable])
@pytest.mark.parametrize(
    ("x", "row"),
    [
        (np.arange(3, dtype=">i4"), "bytes-swapped"),
        (np.zeros(2, [("a", "i4"), ("b", "f8")]), "not-a-number"),
        (np.array([object()]), "not-a-number"),
        (np.ma.masked_array([1, 2], [True, False]), "masked-array"),
    ],
    ids=["swapped", "structured", "objects", "masked"],
)
def test_numpy_arrays_that_are_refused(take: Any, x: Any, row: str) -> None:
    with raises(row):
        take(x, "op")


@pytest.mark.parametrize("x", [3, 2.5, [1, 2], "text", None, np.float32(1)])
def test_what_is_no_array(x: Any) -> None:
    message = f"op takes numpy arrays, torch tensors and arrays .* not {type(x).__name__}"
    with raises("not-an-array", message):
        readable(x, "op")


def test_a_new_array_is_of_the_same_library_and_type() -> None:
    made = like(np.zeros(3, np.int16), (2, 5))
    assert (made.shape, made.dtype) == ((2, 5), np.int16)


def test_a_source_that_its_target_overlaps_is_copied() -> None:
    x = np.arange(10)
    assert apart(readable(x[:5], "op"), writable(x[5:], "op")).address == x.ctypes.data
    source = apart(readable(x[:5], "op"), writable(x[4:], "op"))
    fill(writable(x, "op"), np.zeros_like(x).tobytes())
    assert content(source) == np.arange(5).tobytes()


def test_types_that_reduce() -> None:
    def kind(dtype: str, op: str = "sum") -> DType:
        return reduction_type(readable(np.zeros(1, dtype), "op"), op)

    assert kind("float16", "average") is DType.FLOAT16
    assert kind("bool", "max") is DType.BOOL
    # Two's complement: sums, products and bits do not depend on the sign.
    unsigned = {"uint16": DType.INT16, "uint32": DType.INT32, "uint64": DType.INT64}
    for dtype, signed in unsigned.items():
        for op in ("sum", "product", "band", "bor", "bxor"):
            assert kind(dtype, op) is signed
        for op in ("min", "max", "average"):
            with raises("unsigned-order", f"{op} of {dtype} is not offered: its kernels"):
                kind(dtype, op)
    for dtype in ("timedelta64[s]", "datetime64[s]", "U2"):
        name = re.escape(np.dtype(dtype).name)
        with raises("not-reducible", f"{name} cannot be reduced; convert it to one of"):
            kind(dtype)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_types_of_ml_dtypes(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.arange(6).astype(getattr(ml_dtypes, name))[::2]
    source = readable(x, "op")
    assert (source.type_name, source.count) == (name, 3)
    assert content(source) == x.tobytes()
    fill(writable(x, "op"), np.zeros_like(x).tobytes())
    assert not x.any()
    assert like(x, (2,)).dtype == x.dtype
    if name == "bfloat16":
        assert reduction_type(source, "sum") is DType.BFLOAT16


# ---- torch


def test_torch_tensors_of_every_plain_type() -> None:
    torch = pytest.importorskip("torch")
    names = ("bool", "uint8", "int64", "float16", "bfloat16", "float32", "complex64", "uint16")
    for name in (*names, "float8_e4m3fn", "float8_e5m2"):
        x = torch.zeros(6, dtype=getattr(torch, name)).reshape(2, 3)
        source, target = readable(x, "op"), writable(x, "op")
        assert source.address == target.address == x.data_ptr()
        assert (source.type_name, source.shape, source.count) == (name, (2, 3), 6)
        assert source.nbytes == 6 * x.element_size()
        assert target.finish is None
    bfloat16 = readable(torch.zeros(1, dtype=torch.bfloat16), "op")
    assert reduction_type(bfloat16, "average") is DType.BFLOAT16
    with raises("not-reducible", "float8_e8m0fnu cannot be reduced"):
        reduction_type(readable(torch.zeros(1, dtype=torch.float8_e8m0fnu), "op"), "sum")
    made = like(torch.zeros(3, dtype=torch.bfloat16), (2, 5))
    assert (tuple(made.shape), made.dtype) == ((2, 5), torch.bfloat16)


def test_torch_tensors_that_are_not_contiguous() -> None:
    torch = pytest.importorskip("torch")
    whole = torch.arange(20, dtype=torch.int32).reshape(4, 5)
    for x in (whole.T, whole[:, 1], whole[::2]):
        assert content(readable(x, "op")) == x.numpy().tobytes()
        new = np.arange(100, 100 + x.numel(), dtype=np.int32)
        fill(writable(x, "op"), new.tobytes())
        np.testing.assert_array_equal(x.numpy(), new.reshape(tuple(x.shape)))
    assert readable(torch.tensor(3), "op").shape == ()
    assert writable(torch.zeros(0, 3), "op").nbytes == 0


def test_torch_tensors_whose_memory_is_not_their_value() -> None:
    torch = pytest.importorskip("torch")
    plain = torch.tensor([1 + 2j, 3 - 4j])
    x = plain.conj()
    assert content(readable(x, "op")) == np.array([1 - 2j, 3 + 4j], np.complex64).tobytes()
    fill(writable(x, "op"), np.array([5 + 6j, 0], np.complex64).tobytes())
    assert plain.tolist() == [5 - 6j, 0]
    negative = x.imag
    assert content(readable(negative, "op")) == np.array([6, 0], np.float32).tobytes()


def test_torch_tensors_that_require_grad() -> None:
    torch = pytest.importorskip("torch")
    leaf = torch.nn.Parameter(torch.ones(2))
    assert readable(leaf, "op").count == 2
    with raises("leaf-tensor", r"op: a leaf tensor that requires grad .*detach"):
        writable(leaf, "op")
    later = leaf * 2
    fill(writable(later, "op"), np.array([7, 8], np.float32).tobytes())
    assert later.tolist() == [7, 8]
    assert not like(leaf, (3,)).requires_grad


def test_torch_tensors_that_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with raises("tensor-device", "op: the tensor is on meta; only CPU tensors are moved"):
        readable(torch.zeros(2, device="meta"), "op")
    with raises("tensor-layout", r"op: a tensor of layout torch\.sparse_coo is not one"):
        writable(torch.eye(2).to_sparse(), "op")
    nested = torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)
    with raises("tensor-layout", "op: a nested tensor is not one piece of memory"):
        readable(nested, "op")
    assert content(readable(torch.ones(1).expand(3), "op")) == np.ones(3, np.float32).tobytes()
    with raises("shared-elements", "op: elements of the tensor share memory"):
        writable(torch.ones(1).expand(3), "op")


def test_a_torch_source_that_its_target_overlaps_is_copied() -> None:
    torch = pytest.importorskip("torch")
    x = torch.arange(10)
    source = apart(readable(x[:5], "op"), writable(x[4:], "op"))
    x.zero_()
    assert content(source) == np.arange(5).tobytes()


def test_a_class_made_from_a_tensor_is_a_tensor() -> None:
    torch = pytest.importorskip("torch")

    class Own(torch.Tensor):  # type: ignore[misc,name-defined]
        pass

    x = torch.ones(3, dtype=torch.bfloat16).as_subclass(Own)
    assert readable(x, "op").type_name == "bfloat16"


# ---- DLPack


def test_arrays_with_dlpack() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = Exporter(array)
    assert readable(x, "op").address == array.ctypes.data
    assert readable(Exporter(array.T), "op").shape == (3, 2)
    made = like(x, (4,))
    assert isinstance(made, np.ndarray)
    assert made.dtype == np.float32


def test_arrays_with_dlpack_are_written() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    probe = np.from_dlpack(Exporter(array))
    if not probe.flags.writeable:
        pytest.skip("numpy before 2.1 imports every array as read-only")
    fill(writable(Exporter(array.T), "op"), np.zeros(6, np.float32).tobytes())
    assert not array.any()


def test_arrays_with_dlpack_that_numpy_cannot_read() -> None:
    class Elsewhere(Exporter):
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)  # CUDA

        def __dlpack__(self, **options: Any) -> Any:
            raise BufferError("it is on a GPU")

    class Half:
        def __dlpack__(self, **options: Any) -> Any:
            raise RuntimeError("it has not been computed yet")

    message = r"op: numpy cannot read this {} through DLPack \(.*\); pass a CPU array"
    for x in (Elsewhere(np.zeros(3)), Half()):
        with raises("dlpack-unreadable", message.format(type(x).__name__)):
            readable(x, "op")


# ---- what is imported


def loaded_by(script: str) -> set[str]:
    """The modules that a fresh interpreter has after the script."""
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\nimport sys\nprint(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_no_array_library_and_not_the_core() -> None:
    assert not loaded_by("import distos_coll") & {"torch", "numpy", "distos_coll._native"}


def test_collectives_on_numpy_arrays_do_not_load_torch() -> None:
    loaded = loaded_by(
        "import distos_coll, numpy\n"
        "with distos_coll.init() as c:\n"
        "    assert c.all_reduce(numpy.ones(3)).sum() == 3\n"
        "    assert c.explain('all_reduce', 8)\n"
    )
    assert "distos_coll._native" in loaded
    assert "torch" not in loaded
    assert "mpi4py" not in loaded
