"""torch tensors in the memory of the CPU, as numpy arrays over the same memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bodega.errors import LayoutError, NotShareable

_SAME_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
"""What dtypes that numpy does not know travel as, by bytes. Most of them torch itself pickles but cannot unpickle."""


def describe(value: object) -> dict[str, Any] | None:
    """Shape and dtype."""
    if isinstance(value, torch.Tensor):
        return {"shape": [int(size) for size in value.shape], "dtype": str(value.dtype).removeprefix("torch.")}
    return None


def restore_tensor(
    array: np.ndarray[Any, Any],
    dtype: str | None,
    requires_grad: bool,
    parameter: bool,
) -> torch.Tensor:
    """A tensor, or a parameter, over an array; `dtype` names one that numpy does not know."""
    known = None if dtype is None else getattr(torch, dtype, None)
    if not isinstance(array, np.ndarray) or (dtype is not None and not isinstance(known, torch.dtype)):
        raise LayoutError(f"A tensor of dtype {dtype!r} over a {type(array).__name__} is not known.")
    tensor = torch.from_numpy(array)
    if known is not None:
        tensor = tensor.view(known)
    return torch.nn.Parameter(tensor, requires_grad) if parameter else tensor.requires_grad_(requires_grad)


def reducer(cls: type) -> Callable[[Any], Any] | None:
    """How to pickle values of exactly this class, where torch's own way would copy."""
    return _reduce_tensor if cls in (torch.Tensor, torch.nn.Parameter) else None


def _reduce_tensor(tensor: torch.Tensor) -> Any:
    if tensor.device.type not in ("cpu", "meta"):
        message = f"The tensor lies in the memory of {tensor.device}. Store tensor.cpu() instead."
        raise NotShareable(message, kind="torch.Tensor")
    plain = tensor.detach().resolve_conj().resolve_neg() if tensor.layout == torch.strided else None
    if plain is None or plain.device.type == "meta" or plain.is_quantized or vars(tensor):
        return NotImplemented
    name = None
    try:
        array = plain.numpy()
    except TypeError:
        name = str(tensor.dtype).removeprefix("torch.")
        array = plain.view(_SAME_SIZE[plain.element_size()]).numpy()
    parameter = isinstance(tensor, torch.nn.Parameter)
    return restore_tensor, (array, name, tensor.requires_grad, parameter)
