"""How well a score tells images of the training distribution ("in") from others ("out").

A score is higher for "in": the largest probability of a row, say. Results are float64 scalars on the first input's device.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bsd_core.metrics.inputs import check_values


def auroc(in_scores: Tensor, out_scores: Tensor) -> Tensor:
    """P(in > out) + P(in = out) / 2 for a score drawn from each side, in [0, 1]: the area under the ROC curve, whichever is positive.

    Args:
        in_scores: (N,) scores of in-distribution images.
        out_scores: (M,) scores of the others.

    Raises:
        ValueError: N = 0, M = 0, wrong rank, NaN or infinity.
    """
    in_scores, out_scores = _check_scores(in_scores, out_scores)
    out_sorted = out_scores.sort().values
    below = torch.searchsorted(out_sorted, in_scores, right=False)
    not_above = torch.searchsorted(out_sorted, in_scores, right=True)
    return (below + not_above).double().mean() / (2 * len(out_scores))


def fpr_at_95(in_scores: Tensor, out_scores: Tensor, *, positive: Literal["in", "out"]) -> Tensor:
    """Share of the negative side that passes the strictest threshold which at least 95 % of the positive side pass, in [0, 1].

    The two conventions in use differ, so there is no default:
    "in": accept as "in" where score >= t; the share of "out" images that are accepted (most papers since Liang et al., ICLR 2018).
    "out": raise an alarm where score <= t; the share of "in" images that raise a false one (Hendrycks et al., ICLR 2019).

    Args:
        in_scores: (N,) scores of in-distribution images.
        out_scores: (M,) scores of the others.
        positive: the side whose recall is 95 %.

    Raises:
        ValueError: unknown `positive`, N = 0, M = 0, wrong rank, NaN or infinity.

    References:
        Hendrycks' code takes the point of the ROC curve whose recall is nearest to 95 %, so it can be one group of ties away.
    """
    in_scores, out_scores = _check_scores(in_scores, out_scores)
    if positive == "in":
        positives, negatives = in_scores, out_scores
    elif positive == "out":
        positives, negatives = -out_scores, -in_scores
    else:
        raise ValueError(f"`positive` must be 'in' or 'out', but got {positive!r}.")
    passing = -(-95 * len(positives) // 100)  # ceil, in integers: 0.95 * n can round to the wrong side
    threshold = positives.sort(descending=True).values[passing - 1]
    return (negatives >= threshold).double().mean()


def _check_scores(in_scores: Tensor, out_scores: Tensor) -> tuple[Tensor, Tensor]:
    in_scores = check_values(in_scores, "in_scores", "N")
    return in_scores, check_values(out_scores, "out_scores", "M").to(in_scores.device)
