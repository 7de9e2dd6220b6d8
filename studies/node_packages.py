"""Do the nodes of a cluster compute with the same packages as this machine?"""

from __future__ import annotations

from collections.abc import Mapping

from bsd_core.errors import ConfigError
from studies.nodes import PACKAGES, Inspection, Node


def check_packages(here: Inspection, there: Mapping[Node, Inspection]) -> None:
    """Refuse nodes on which a trial could not run, or would compute other numbers.

    Raises:
        ConfigError: names node and package.
    """
    for node, inspection in there.items():
        for name, version in inspection.versions.items():
            if version is None:
                raise ConfigError(
                    f"Node {node.name} has no {name}, which trials import. Install it there (pip install {PACKAGES[name]}), or take the "
                    "node out of the cluster."
                )
        ours, theirs = here.versions["torch"], inspection.versions["torch"]
        if _minor(ours) != _minor(theirs):
            raise ConfigError(
                f"Node {node.name} has torch {theirs} and this machine torch {ours}, so that their numbers could differ. Install the same "
                "version on all nodes."
            )


def differing_packages(here: Inspection, there: Mapping[Node, Inspection]) -> str:
    """A line on packages of other versions that `check_packages` lets pass, since trials run with them; empty where there are none."""
    differing = {
        node: ", ".join(
            f"{PACKAGES[name]} {theirs} (here {here.versions[name]})"
            for name, theirs in inspection.versions.items()
            if _release(theirs) != _release(here.versions[name])
        )
        for node, inspection in there.items()
    }
    said = [f"node {node.name} has {packages}" for node, packages in differing.items() if packages]
    if not said:
        return ""
    others = f"; {len(said) - 1} more of {len(there)} nodes have others, too" if len(said) > 1 else ""
    return f"Packages differ, so that numbers could: {said[0]}{others}."


def _release(version: str | None) -> str:
    return str(version).partition("+")[0]  # torch's build for a GPU is of the same source


def _minor(version: str | None) -> list[str]:
    return str(version).split(".")[:2]
