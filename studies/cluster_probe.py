"""Is there a Ray cluster at an address, and may this process join it? Asked in a process of its own, `find_cluster`.

Ray's client waits for half a minute where nothing or something else answers, tells of a missing token by aborting its process, and of a
machine outside the cluster after a minute. In a child process none of that can harm or delay the study.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any, Final

from bsd_core.errors import ConfigError, one_line, shown
from studies.local_cluster import running_cluster
from studies.loopback import is_loopback, on_loopback

LIMIT_SECONDS: Final = 15  # for everything
_CONNECT_SECONDS: Final = 5
_INSTEAD: Final = "or unset RAY_ADDRESS to run on this machine"


@dataclass(frozen=True)
class FoundCluster:
    """A cluster that can be joined.

    Attributes:
        address: host:port.
        n_nodes: machines in it that are alive.
        needs_token: whether it answers only who sends the token.
    """

    address: str
    n_nodes: int
    needs_token: bool

    @property
    def local(self) -> bool:
        """Whether it listens on this machine alone, or is at least asked for there."""
        return is_loopback(self.address.rpartition(":")[0])


def find_cluster(address: str) -> FoundCluster:
    """The cluster at host:port, or the one that "auto" means; asked for 15 seconds at most.

    "auto" is the one that `make cluster` started, else the only one of which this machine is a node; a Ray that another process has
    started for itself is none.

    Raises:
        ConfigError: no such cluster, or it cannot be joined from here.
    """
    _check_form(address)
    where = f"RAY_ADDRESS={shown(address)}"
    command = [sys.executable, "-m", "studies.cluster_probe", address]
    try:
        child = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{where} did not answer as a Ray cluster does within {LIMIT_SECONDS} s. If something else listens there, give the port of the "
            f"head (6379 if ray start was not told another); if this machine or the head is merely busy, try again; {_INSTEAD}."
        ) from None
    try:
        found = json.loads(child.stdout)
    except ValueError:
        last = one_line(ValueError((child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]), limit=120)
        raise ConfigError(f"Ray cannot join the cluster at {where} ({last}). Correct the address, {_INSTEAD}.") from None
    if "problem" in found:
        raise ConfigError(found["problem"])
    return FoundCluster(**found)


def _check_form(address: str) -> None:
    if "@" in address:  # what stands before it may be a password
        given = shown(address.rpartition("@")[2])
        raise ConfigError(f"RAY_ADDRESS takes auto or host:port, without a user; after the @ stands {given}. Correct it, {_INSTEAD}.")
    scheme, separator, rest = address.partition("://")
    if separator:
        head = f"{rest.partition(':')[0] or 'head'}:6379"
        way = f"Start the study on a machine of the cluster with RAY_ADDRESS=auto or RAY_ADDRESS={head}, or as a job (deploy/README.md)."
        if scheme == "ray":
            raise ConfigError(
                f"RAY_ADDRESS={shown(address)} is of Ray Client, which would run the search out of this process's reach. {way}"
            )
        raise ConfigError(f"RAY_ADDRESS takes auto or host:port, but got {shown(address)}. {way}")
    port = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):(\d{1,5})", address)
    if address != "auto" and (port is None or not 0 < int(port[1]) < 1 << 16):
        raise ConfigError(f"RAY_ADDRESS takes auto or host:port, e.g. 10.0.0.5:6379, but got {shown(address)}. Correct it, {_INSTEAD}.")


def _search(address: str) -> FoundCluster:
    """In the child: see `find_cluster`."""
    from ray._private import services

    where = f"RAY_ADDRESS={shown(address)}"
    if address != "auto":
        return _ask(address, where)[0]
    ours = running_cluster()
    found: list[FoundCluster] = []
    refused: list[ConfigError] = []
    for candidate in [ours.address] if ours is not None else sorted(services.find_gcs_addresses()):
        try:
            cluster, private = _ask(candidate, f"{where}, found at {candidate},")
        except ConfigError as error:
            refused.append(error)
        else:
            found += [] if private else [cluster]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(cluster.address for cluster in found)
        raise ConfigError(f"This machine is in {len(found)} Ray clusters, {several}, so {where} is not clear. Set it to one of them.")
    if refused:
        raise refused[0]
    raise ConfigError(f"{where} asks for a cluster of this machine, but none runs. Start one (make cluster, ray start --head), {_INSTEAD}.")


def _check_listens(address: str, where: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"Nothing answers at {where} ({one_line(error, limit=80)}). Start the cluster, correct the address, {_INSTEAD}."
        ) from error


def _ask(address: str, where: str) -> tuple[FoundCluster, bool]:
    """The cluster at `address`, and whether it is private to the process that started it."""
    from ray._common.usage.usage_lib import get_cluster_metadata
    from ray._private import services

    _check_listens(address, where)
    client, needs_token = _client(address, where)
    metadata = get_cluster_metadata(client) or {}
    _check_versions(metadata, where)
    alive = {node_id.hex() for node_id, node in client.get_all_node_info(timeout=_CONNECT_SECONDS).items() if node.state == 0}
    if not alive & set(services.find_node_ids()):
        raise ConfigError(
            f"This machine is no node of the cluster at {where}, and a study starts on one. Start it there, as a job (deploy/README.md), "
            f"or let this machine join: ray start --address={address} --num-cpus=0."
        )
    return FoundCluster(address, len(alive), needs_token), bool(metadata.get("ray_init_cluster"))


def _client(address: str, where: str) -> tuple[Any, bool]:
    """A client of the cluster's head, and whether it had to send the token."""
    from ray._raylet import AuthenticationTokenLoader, Config, GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError

    has_token = AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
    told = os.environ.get("RAY_AUTH_MODE")
    modes = [told.lower()] if told else ["disabled", "token"]
    for mode in modes:
        if mode == "token" and not has_token:  # Ray's client would abort the process
            continue
        os.environ["RAY_AUTH_MODE"] = mode
        Config.initialize("")
        try:
            return GcsClient(address=address), mode == "token"
        except AuthenticationError:
            continue
    reason = (
        "RAY_AUTH_MODE=disabled keeps it back"
        if modes == ["disabled"]
        else "the one here is another"
        if has_token
        else "there is none here"
    )
    raise ConfigError(
        f"The cluster at {where} asks for its token, but {reason}. Copy the head's ~/.ray/auth_token to this machine, "
        "or set RAY_AUTH_TOKEN_PATH to a file with it, and RAY_AUTH_MODE=token."
    )


def _check_versions(metadata: dict[str, Any], where: str) -> None:
    from ray._private.utils import check_version_info, compute_version_info

    try:
        if metadata:
            check_version_info(metadata, "here")
    except RuntimeError:
        ray_here, python_here = compute_version_info()
        raise ConfigError(
            f"The cluster at {where} runs Ray {metadata['ray_version']} on Python {metadata['python_version']}, this machine "
            f"Ray {ray_here} on Python {python_here}. Use the same versions on all machines."
        ) from None


def _main(address: str) -> None:
    signal.alarm(LIMIT_SECONDS)  # ends this process even where who asks was killed, and Ray's code would wait on
    with on_loopback():
        try:
            answer = asdict(_search(address))
        except ConfigError as error:
            answer = {"problem": str(error)}
    print(json.dumps(answer), flush=True)
    os._exit(0)  # Ray's own threads need not be waited for


if __name__ == "__main__":
    _main(sys.argv[1])
