"""Where results in an object store go: a URI, and the pyarrow filesystem behind it.

Credentials come from where the store's own tools look for them (the environment, a profile, the role of a machine), never from a URI:
that ends in logs, tables and shell histories.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from bsd_core.errors import ConfigError, StorageError, shown, unknown_name
from studies.remote_folder import WAY_OUT, RemoteFolder, reason

_OPTIONS: Final = {"s3": ("endpoint_override", "region", "scheme"), "gs": ()}  # by scheme, as pyarrow takes them
_CONNECT_SECONDS, _SILENT_SECONDS = 4, 7  # after which a request fails; a write that fails is tried once more by the store's client


def is_uri(text: str) -> bool:
    """Whether that names no path of this machine; s3:bucket, in which // was forgotten, is meant to name none either."""
    return re.match(rf"[A-Za-z][A-Za-z0-9+.-]*://|({'|'.join(_OPTIONS)}):", text, re.IGNORECASE) is not None


def open_remote(uri: str, environment: Mapping[str, str] = os.environ) -> RemoteFolder:
    """The folder that a URI names, such as s3://bucket/folder?region=eu-west-1; nothing is asked of the store yet, but its region.

    Args:
        uri: s3: with `region`, `scheme` and `endpoint_override`, or gs: as pyarrow takes it.
        environment: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION and AWS_DEFAULT_REGION, which the URI overrules.

    Raises:
        ConfigError: another scheme, an unknown option, no bucket, or credentials in it.
        StorageError: the region of the bucket cannot be found out.
    """
    scheme = uri.partition(":")[0].lower()
    if scheme not in _OPTIONS:
        raise ConfigError(f"Results go to a folder, to s3://bucket/folder or to gs://bucket/folder, but got a {shown(scheme)} URI.")
    if "@" in uri or re.match(r"[^/]*//[^/?]*:", uri):  # and it is not shown
        raise ConfigError(
            f"The {scheme}: URI for results holds a user or a key (@ or : before the path). Put credentials into the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and write s3://bucket/folder."
        )
    try:
        parts = urlsplit(uri)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigError(f"{shown(uri)} is no URI for results. Write s3://bucket/folder?region=name.") from None
    if unknown := sorted(options.keys() - set(_OPTIONS[scheme])):
        raise unknown_name(f"option of a {scheme}: URI", unknown[0], _OPTIONS[scheme])
    names = [parts.netloc, *(name for name in parts.path.split("/") if name)]
    if not names[0] or parts.fragment or any(name in (".", "..") or not name.isprintable() for name in names):
        raise ConfigError(f"{shown(uri)} names no folder in a bucket. Write s3://bucket/folder.")
    try:
        filesystem = _s3(names[0], options, environment) if scheme == "s3" else _gs(names[0])
    except (OSError, ValueError) as error:
        raise StorageError(f"Cannot open {shown(f'{scheme}://{names[0]}')}: {reason(error)}. {WAY_OUT}") from None
    return RemoteFolder(filesystem, "/".join(names), scheme, f"?{parts.query}" if parts.query else "")


def _s3(bucket: str, options: Mapping[str, str], environment: Mapping[str, str]) -> Any:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    endpoint = options.get("endpoint_override") or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""
    scheme, _, host = endpoint.rpartition("://")
    region = options.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return S3FileSystem(
        region=region or ("us-east-1" if endpoint else resolve_s3_region(bucket)),  # other makers' stores have none
        scheme=options.get("scheme") or scheme or "https",
        endpoint_override=host.rstrip("/") or None,
        tls_ca_file_path=environment.get("AWS_CA_BUNDLE"),
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_SILENT_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),
        allow_delayed_open=True,  # a small object is one request
    )


def _gs(bucket: str) -> Any:
    from pyarrow.fs import FileSystem

    filesystem, _ = FileSystem.from_uri(f"gs://{bucket}?retry_limit_seconds=15")
    return filesystem
