"""Weights, checkpoints, labels and data sets from a stranger are read as data; what is more than data is refused in words."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bsd_core.archive import CompressedError, check_not_compressed
from bsd_core.checkpoint import load_checkpoint, resume, save_checkpoint
from bsd_core.data.images import MappedImages
from bsd_core.data.label_noise.human import human_labels
from bsd_core.data.label_noise.saved import load_labels
from bsd_core.data.label_noise.transition import load_transition_matrix
from bsd_core.data.sources import load_source
from bsd_core.errors import BSDError
from bsd_core.methods.kd import load_teacher
from bsd_core.models import build_model
from bsd_core.models.pretrained import load_pretrained
from tests._dummies import assert_equal_states, make_network, make_recipe, make_trainer


class Trap:
    """Makes a folder when it is unpickled by a reader that executes."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def _archive(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _legacy(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def _object_array(content: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([content, None], dtype=object), allow_pickle=True)
    return file.getvalue()


FORMS: dict[str, Callable[[object], bytes]] = {"pickle": pickle.dumps, "archive": _archive, "legacy": _legacy, "array": _object_array}
LABELS = np.zeros(4, dtype=np.int64)
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "pretrained": ("weights.pt", lambda path: load_pretrained(make_network(), path)),
    "teacher": ("teacher.pt", lambda path: load_teacher(make_network(), str(path))),
    "model": ("weights.pt", lambda path: build_model("resnet8", in_channels=1, n_classes=3, width=4, pretrained=path)),
    "human labels": ("labels.pt", lambda path: human_labels(path, "worse", targets=LABELS, n_classes=3)),
    "human labels, npz": ("labels.npz", lambda path: human_labels(path, "worse", targets=LABELS, n_classes=3)),
    "confusion": ("matrix.npy", lambda path: load_transition_matrix(path, 3)),
    "saved labels": ("labels.parquet", lambda path: load_labels(path, {"train": (LABELS, LABELS)}, n_classes=3)),
    "mapped images": ("images.npy", MappedImages.open),
    "parquet": ("images.parquet", lambda path: load_source(f"parquet:{path}")),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_a_reader_executes_nothing(reader: str, form: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(FORMS[form]({"model": Trap(tmp_path / "canary"), "clean_label": Trap(tmp_path / "canary")}))
    with pytest.raises(BSDError, match=re_any(name)) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)  # as torch advises
    assert not (tmp_path / "canary").exists()


def re_any(name: str) -> str:
    """The file is named."""
    return name.replace(".", r"\.")


@pytest.mark.parametrize("form", FORMS)
def test_a_checkpoint_that_is_a_trap_is_passed_over_and_the_one_before_is_used(form: str, tmp_path: Path) -> None:
    trainer = make_trainer(make_recipe())
    save_checkpoint(tmp_path, trainer)
    content = {"version": 1, "identity": trainer.identity, "state": {"model": Trap(tmp_path / "canary")}, "extra": {}}
    (tmp_path / "step-0000000009.pt").write_bytes(FORMS[form](content))
    found = resume(make_trainer(make_recipe()), tmp_path)
    assert found.path == tmp_path / "step-0000000000.pt"
    assert len(found.broken) == 1
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "content", [{}, {"epoch": "x"}, {"epoch": 1}, {"epoch": 0, "model": {}}, {"epoch": 0, "model": {"stem.weight": torch.zeros(1)}}]
)
def test_a_whole_checkpoint_of_a_strange_state_leaves_no_trace(content: dict[str, Any], tmp_path: Path) -> None:
    trainer, untouched = make_trainer(make_recipe()), make_trainer(make_recipe())
    torch.save({"version": 1, "identity": trainer.identity, "state": content}, tmp_path / "step-0000000009.pt")
    found = resume(trainer, tmp_path)
    assert (found.state, found.path) == (None, None)
    assert found.broken[0].endswith("its state is not one of this training")
    assert_equal_states(trainer.state_dict(), untouched.state_dict())


def test_a_strange_state_gives_way_to_the_checkpoint_before(tmp_path: Path) -> None:
    trainer = make_trainer(make_recipe(epochs=1))
    trainer.run_epoch()
    good = save_checkpoint(tmp_path, trainer)
    torch.save({"version": 1, "identity": trainer.identity, "state": {"epoch": 3}}, tmp_path / "step-0000000009.pt")
    resumed = make_trainer(make_recipe(epochs=1))
    assert resume(resumed, tmp_path).path == good
    assert_equal_states(resumed.state_dict(), trainer.state_dict())


# --- bombs


def _bomb(path: Path, n_bytes: int) -> Path:
    """A file of torch.save whose members were compressed afterwards: `n_bytes` of zeros in a thousandth of that."""
    small = io.BytesIO()
    torch.save({"model": {"weight": torch.zeros(8)}}, small)
    with zipfile.ZipFile(small) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, bytes(n_bytes) if name.endswith("data/0") else source.read(name))
    return path


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = _bomb(tmp_path / "step-0000000009.pt", 200_000_000)
    assert path.stat().st_size < 300_000
    with pytest.raises(CompressedError, match=r"it is compressed, as torch\.save's files never are"):
        check_not_compressed(path)
    with pytest.raises(BSDError, match=r"step-0000000009\.pt"):
        load_pretrained(make_network(), path)
    assert "it is compressed" in load_checkpoint(tmp_path, identity="any").broken[0]


def test_an_archive_that_says_to_hold_more_than_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"model": {"weight": torch.zeros(1000)}}, path)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02")  # the last entry of the table of contents: its two sizes
    content[place + 20 : place + 28] = (2**31).to_bytes(4, "little") * 2
    path.write_bytes(content)
    with pytest.raises(CompressedError, match="it says to hold more than its file has bytes"):
        check_not_compressed(path)


def test_files_as_torch_writes_them_pass(tmp_path: Path) -> None:
    for name, form in (("archive", _archive), ("legacy", _legacy)):
        (tmp_path / name).write_bytes(form(make_network().state_dict()))
        check_not_compressed(tmp_path / name)
        load_pretrained(make_network(seed=1), tmp_path / name)


# --- data sets that are published as pickles


@pytest.mark.parametrize(("dataset", "folder", "names"), [
    ("cifar10", "cifar-10-batches-py", [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]),
    ("cifar100", "cifar-100-python", ["train", "test", "meta"]),
])  # fmt: skip
def test_pickled_batches_are_read_only_if_they_are_the_published_ones(dataset: str, folder: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    for name in names:
        (tmp_path / folder / name).write_bytes(pickle.dumps(Trap(tmp_path / "canary")))
    with pytest.raises(BSDError, match=f"No {dataset} files in"):
        load_source(dataset, data_dir=tmp_path, download=False)
    assert not (tmp_path / "canary").exists()


def test_the_old_cache_of_mnist_is_read_without_executing(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "processed"
    folder.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        (folder / name).write_bytes(_archive(Trap(tmp_path / "canary")))
    with pytest.raises(BSDError, match=r"mnist files in .* are not readable \(they hold more than numbers\)"):
        load_source("mnist", data_dir=tmp_path, download=False)
    shutil.rmtree(folder)
    assert not (tmp_path / "canary").exists()
