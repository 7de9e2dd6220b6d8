from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from bsd_core.errors import ConfigError, DataError
from bsd_core.models import Network, build_model
from bsd_core.models.pretrained import load_pretrained
from bsd_core.models.torchvision_networks import TorchvisionNetwork


def make_small(*, seed: int = 0, **options: Any) -> Network:
    return build_model("resnet8", **{"in_channels": 1, "n_classes": 3, "width": 2, "seed": seed, **options})


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def backbone_of(network: Network) -> dict[str, Tensor]:
    return {name: values for name, values in network.state_dict().items() if not name.startswith("classifier.")}


def equal_states(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_a_state_dict_of_ours_is_loaded_bare_or_from_a_checkpoint(tmp_path: Path, wrapper: str | None) -> None:
    state = make_small(seed=1).state_dict()
    path = saved(tmp_path / "weights.pt", {wrapper: state, "epoch": 3} if wrapper else state)
    assert equal_states(make_small(pretrained=path).state_dict(), state)
    assert equal_states(make_small(pretrained=str(path)).state_dict(), state)


def test_a_classifier_for_other_classes_stays_fresh(tmp_path: Path) -> None:
    donor = make_small(seed=1, n_classes=5)
    network = make_small(pretrained=saved(tmp_path / "weights.pt", donor.state_dict()))
    assert equal_states(backbone_of(network), backbone_of(donor))
    assert torch.equal(network.classifier.weight, make_small().classifier.weight)
    assert network.classifier.out_features == 3


def test_loaded_weights_stay_in_channels_last_order(tmp_path: Path) -> None:
    plain = make_small(seed=1, in_channels=3).to(memory_format=torch.contiguous_format).state_dict()
    network = make_small(in_channels=3, pretrained=saved(tmp_path / "weights.pt", plain))
    assert all(
        module.weight.is_contiguous(memory_format=torch.channels_last) for module in network.modules() if isinstance(module, nn.Conv2d)
    )


def test_torchvisions_names_are_understood(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        theirs = torchvision.models.resnet18(num_classes=1000).eval()
    state = {name: values for name, values in theirs.state_dict().items() if "num_batches_tracked" not in name}  # as in files before 2019
    path = saved(tmp_path / "resnet18.pth", state)
    whole = build_model("resnet18", in_channels=3, n_classes=1000, stem="published", pretrained=path).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(whole(images), theirs(images), rtol=1e-4, atol=1e-5)
    few = build_model("resnet18", in_channels=3, n_classes=10, image_size=(224, 224), pretrained=path, seed=0)
    assert torch.equal(few.get_parameter("backbone.conv1.weight"), theirs.conv1.weight)
    assert torch.equal(
        few.classifier.weight, build_model("resnet18", in_channels=3, n_classes=10, stem="published", seed=0).classifier.weight
    )


def test_the_older_names_of_the_published_densenet_are_understood(tmp_path: Path) -> None:
    network = build_model("densenet121", in_channels=3, n_classes=3, stem="published", seed=0)
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name.removeprefix("backbone.")): values
        for name, values in build_model("densenet121", in_channels=3, n_classes=3, stem="published", seed=1).state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    load_pretrained(network, saved(tmp_path / "densenet121.pth", state))
    assert torch.equal(
        network.get_parameter("backbone.features.denseblock1.denselayer1.conv1.weight"),
        state["features.denseblock1.denselayer1.conv.1.weight"],
    )


def tiny_transformer(side: int = 8) -> TorchvisionNetwork:
    backbone = VisionTransformer(image_size=side, patch_size=4, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8, num_classes=3)
    return TorchvisionNetwork(backbone, head="heads.head", stem=("conv_proj.weight", "encoder.pos_embedding"))


def test_the_older_names_of_the_published_transformer_are_understood(tmp_path: Path) -> None:
    network = tiny_transformer()
    older = {"mlp.0.": "mlp.linear_1.", "mlp.3.": "mlp.linear_2.", "classifier.": "heads.head.", "backbone.": ""}
    state = tiny_transformer().state_dict()
    for new, old in older.items():
        state = {name.replace(new, old): values for name, values in state.items()}
    load_pretrained(network, saved(tmp_path / "vit.pth", state))
    expected = state["encoder.layers.encoder_layer_0.mlp.linear_1.weight"]
    assert torch.equal(network.get_parameter("backbone.encoder.layers.encoder_layer_0.mlp.0.weight"), expected)


def test_positions_for_another_image_size_are_another_stem(tmp_path: Path) -> None:
    path = saved(tmp_path / "vit.pth", tiny_transformer(16).state_dict())
    with pytest.raises(
        ConfigError, match=r"for another stem: backbone.encoder.pos_embedding has shape \(1, 17, 8\) in the file and \(1, 5, 8\)"
    ):
        load_pretrained(tiny_transformer(8), path)


@pytest.mark.parametrize("options", [{"stem": "published"}, {"in_channels": 3}])
def test_weights_for_another_stem_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    path = saved(tmp_path / "weights.pt", make_small(**options).state_dict())
    with pytest.raises(
        ConfigError, match=r"are for another stem: stem\.weight has shape \(2, .*\) in the file and \(2, 1, 3, 3\) in the netw"
    ):
        make_small(pretrained=path)


def changed(drop: str = "", **extra: Any) -> dict[str, Any]:
    return {name: values for name, values in make_small().state_dict().items() if not drop or not name.startswith(drop)} | extra


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            changed(drop="norm."),
            r"holds the weights of another network: 4 missing \(norm\.weight, norm\.bias, norm\.running_mean, \.\.\.\)",
        ),
        (changed(drop="classifier."), r"2 missing \(classifier\.weight, classifier\.bias\)\."),
        (changed(extra=torch.zeros(1)), r"another network: 1 unexpected \(extra\)\."),
        (changed(drop="norm.", more=torch.zeros(1)), r"4 missing \(.*\), 1 unexpected \(more\)"),
        (
            make_small(width=3).state_dict() | {"stem.weight": torch.zeros(2, 1, 3, 3)},
            r"another network: norm\.weight has shape \(3,\) in the",
        ),
        (changed(extra=3), r"holds neither a state dict nor a checkpoint with one under 'model' or 'state_dict'"),
        ({}, r"holds neither a state dict"),
        (torch.zeros(3), r"holds neither a state dict"),
        ({"model": "resnet8"}, r"holds neither a state dict"),
        (Path("code"), r"is not a file of weights written by torch\.save"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = saved(tmp_path / "weights.pt", content)
    with pytest.raises(DataError, match=message):
        make_small(pretrained=path)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02garbage", b"PK\x03\x04" + b"0" * 100])
def test_files_that_are_not_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"weights\.pt' is not a file of weights written by torch\.save"):
        make_small(pretrained=path)


@pytest.mark.parametrize("name", ["absent.pt", "."])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"There is no file of pretrained weights at '"):
        make_small(pretrained=tmp_path / name)
