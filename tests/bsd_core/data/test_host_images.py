from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from bsd_core.data.host_images import HostImages, to_device
from bsd_core.evaluate import predict
from bsd_core.train import Trainer
from tests._dummies import make_images, make_mapped_images, make_recipe, make_toy_images

CPU = torch.device("cpu")


def test_arrays_become_a_tensor_of_their_own(tmp_path: Path) -> None:
    images = make_images(3)
    tensor = to_device(images, CPU)
    assert isinstance(tensor, torch.Tensor)
    assert torch.equal(tensor, torch.from_numpy(images))
    tensor.zero_()
    assert images.any()


def test_host_images_look_like_a_tensor(tmp_path: Path) -> None:
    images = make_images(7)
    host = to_device(make_mapped_images(tmp_path, images), CPU)
    assert isinstance(host, HostImages)
    assert (len(host), host.shape, host.dtype, host.device) == (7, torch.Size([7, 3, 32, 32]), torch.uint8, CPU)
    rows = torch.tensor([6, 0, 0, 3])
    assert torch.equal(host[rows], torch.from_numpy(images)[rows])
    assert torch.equal(host[2:5], torch.from_numpy(images[2:5]))


def test_a_batch_belongs_to_the_receiver(tmp_path: Path) -> None:
    images = make_images(4)
    host = to_device(make_mapped_images(tmp_path, images), CPU)
    host[0:4].zero_()
    assert torch.equal(host[0:4], torch.from_numpy(images))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_arrive_on_a_gpu_whole(tmp_path: Path) -> None:
    images = make_images(64)
    device = torch.device("cuda", 0)
    host = to_device(make_mapped_images(tmp_path, images), device)
    for _ in range(20):
        rows = torch.randperm(64, device=device)
        batch = host[rows]
        assert batch.device == device
        assert np.array_equal(batch.cpu().numpy(), images[rows.cpu().numpy()])


def test_training_on_mapped_images_gives_the_numbers_of_training_in_memory(tmp_path: Path) -> None:
    images, targets = make_toy_images(50)
    recipe = make_recipe(epochs=2)
    host = to_device(pickle.loads(pickle.dumps(make_mapped_images(tmp_path, images.numpy()))), CPU)
    in_memory = Trainer(recipe, images, targets, true=None, n_classes=3)
    mapped = Trainer(recipe, host, targets, true=None, n_classes=3)
    for _ in range(2):
        assert in_memory.run_epoch().train_loss == mapped.run_epoch().train_loss
    ours, theirs = (predict(mapped.model, part, mapped.normaliser, batch_size=16) for part in (host, images))
    assert torch.equal(ours, theirs)
