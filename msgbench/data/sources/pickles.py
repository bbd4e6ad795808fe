"""Reading the pickled batches of CIFAR-10 without running anything they contain.

A pickle is a program. The official batches need four of its functions, all to rebuild one NumPy array;
here even those are replaced by inert stand-ins that only write down what they were called with. Whatever
else a pickle asks for is refused by name before it is looked up.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, NoReturn

import numpy as np

from msgbench.errors import DatasetError

_EXPECTED = "expected a pickled batch of CIFAR-10"


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something that no batch of CIFAR-10 needs."""


class _Array:
    """What a pickle says about an array: filled in by the pickle's own BUILD instruction."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dtype:
    """What a pickle says about an element type."""

    __slots__ = ("name",)

    def __init__(self, name: Any) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name

    def __setstate__(self, state: Any) -> None:
        pass  # byte order and fields; single bytes have neither


# The stand-ins are instances without attributes, so that a pickle cannot change them either.
class _MakeArray:
    """numpy's _reconstruct(subtype, shape, typecode): an empty array, to be filled by BUILD."""

    __slots__ = ()

    def __call__(self, subtype: Any, shape: Any, typecode: Any) -> _Array:
        return _Array()


class _ArrayFromBuffer:
    """numpy's _frombuffer(buffer, dtype, shape, order), which protocol 5 writes."""

    __slots__ = ()

    def __call__(self, buffer: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        array = _Array()
        array.state = (1, shape, dtype, order != "C", buffer)
        return array


class _MakeDtype:
    """numpy.dtype(name, align, copy)."""

    __slots__ = ()

    def __call__(self, name: Any, align: Any = False, copy: Any = False) -> _Dtype:
        return _Dtype(name)


class _Encode:
    """_codecs.encode(text, "latin1"): how Python 3 writes bytes into old pickles."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise _Refused("_codecs.encode")
        return text.encode("latin-1")


class _Subtype:
    """numpy.ndarray, only ever named, never called."""

    __slots__ = ()


_ALLOWED: dict[str, object] = {
    "numpy.core.multiarray._reconstruct": _MakeArray(),
    "numpy._core.multiarray._reconstruct": _MakeArray(),
    "numpy.core.numeric._frombuffer": _ArrayFromBuffer(),
    "numpy._core.numeric._frombuffer": _ArrayFromBuffer(),
    "numpy.ndarray": _Subtype(),
    "numpy.dtype": _MakeDtype(),
    "_codecs.encode": _Encode(),
}


class _BatchUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = f"{module_name}.{global_name}"
        if name not in _ALLOWED:
            raise _Refused(name)
        return _ALLOWED[name]

    def persistent_load(self, pid: Any) -> NoReturn:
        raise _Refused("a persistent object")


def read_batch(raw: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of pixels uint8 [N, 3072] and labels int64 [N] of one pickled batch.

    Raises DatasetError, naming `where`, for whatever is not such a batch.
    """
    try:
        batch = _BatchUnpickler(io.BytesIO(raw), encoding="bytes").load()
    except _Refused as refused:
        raise DatasetError(
            f"{where}: asks for {refused}, which no batch of CIFAR-10 needs; nothing of it was run"
        ) from None
    except (
        # What a damaged pickle raises depends on the byte that was hit.
        pickle.UnpicklingError,
        EOFError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ):
        raise DatasetError(f"{where}: is not a readable pickle; {_EXPECTED}") from None
    if not isinstance(batch, dict):
        raise DatasetError(
            f"{where}: holds a {type(batch).__name__}, not a dictionary; {_EXPECTED}"
        )
    if _entry(batch, "fine_labels") is not None:
        raise DatasetError(f"{where}: is a batch of CIFAR-100 (fine_labels); expected CIFAR-10")
    rows = _pixels(_entry(batch, "data"), where)
    return rows, _labels(_entry(batch, "labels"), len(rows), where)


def _entry(batch: dict[Any, Any], key: str) -> Any:
    return batch.get(key.encode(), batch.get(key))


def _pixels(array: Any, where: str) -> np.ndarray:
    expected = "expected uint8 [N, 3072]"
    if not isinstance(array, _Array):
        raise DatasetError(f"{where}: has no array `data`; {expected}")
    match array.state:
        case (_, (int() as rows, 3072), _Dtype(name="u1" | "|u1" | "uint8"), fortran, raw) if (
            not fortran and isinstance(raw, bytes | bytearray) and len(raw) == rows * 3072
        ):
            return np.frombuffer(raw, dtype=np.uint8).reshape(rows, 3072)
        case (_, tuple() as shape, _Dtype(name=str() as name), _, _):
            sides = ", ".join(str(side) for side in shape)
            raise DatasetError(f"{where}: `data` is {name} [{sides}]; {expected}")
    raise DatasetError(f"{where}: `data` is not a complete array; {expected}")


def _labels(labels: Any, count: int, where: str) -> np.ndarray:
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DatasetError(
            f"{where}: has no list of whole numbers `labels`; expected {count} labels"
        )
    if len(labels) != count:
        raise DatasetError(f"{where}: has {len(labels)} labels for {count} images")
    for row, label in enumerate(labels):
        if not 0 <= label <= 255:  # the reader of both forms narrows this down to 0 to 9
            raise DatasetError(f"{where}: row {row} has the label {label}; expected 0 to 9")
    return np.array(labels, dtype=np.int64)
