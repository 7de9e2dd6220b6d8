"""Weights from a local file: torchvision's, our own, or a checkpoint that holds either."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from bsd_core.archive import check_not_compressed
from bsd_core.errors import ConfigError, DataError, one_line
from bsd_core.models.base import Network

WRAPPERS: Final = ("model", "state_dict")  # keys under which a checkpoint may hold the state dict
CLASSIFIER: Final = ("classifier.weight", "classifier.bias")
N_NAMED: Final = 3  # parameters an error names


def load_pretrained(network: Network, path: str | Path) -> None:
    """Replace the weights of `network` by those of a file, in place.

    The file is read as data, never as code (`weights_only=True`). It holds a state dict, or a checkpoint with one under `model` or
    `state_dict`, in torchvision's names or in ours. A classifier for another number of classes is left out: the network's own fresh
    one stays.

    Raises:
        ConfigError: the weights are for another stem, another image size or other channels.
        DataError: no such file, not a state dict, or the state dict of another network.
    """
    path = Path(path)
    state = network.own_names(_read_state(path))
    own = network.state_dict()
    if all(name in state for name in CLASSIFIER) and len(state["classifier.weight"]) != len(own["classifier.weight"]):
        state |= {name: own[name] for name in CLASSIFIER}
    _check_shapes(path, state, own, network.stem_parameters)
    try:
        # Not strict, but strictly checked below: modules translate names of older versions while they load.
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise DataError(f"The weights in '{path}' do not fit: {one_line(error)}") from error
    if missing or unexpected:
        found = [f"{len(names)} {kind} ({_some(names)})" for kind, names in (("missing", missing), ("unexpected", unexpected)) if names]
        raise DataError(f"'{path}' holds the weights of another network: {', '.join(found)}.")


def _read_state(path: Path) -> dict[str, Tensor]:
    if not os.path.isfile(path):  # as Path.is_file, but for names that no file can have
        raise DataError(f"There is no file of pretrained weights at '{path}'.")
    try:
        check_not_compressed(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever a foreign file makes it stumble over
        # Not torch's own words: they advise to read the file in a way that would execute what is in it.
        raise DataError(f"'{path}' is not a file of weights written by torch.save, or holds more than tensors.") from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content or not all(isinstance(values, Tensor) for values in content.values()):
        raise DataError(f"'{path}' holds neither a state dict nor a checkpoint with one under {' or '.join(map(repr, WRAPPERS))}.")
    return {str(name): values for name, values in content.items()}


def _check_shapes(path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor], stem: tuple[str, ...]) -> None:
    wrong = [name for name in own if name in state and state[name].shape != own[name].shape]
    for name in wrong:
        if name in stem and state[name].shape[:1] == own[name].shape[:1]:
            raise ConfigError(
                f"The weights in '{path}' are for another stem: {_shapes(name, state, own)}. "
                "Set `stem` to the one they were trained with (published or small), and use images with as many channels and pixels."
            )
    if wrong and wrong[0] in stem:
        raise ConfigError(
            f"The weights in '{path}' are for another width: {_shapes(wrong[0], state, own)}. "
            "Set `width` to the one they were trained with."
        )
    if wrong:
        raise DataError(f"'{path}' holds the weights of another network: {_shapes(wrong[0], state, own)}; {len(wrong)} shapes differ.")


def _shapes(name: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    return f"{name} has shape {tuple(state[name].shape)} in the file and {tuple(own[name].shape)} in the network"


def _some(names: Iterable[str]) -> str:
    first, rest = (names := list(names))[:N_NAMED], names[N_NAMED:]
    return ", ".join(first) + (", ..." if rest else "")
