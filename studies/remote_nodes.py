"""Can every node of a cluster write where the checkpoints of trials go, if that is an object store?"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence

from bsd_core.errors import BSDError, one_line
from studies.nodes import UNSEEN, Node, ask, refuse_nodes
from studies.remote_folder import RemoteFolder
from studies.remote_uri import open_remote


def check_store_writes(folder: RemoteFolder, nodes: Sequence[Node]) -> None:
    """Let every node write an object into `folder`, and look for it here; nothing of it stays.

    Only the URI travels: a node uses its own credentials.

    Raises:
        ConfigError: not all nodes write there; names them and the way out.
        StorageError: this machine cannot.
    """
    probe = folder / f".probe-{uuid.uuid4().hex[:12]}"
    probe.put("driver", b"probe")
    try:
        answers = ask(nodes, write_object, probe.uri)
        seen = probe.files()
        problems = {node: problem or UNSEEN * (name not in seen) for node, (name, problem) in answers.items()}
    finally:
        with contextlib.suppress(BSDError):
            probe.remove(probe.files())
    refuse_nodes(folder, problems, "Give all nodes credentials for it (in their environment, or by a role),")


def write_object(probe: str) -> tuple[str, str]:
    """Asked of a node: what it has written into the folder that this URI names, and why it could not, which is empty if it could."""
    name = uuid.uuid4().hex
    try:
        folder = open_remote(probe).impatient()
        if folder.get("driver") is None:
            return name, "it is not the same store there"
        folder.put(name, b"")
    except BSDError as error:
        return name, one_line(error)
    return name, ""
