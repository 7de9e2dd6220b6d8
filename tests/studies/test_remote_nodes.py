"""A real cluster of several nodes whose results go to a real S3 server: every node writes there with what it has of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import studies
from studies.remote_uri import open_remote
from tests.studies._clusters import cluster, run_on
from tests.studies._dummies import write_study
from tests.studies._s3 import BUCKET, Store

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def test_a_cluster_writes_to_a_store_that_all_its_nodes_reach(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.port}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    study = str(write_study(tmp_path, methods=["cross_entropy"], trials=4, checkpoint_seconds=0.1))
    uri = f"s3://{BUCKET}/of-a-cluster"
    with cluster(n_nodes=1, cpus=0) as there:
        there.add_node()
        there.add_node()
        done = run_on(there, "run", study, "--results", uri)
        assert done.returncode == 0, done.stdout + done.stderr
        assert studies.load("mine", results=uri).trials.column("state").to_pylist() == ["complete"] * 4
        before = set(open_remote(uri).files())
        assert not [name for name in before if "probe" in name or "checkpoints" in name]

        there.add_node(AWS_ENDPOINT_URL="http://127.0.0.1:1")
        done = run_on(there, "run", study, "--results", uri)
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(
            rf"error: Node node-3 cannot write checkpoints to {uri}: Cannot read .*NETWORK_CONNECTION.*\. Give all nodes credentials for "
            r"it \(in their environment, or by a role\), or do without checkpoints \(SET=checkpoint_seconds=none\)\.\n",
            done.stderr,
        )
        assert set(open_remote(uri).files()) == before
