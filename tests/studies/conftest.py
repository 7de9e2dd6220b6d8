"""What several tests here need and is slow to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.studies._s3 import KEYS, Store, s3_server


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[Store]:
    with s3_server() as store:
        yield store


@pytest.fixture
def store(_s3_server: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A real S3 server on this machine, and its credentials in the environment."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return _s3_server
