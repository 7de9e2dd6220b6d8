"""Studies of right fields that the data, the files they name or this machine make impossible: refused before Ray starts."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from bsd_core.robustness.corruptions import CORRUPTIONS
from studies import cli, cluster
from studies.prepare import prepare
from studies.yaml_strict import dump_yaml
from tests.studies._dummies import make_document, make_spec
from tests.studies._watch import files_in, watched

N_DIGITS = 1438  # training images, of 10 classes, 8x8 pixels
GARBAGE = {"pt": b"PK\3\4", "npy": b"\x93NUMPY\1\0v", "csv": b"a,b\nc", "json": b"[[1, 2], [", "parquet": b"PAR1xPAR1"}
STRANGE = [*(f"garbage.{suffix}" for suffix in GARBAGE), "empty", "other.pt", "three.csv", "three.npy", "nan.npy"]
NOWHERE = [
    *("absent", "absent/x.pt", "../../../../absent", "/dev/null", "/dev/zero", "~nobody/x", "s3://bucket/key"),
    *("a" * 300, "a/" * 2500, "\u202ex", "\x1b[31m"),
]
OTHER_DATA = ["cifar10", "cifar100", "svhn", "mnist", "fashion_mnist", "cub200", "tiny_imagenet", "imagenet", "mit67", "stanford_dogs"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the user stands, among files that are not what they are called."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "home").mkdir()
    (folder / "empty").mkdir()
    for suffix, content in GARBAGE.items():
        (folder / f"garbage.{suffix}").write_bytes(content)
    torch.save({"model": {"weight": torch.zeros(3)}}, folder / "other.pt")
    np.savetxt(folder / "three.csv", np.full((3, 3), 1 / 3), delimiter=",")
    np.save(folder / "three.npy", np.full((3, 3), 1 / 3))
    np.save(folder / "nan.npy", np.full((10, 10), np.nan))

    def started(*arguments: Any, **named: Any) -> None:
        raise AssertionError("Ray was started.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "connect", started)
        patch.setattr(cluster, "disconnect", lambda: None)
        patch.setenv("HOME", str(folder / "home"))
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.chdir(folder)
        prepare(make_spec(model="densenet121", width=None, methods=["kd"]))  # libraries keep caches of their own when first used
        yield folder


def file(suffix: str = "") -> SearchStrategy[str]:
    """The name of a file that is not there, or not what it should be."""
    return st.sampled_from(STRANGE) | st.sampled_from(NOWHERE).map(lambda name: name + suffix)


@st.composite
def too_few(draw: DrawFn) -> dict[str, Any]:
    """Not enough images for a batch, for both splits, or for what is asked of them."""
    n = draw(st.integers(1, N_DIGITS))
    return draw(
        st.sampled_from(
            [
                {"train_images": n, "batch_size": n + 1},
                {"train_images": N_DIGITS + n},
                {"batch_size": N_DIGITS + n},
                {"val_fraction": 1e-4 / n},
                {"val_fraction": 1 - 1e-4 / n},
                {"train_images": 1 + n % 2, "batch_size": 2},
                {"n_classes": 2 + n % 8},
                {"image_size": 8 + n},
                {"conditions": ["none", f"symmetric:{1e-7 * n:.10f}"]},
                {"train_images": 100, "batch_size": 2, "conditions": [f"pairflip:{n / 1e6:.10f}"]},
            ]
        )
    )


@st.composite
def impossible_noise(draw: DrawFn) -> dict[str, Any]:
    """Wrong labels that these data cannot have."""
    outside = draw(st.integers(10, 10**20) | st.integers(-(10**20), -1))
    inside = draw(st.integers(0, 9))
    mapping = draw(st.sampled_from([{outside: inside}, {inside: outside}, {inside: inside}]))
    rate = draw(st.floats(0.51, 0.99))
    conditions = [
        {"kind": "asymmetric", "rate": 0.01, "mapping": mapping},
        {"kind": "asymmetric", "rate": rate},  # of the digits that are mistaken for others there are fewer
        {"kind": "human", "labels": "worse"},
        {"kind": "human", "labels": "noisy", "file": draw(file(".pt"))},
        {"kind": "confusion", "file": draw(file(".npy"))},
        {"kind": "saved", "file": draw(file(".parquet"))},
    ]
    return {"conditions": ["none", draw(st.sampled_from(conditions))]}


@st.composite
def absent_or_strange_files(draw: DrawFn) -> dict[str, Any]:
    """Data sets, weights, teachers, frost and official corruptions that are not there, or are something else."""
    path = draw(file())
    shown = draw(st.sampled_from(["all", *CORRUPTIONS]))
    known = draw(st.sampled_from(OTHER_DATA))
    return draw(
        st.sampled_from(
            [
                {"dataset": f"folder:{path}"},
                {"dataset": f"parquet:{path}"},
                {"dataset": known, "data_dir": path, "download": False},
                {"pretrained": path},
                {"methods": ["kd"], "fixed": {"kd": {"teacher": path}}},
                {"methods": ["kd_cs_kd"], "fixed": {"kd_cs_kd": {"teacher": path}}},
                {"evaluate": {"corruptions": "frost", "frost_folder": path}},
                {"evaluate": {"corruptions": "none", "frost_folder": path}, "confirm": {"corruptions": ["fog", "frost"]}},
                {"evaluate": {"corruptions": shown, "official": path}, "confirm": {"corruptions": shown}},
                {"evaluate": {"corruptions": "official"}, "confirm": {}},
            ]
        )
    )


@st.composite
def impossible_networks(draw: DrawFn) -> dict[str, Any]:
    """Networks that cannot take such images, or that no machine holds; trials larger than this machine."""
    large = draw(st.integers(300, 1024))
    return draw(
        st.sampled_from(
            [
                {"model": "densenet121", "width": None, "stem": "published"},
                {"model": "wide_resnet", "width": large},
                {"cpus_per_trial": float(1000 + large)},
                {"gpus_per_trial": float(1000 + large)},
            ]
        )
    )


KINDS = {"too_few": too_few, "impossible_noise": impossible_noise, "absent_or_strange_files": absent_or_strange_files}
KINDS |= {"impossible_networks": impossible_networks}
N_OF_KIND = {"too_few": 100, "impossible_noise": 80, "absent_or_strange_files": 150, "impossible_networks": 10}


@pytest.mark.parametrize("kind", KINDS)
def test_impossible_studies_are_refused_in_one_line_and_nothing_is_started_or_written(
    kind: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "mine.yaml").write_bytes(b"")
    before = files_in(place)
    seen: set[bytes] = set()

    @settings(
        max_examples=4 * N_OF_KIND[kind],
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(KINDS[kind]())
    def refuse(changes: dict[str, Any]) -> None:
        document = {name: value for name, value in {**make_document(), **changes}.items() if value is not None}
        content = dump_yaml(document).encode()
        if content in seen or len(seen) == N_OF_KIND[kind]:
            return
        seen.add(content)
        (place / "mine.yaml").write_bytes(content)
        printed, errors = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["studies", "run", "mine.yaml", "--results", "results"])
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(errors),
            watched() as done,
            pytest.raises(SystemExit, match="2"),
        ):
            cli.main()
        line = errors.getvalue().removesuffix("\n")
        assert done == []
        assert printed.getvalue() == ""
        assert line.startswith("error: ")
        assert line.isprintable(), line
        assert len(line) <= 620, line

    refuse()
    assert len(seen) == N_OF_KIND[kind]
    assert files_in(place).keys() == before.keys()
