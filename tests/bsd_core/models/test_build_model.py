from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import bsd_core.models
from bsd_core.errors import ConfigError
from bsd_core.models import MODELS, build_model, n_parameters
from bsd_core.network_names import WIDTHS


def meta_parameters(name: str, **options: Any) -> int:
    """Parameters of a network that is never given memory."""
    with torch.device("meta"):
        return n_parameters(build_model(name, **{"in_channels": 3, **options}))


def test_public_names_are_there() -> None:
    assert [name for name in bsd_core.models.__all__ if not hasattr(bsd_core.models, name)] == []
    assert list(MODELS) == sorted(MODELS) == list(WIDTHS)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # torchvision's documentation, 1000 classes at 224 px
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("densenet121", 7_978_856),
        ("vit_b_16", 86_567_656),
        # Xie et al., table 1 and 3: 44.2 million
        ("resnext101_32x4d", 44_177_704),
    ],
)
def test_imagenet_networks_have_the_published_number_of_parameters(name: str, published: int) -> None:
    assert meta_parameters(name, n_classes=1000, stem="published") == published
    assert meta_parameters(name, n_classes=1000, image_size=(224, 224)) == published


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("resnet20", 269_722),  # 0.27 million in He et al., table 6
        ("resnet56", 853_018),  # 0.85 million there
        ("wide_resnet", 36_479_194),  # WRN-28-10: 36.5 million in Zagoruyko & Komodakis, table 5
        ("preact_resnet18", 11_171_274),  # 11.17 million
    ],
)
def test_cifar_networks_have_the_published_number_of_parameters(name: str, published: int) -> None:
    assert meta_parameters(name, n_classes=10) == published
    assert meta_parameters(name, n_classes=10, image_size=(32, 32)) == published


@pytest.mark.parametrize(
    ("image_size", "same_as"), [(None, "small"), ((32, 32), "small"), ((64, 64), "small"), ((32, 65), "published"), ((96, 96), "published")]
)
def test_the_stem_follows_the_longer_side_of_the_images(image_size: tuple[int, int] | None, same_as: str) -> None:
    counts = {stem: meta_parameters("resnet18", n_classes=10, stem=stem) for stem in ("small", "published")}
    assert counts["published"] - counts["small"] == 3 * 64 * (7 * 7 - 3 * 3)
    assert meta_parameters("resnet18", n_classes=10, image_size=image_size) == counts[same_as]


def test_a_seeded_network_leaves_the_global_random_state_and_an_unseeded_one_uses_it() -> None:
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        build_model("resnet8", in_channels=1, n_classes=3, width=2, seed=1)
        assert torch.equal(torch.get_rng_state(), before)
        build_model("resnet8", in_channels=1, n_classes=3, width=2)
        assert not torch.equal(torch.get_rng_state(), before)


def test_frozen_parameters_do_not_count() -> None:
    model = nn.Linear(3, 2)
    assert n_parameters(model) == 3 * 2 + 2
    model.bias.requires_grad_(False)
    assert n_parameters(model) == 3 * 2


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet9", {}, r"Unknown model 'resnet9'\. Did you mean 'resnet\d+'\? Known: densenet121, .*, wide_resnet\."),
        ("resnet8", {"stem": "smal"}, r"Unknown stem 'smal'\. Did you mean 'small'\? Known: auto, published, small\."),
        ("resnet8", {"in_channels": 2}, r"`in_channels is 1 or 3` must hold, but got in_channels=2"),
        ("resnet8", {"n_classes": 1}, r"`n_classes >= 2` must hold, but got n_classes=1"),
        ("resnet8", {"width": 0}, r"`1 <= width <= 1024` must hold, but got width=0"),
        ("resnet8", {"width": 2000}, r"width=2000"),
        (
            "resnet18",
            {"width": 16},
            r"resnet18 has a fixed width: leave `width` out, or choose one of preact_resnet18, resnet20, .*wide_res",
        ),
        ("vit_b_16", {"width": 16}, r"vit_b_16 has a fixed width"),
        ("vit_b_16", {}, r"vit_b_16 with the small stem needs to know the image size"),
        ("vit_b_16", {"image_size": (30, 30)}, r"side is a multiple of 4 pixels, but got 30x30"),
        ("vit_b_16", {"image_size": (32, 28)}, r"takes square images .*, but got 28x32"),
        ("vit_b_16", {"image_size": (100, 100)}, r"the published stem takes .* multiple of 16 pixels, but got 100x100"),
        ("vit_b_16", {"image_size": (0, 0)}, r"`1 <= height and 1 <= width` must hold"),
        ("densenet121", {"image_size": (7, 32)}, r"the small stem takes images of at least 8x8 pixels, but got 32x7"),
        ("densenet121", {"image_size": (28, 28), "stem": "published"}, r"at least 29x29 pixels, but got 28x28"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_model(name, **{"in_channels": 3, "n_classes": 10, **settings})


@pytest.mark.parametrize(("stem", "side"), [("small", 8), ("published", 29)])
def test_densenet_takes_the_smallest_images_it_says_it_takes(stem: str, side: int) -> None:
    with torch.device("meta"):
        network = build_model("densenet121", in_channels=3, n_classes=10, image_size=(side, side), stem=stem)
        assert network(torch.empty(2, 3, side, side)).shape == (2, 10)
        with pytest.raises(RuntimeError, match="too small"):
            network(torch.empty(2, 3, side - 1, side - 1))
