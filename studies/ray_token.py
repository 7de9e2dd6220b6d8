"""The token without which nobody on this machine may use a Ray that we start."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from bsd_core.errors import StorageError, one_line


def with_token(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Ray asks for its token, which is made where Ray looks for it if there is none, as a local Ray does.

    Raises:
        StorageError: it cannot be made.
    """
    if environment.get("RAY_AUTH_MODE"):
        return dict(environment)
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & environment.keys():
        try:
            _make(Path.home() / ".ray" / "auth_token")
        except (OSError, RuntimeError) as error:
            raise StorageError(
                f"Ray's token cannot be made in ~/.ray ({one_line(error, limit=120)}). Let HOME be a folder that you can write to, or set "
                "RAY_AUTH_TOKEN_PATH to a file with 32 or more random characters."
            ) from error
    return {**environment, "RAY_AUTH_MODE": "token"}


def _make(file: Path) -> None:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as sink:
            sink.write(secrets.token_hex(32))
