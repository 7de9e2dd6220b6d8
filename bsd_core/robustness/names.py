"""The names of corruptions and perturbations, apart from what makes them, so that reading a study needs no torch.

Source: Hendrycks & Dietterich, ICLR 2019; their main sets, and those that they keep for validation.
"""

from __future__ import annotations

from typing import Final

MAIN: Final = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
EXTRA: Final = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
CORRUPTIONS: Final[tuple[str, ...]] = (*MAIN, *EXTRA)

MAIN_PERTURBATIONS: Final[tuple[str, ...]] = (
    "gaussian_noise",
    "shot_noise",
    "motion_blur",
    "zoom_blur",
    "snow",
    "brightness",
    "translate",
    "rotate",
    "tilt",
    "scale",
)
VALIDATION_PERTURBATIONS: Final[tuple[str, ...]] = ("speckle_noise", "gaussian_blur", "spatter", "shear")
PERTURBATIONS: Final[tuple[str, ...]] = MAIN_PERTURBATIONS + VALIDATION_PERTURBATIONS
