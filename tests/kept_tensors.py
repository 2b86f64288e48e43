"""What torch keeps between a forward pass and its backward pass."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def noting_kept(model: torch.nn.Module) -> Iterator[dict[int, int]]:
    """Address -> bytes of every storage that the block's graph keeps, but for the parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def remember(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        yield kept
