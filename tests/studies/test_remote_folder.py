from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bsd_core.errors import ConfigError, StorageError
from studies.remote_folder import Patience, RemoteFolder
from studies.remote_uri import is_uri, open_remote
from tests.studies._s3 import BUCKET, KEYS, Store, Way


def test_what_is_put_is_there_whole_and_can_be_listed_and_removed(store: Store, tmp_path: Path) -> None:
    folder = store.folder()
    big = bytes(range(256)) * 50_000  # 12.8 MB: several pieces on the way
    folder.put("a/small", b"content")
    (tmp_path / "big").write_bytes(big)
    (tmp_path / "empty").write_bytes(b"")
    folder.put_files(tmp_path, ["big", "empty"])
    assert {name: stored.n_bytes for name, stored in folder.files().items()} == {"a/small": 7, "big": len(big), "empty": 0}
    assert folder.folders() == ["a"]
    assert folder.get("big") == big
    assert folder.get_all(["big", "nope", "a/small"]) == {"big": big, "a/small": b"content"}
    folder.put("a/small", b"anew")
    folder.fetch(tmp_path / "here", ["a/small", "nope", "empty"])
    assert sorted(path.name for path in (tmp_path / "here").rglob("*")) == ["a", "empty", "small"]
    assert (tmp_path / "here" / "a" / "small").read_bytes() == b"anew"
    folder.remove(["big", "nope"])
    assert folder.get("big") is None
    assert set(folder.files()) == {"a/small", "empty"}


def test_a_folder_that_is_not_there_is_empty(store: Store) -> None:
    folder = store.folder()
    assert (folder.files(), folder.folders(), folder.get("x"), folder.written("x")) == ({}, [], None, None)
    folder.remove(["x"])


def test_a_probe_leaves_no_object(store: Store) -> None:
    folder = store.folder()
    folder.check_writable()
    assert folder.files() == {}


def test_the_store_has_a_clock(store: Store) -> None:
    folder = store.folder()
    folder.put("x", b"")
    written = folder.written("x")
    assert written is not None
    assert 0 <= (folder.now() - written).total_seconds() < 60


def test_a_uri_comes_back_as_it_was_written(store: Store) -> None:
    uri = store.uri("folder/below")
    folder = open_remote(uri, {})
    assert (folder.uri, folder.name, folder.path) == (uri, "below", f"{BUCKET}/folder/below")
    assert (folder / "more").uri == uri.replace("below", "below/more")
    assert folder.parent.uri == uri.replace("folder/below", "folder")
    assert str(open_remote("s3://bucket//a///b/?region=eu-west-1", {})) == "s3://bucket/a/b?region=eu-west-1"


def test_endpoint_and_region_come_from_the_environment_too(store: Store) -> None:
    folder = open_remote(f"s3://{BUCKET}/from-the-environment", {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}"})
    folder.check_writable()
    assert folder.uri == f"s3://{BUCKET}/from-the-environment"
    other = open_remote(f"s3://{BUCKET}/x?region=eu-west-2", {"AWS_ENDPOINT_URL_S3": "https://store.invalid/", "AWS_REGION": "us-west-1"})
    assert (other.filesystem.region, open_remote(f"s3://{BUCKET}", {"AWS_REGION": "us-west-1"}).filesystem.region) == (
        "eu-west-2",
        "us-west-1",
    )


# --- what is no place for results


@pytest.mark.parametrize(
    ("uri", "match"),
    [
        ("ftp://host/folder", "Results go to a folder, to s3://bucket/folder or to gs://bucket/folder, but got a 'ftp' URI"),
        ("file:///folder", "but got a 'file' URI"),
        ("s3:///folder", "names no folder in a bucket"),
        ("s3://", "names no folder in a bucket"),
        ("s3://bucket/../other", "names no folder in a bucket"),
        ("s3://bucket/a\x07b", "names no folder in a bucket"),
        ("s3://bucket/a#b", "names no folder in a bucket"),
        ("s3://bucket/a?regoin=x", "Unknown option of a s3: URI 'regoin'. Did you mean 'region'?"),
        ("s3://bucket/a?region", "is no URI for results"),
        ("s3://[bucket/a", "is no URI for results"),
        ("gs://bucket/a?region=x", "Unknown option of a gs: URI 'region'"),
        ("s3://bucket/a?scheme=gopher&endpoint_override=127.0.0.1:1", "Cannot open 's3://bucket'"),
    ],
)
def test_other_uris_are_refused_in_one_line(uri: str, match: str) -> None:
    with pytest.raises((ConfigError, StorageError), match=match.replace("?", r"\?")) as caught:
        open_remote(uri, {})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIAKEY:HIDDEN@bucket/folder",
        "s3://AKIAKEY:HID/DEN@bucket/folder",
        "s3://AKIAKEY:HIDDEN",
        "s3://AKIAKEY@bucket",
        "s3://bucket/a?endpoint_override=http://AKIAKEY:HIDDEN@host",
        "gs://AKIAKEY:HIDDEN@bucket",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigError, match="Put credentials into the environment") as caught:
        open_remote(uri, {})
    assert "HID" not in str(caught.value)
    assert "AKIAKEY" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "yes"),
    [("s3://a", True), ("x:y", False), ("C:\\folder", False), ("/s3://a", False), ("S3://a", True), ("gs:a", True), ("results:2", False)],
)
def test_what_is_a_uri(text: str, yes: bool) -> None:
    assert is_uri(text) == yes


def test_a_bucket_that_is_not_there_is_said(store: Store) -> None:
    folder = open_remote(store.uri().replace(BUCKET, "no-such-bucket"), {})
    with pytest.raises(
        StorageError, match=r"^Cannot (read|write) 's3://no-such-bucket/.*NO_SUCH_BUCKET.*Check bucket, network and credentials"
    ):
        folder.check_writable()


@pytest.mark.parametrize("silent", [True, False])
def test_a_store_that_does_not_answer_is_said_within_20_seconds_and_without_a_secret(store: Store, silent: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if silent:
            listener.listen()
        folder = open_remote(store.uri("x", port=listener.getsockname()[1]), {})
        begun = time.monotonic()
        with pytest.raises(StorageError, match=r"^Cannot read 's3://.*NETWORK_CONNECTION") as caught:
            folder.check_writable()
        assert time.monotonic() - begun < 20
    assert not any(secret in str(caught.value) for secret in KEYS.values() if len(secret) > 4)


# --- patience


def test_a_request_is_made_again_until_the_store_is_back(store: Store) -> None:
    way = Way(store.port)
    folder = open_remote(store.uri("patience", port=way.port), {})
    folder.put("x", b"before")
    way.cut()
    mending = threading.Timer(2.0, way.mend)
    mending.start()
    folder.put("x", b"after")
    mending.join()
    assert folder.get("x") == b"after"
    way.cut()


def test_patience_ends_and_is_not_spent_again_on_a_store_that_stays_away(store: Store) -> None:
    way = Way(store.port)
    folder = replace(open_remote(store.uri("patience-ends", port=way.port), {}), patience=Patience(2.0))
    way.cut()
    assert _seconds_until_refused(folder) > 1
    assert _seconds_until_refused(folder) < 1
    way.mend()
    folder.put("x", b"")
    way.cut()
    assert _seconds_until_refused(folder) > 1


def _seconds_until_refused(folder: RemoteFolder) -> float:
    begun = time.monotonic()
    with pytest.raises(StorageError, match="Cannot write"):
        folder.put("x", b"")
    return time.monotonic() - begun
