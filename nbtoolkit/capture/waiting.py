"""What a measurement that waits for the device needs."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def waiting_allowed(on_cuda: bool) -> Iterator[None]:
    """A measurement that is not free waits for the device: its seconds are its own, and it needs numbers in hand."""
    if not on_cuda:
        yield
        return
    mode = torch.cuda.get_sync_debug_mode()
    if mode:  # setting it warns, so only where somebody has set it
        torch.cuda.set_sync_debug_mode("default")
    try:
        torch.cuda.synchronize()
        yield
        torch.cuda.synchronize()
    finally:
        if mode:
            torch.cuda.set_sync_debug_mode(mode)
