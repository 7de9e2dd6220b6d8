"""Mixing the images of a batch with each other (Zhang et al., mixup, ICLR 2018; reference code: facebookresearch/mixup-cifar10).

    x~_i = lam x_i + (1 - lam) x_r(i)        L = lam CE(z~, y) + (1 - lam) CE(z~, y_r)

One lam and one permutation r for a whole batch. Methods that mix share this file.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bsd_core.errors import require
from bsd_core.seeds import numpy_stream, torch_stream


def draw_mix(seed: int, step: int, n: int, alpha: float, device: torch.device) -> tuple[float, Tensor]:
    """How the batch of `step` is mixed: a function of (seed, step) alone, so there is no stream to save.

    Args:
        seed: of the method.
        step: of the batch, over all epochs.
        n: images in the batch.
        alpha: lam ~ Beta(alpha, alpha); >= 0, and 0 means lam = 1: nothing is mixed.
        device: of the permutation. lam is drawn on the host, where it weighs the loss without a wait for the device.

    Returns:
        (lam in [0, 1], (n,) int64 permutation).

    Raises:
        ConfigError: alpha out of range.
    """
    require(alpha >= 0, "alpha >= 0", alpha=alpha)
    lam = float(numpy_stream(seed, "mixup", step).beta(alpha, alpha)) if alpha > 0 else 1.0
    return lam, torch.randperm(n, generator=torch_stream(seed, "mixup", step, device=device), device=device)


def mix(images: Tensor, permutation: Tensor, lam: float) -> Tensor:
    """lam * images + (1 - lam) * images[permutation], (N, C, H, W) like `images`."""
    return torch.lerp(images[permutation], images, lam)


def mixup_loss(logits: Tensor, targets: Tensor, mixed_targets: Tensor, lam: float) -> Tensor:
    """lam * CE(logits, targets) + (1 - lam) * CE(logits, mixed_targets).

    Args:
        logits: (B, K) of the mixed images.
        targets: (B,) int64.
        mixed_targets: (B,) int64, those of the images mixed in: `targets[permutation]`.
        lam: in [0, 1], the share of the images that `targets` belong to.

    Returns:
        Scalar.
    """
    log_probs = functional.log_softmax(logits, dim=1)
    return lam * functional.nll_loss(log_probs, targets) + (1 - lam) * functional.nll_loss(log_probs, mixed_targets)
