from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from bsd_core.models import build_model


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_the_published_network_is_torchvisions(name: str) -> None:
    """Same seed, same weights, same logits as torchvision's own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = getattr(torchvision.models, name)(num_classes=7).eval()
    ours = build_model(name, in_channels=3, n_classes=7, stem="published", seed=3).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_vision_transformer_is_torchvisions() -> None:
    with torch.device("meta"):
        theirs = torchvision.models.vit_b_16(num_classes=7)
        ours = build_model("vit_b_16", in_channels=3, n_classes=7, image_size=(224, 224))
    expected = {name: values.shape for name, values in ours.own_names(theirs.state_dict()).items()}
    assert {name: values.shape for name, values in ours.state_dict().items()} == expected


def test_vision_transformer_cuts_small_images_into_patches_of_4_pixels() -> None:
    with torch.device("meta"):
        network = build_model("vit_b_16", in_channels=1, n_classes=7, image_size=(28, 28))
    shapes = {name: tuple(values.shape) for name, values in network.state_dict().items()}
    assert shapes["backbone.conv_proj.weight"] == (768, 1, 4, 4)
    assert shapes["backbone.encoder.pos_embedding"] == (1, 7 * 7 + 1, 768)  # one for the class token


@pytest.mark.parametrize(("name", "block"), [("resnet18", "layer1"), ("resnet50", "layer1"), ("densenet121", "features.denseblock1")])
def test_small_images_keep_their_resolution_up_to_the_first_block(name: str, block: str) -> None:
    sizes: list[torch.Size] = []
    with torch.device("meta"):
        network = build_model(name, in_channels=3, n_classes=10)
        network.get_submodule(f"backbone.{block}").register_forward_hook(lambda _, __, out: sizes.append(out.shape[2:]))
        network(torch.empty(2, 3, 32, 32))
    assert sizes == [torch.Size([32, 32])]


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vit_b_16"])
@pytest.mark.parametrize("stem", ["small", "published"])
def test_a_stem_of_one_channel_starts_at_the_scale_of_its_kind(name: str, stem: str) -> None:
    """Standard deviation sqrt(2 / fan) after He et al., with fan-out for ResNets and fan-in for DenseNet; ViT has sqrt(1 / fan-in)."""
    network = build_model(name, in_channels=1, n_classes=3, image_size=(32, 32), stem=stem, seed=0)
    weight = network.get_parameter(network.stem_parameters[0])
    n_out, n_in, height, width = weight.shape
    assert n_in == 1
    variance = {"resnet18": 2 / (n_out * height * width), "densenet121": 2 / (height * width), "vit_b_16": 1 / (height * width)}[name]
    # a truncated normal of ViT loses nothing: it is cut at 2, far outside
    assert float(weight.detach().std()) == pytest.approx(variance**0.5, rel=0.1)


def test_the_head_is_taken_out_of_the_backbone() -> None:
    network = build_model("resnet18", in_channels=3, n_classes=7)
    assert isinstance(network.get_submodule("backbone.fc"), nn.Identity)
    assert not [name for name in network.state_dict() if name.startswith("backbone.fc")]
