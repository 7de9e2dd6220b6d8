"""How a network is run in training: mixed precision and compilation, without the methods knowing.

On a GPU the features (all but the last layer) run in bfloat16 under autocast, and long trainings compile them with CUDA graphs, which
removes the gaps between kernel launches at small batches. Weights, logits, losses, metrics and all state stay float32.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from bsd_core.config import TrainConfig
from bsd_core.models import Network

# Compiling takes about a minute, so it is left alone where a training may not last much longer. On a CPU it is never `auto`: see README.
_COMPILE_FROM_STEPS: Final = 5_000
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's mallopt


class Runner:
    """A network as methods call it: `runner(images)`, or `runner.classifier(runner.features(images))`."""

    def __init__(self, network: Network, *, bfloat16: bool, compiled: bool, device: torch.device) -> None:
        self.network, self._bfloat16, self._device = network, bfloat16, device
        self._features: Callable[[Tensor], Tensor] = network.features
        if compiled:
            mode = "reduce-overhead" if device.type == "cuda" else "default"
            # Full and short batches, with gradient and without, in training mode or not: each is a graph of its own.
            torch._dynamo.config.recompile_limit = 64
            self._features = torch.compile(network.features, mode=mode, dynamic=False)

    @classmethod
    def of(cls, network: Network, config: TrainConfig, device: torch.device, n_steps: int) -> Any:
        """The runner that `config` asks for on `device`; where that is nothing, the network itself."""
        on_gpu = device.type == "cuda"
        bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and on_gpu)
        compiled = config.compile == "on" or (config.compile == "auto" and on_gpu and n_steps >= _COMPILE_FROM_STEPS)
        return cls(network, bfloat16=bfloat16, compiled=compiled, device=device) if bfloat16 or compiled else network

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D) float32."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            return self._features(images).float()

    def classifier(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, K) logits, float32."""
        logits: Tensor = self.network.classifier(features)
        return logits

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K) logits, float32."""
        return self.classifier(self.features(images))


def keep_freed_memory() -> bool:
    """Let this process keep the memory that a training step frees, for the next step; whether that could be asked for.

    glibc gives large blocks back to the kernel at once and gets them anew, page by page and filled with zeros, some 10,000 pages a step
    of a small network. Keeping them costs nothing but that the process stays as large as its largest step. To be called by processes
    that train, once, before they do.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))


def begin_step() -> None:
    """Tell CUDA graphs that what the step before left in their memory may be overwritten."""
    if torch.cuda.is_available():
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
