"""How long a training is: by epochs, or by the images it may push through networks."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence

from bsd_core.config import TrainConfig
from bsd_core.methods import MethodConfig


def total_steps(config: TrainConfig, batch_sizes: Sequence[int], method: MethodConfig) -> int:
    """Steps of a training: all epochs, or, on a budget of images, as many as push no more images than one pass an epoch would.

    Args:
        config: its `epochs` and `budget`.
        batch_sizes: of the steps of an epoch, in order.
        method: what a step costs; a clean pass after a whole epoch costs as many images as the epoch has.

    Returns:
        At least one step, whatever it costs.
    """
    steps = config.epochs * len(batch_sizes)
    if config.budget == "epochs":
        return steps
    starts = [0, *itertools.accumulate(batch_sizes)]
    n = starts[-1]

    def primaries(n_steps: int) -> int:
        epochs, rest = divmod(n_steps, len(batch_sizes))
        return epochs * n + starts[rest]

    def images_seen(n_steps: int) -> int:
        clean_passes = n_steps // len(batch_sizes) if "clean_pass" in method.needs else 0
        return math.ceil(method.images_seen(n_steps, primaries) - 1e-6) + clean_passes * n

    return max(1, bisect.bisect_right(range(1, steps + 1), config.epochs * n, key=images_seen))
