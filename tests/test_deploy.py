"""The files for clusters, as far as they can be checked without one."""

from __future__ import annotations

import json
import re
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import ray
import yaml

from bsd_core.errors import ConfigError
from studies.cluster import count_slots
from studies.nodes import Node
from studies.spec import StudySpec
from studies.study_file import find_study, load_spec

DEPLOY = Path(__file__).parents[1] / "deploy"

# Fields of the RayJob CRD, group ray.io, version v1 (KubeRay 1.5.1), and of the pods in it as far as they are used; True: required.
CONTAINER = {"name": True, "image": True, "env": False, "resources": False, "volumeMounts": False}
POD = {"containers": True, "volumes": False}
GROUP = {"rayStartParams": False, "template": True}
CLUSTER = {
    **dict.fromkeys(("rayVersion", "authOptions", "workerGroupSpecs", "enableInTreeAutoscaling", "autoscalerOptions", "suspend"), False),
    "headGroupSpec": True,
}
WORKERS = {**GROUP, "groupName": True, "replicas": False, "minReplicas": True, "maxReplicas": True, "numOfHosts": False}
JOB = {
    **dict.fromkeys(("activeDeadlineSeconds", "submitterPodTemplate", "metadata", "clusterSelector", "submitterConfig", "jobId"), False),
    **dict.fromkeys(("runtimeEnvYAML", "suspend", "ttlSecondsAfterFinished", "entrypointNumCpus", "entrypointNumGpus"), False),
    **dict.fromkeys(("backoffLimit", "submissionMode", "shutdownAfterJobFinishes", "managedBy", "entrypointResources"), False),
    "entrypoint": True,
    "rayClusterSpec": True,
}


def load(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8")))


def check_fields(given: dict[str, Any], known: dict[str, bool]) -> None:
    assert set(given) <= set(known)
    assert {name for name, required in known.items() if required} <= set(given)


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def entrypoint(job: dict[str, Any]) -> tuple[list[str], StudySpec]:
    """The options behind the study of the entrypoint, and the study itself."""
    python, dash_m, module, command, name, *rest = shlex.split(job["spec"]["entrypoint"])
    assert (python, dash_m, module, command) == ("python", "-m", "studies", "run")
    n_overrides = next(position for position, word in enumerate(rest) if word.startswith("--"))
    return rest[n_overrides:], load_spec(find_study(name)[1], rest[:n_overrides])


def test_the_cluster_file_passes_the_launchers_schema() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    given = load("ray-cluster.yaml")
    jsonschema.validate(given, schema)
    with pytest.raises(jsonschema.ValidationError, match="'colour' was unexpected"):
        jsonschema.validate(given | {"colour": "blue"}, schema)
    assert given["max_workers"] == len(given["provider"]["worker_ips"])
    starts = given["head_start_ray_commands"] + given["worker_start_ray_commands"]
    assert all("RAY_AUTH_MODE=token" in line for line in starts if "ray start" in line)


def test_the_job_has_the_fields_of_its_kind_and_no_others() -> None:
    job = load("rayjob.yaml")
    assert (job["apiVersion"], job["kind"], set(job)) == ("ray.io/v1", "RayJob", {"apiVersion", "kind", "metadata", "spec"})
    check_fields(job["spec"], JOB)
    check_fields(job["spec"]["rayClusterSpec"], CLUSTER)
    check_fields(job["spec"]["rayClusterSpec"]["headGroupSpec"], GROUP)
    for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        check_fields(group, WORKERS)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for pod in pods(job):
        check_fields(pod, POD)
        for container in pod["containers"]:
            check_fields(container, CONTAINER)
            assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert job["spec"]["submissionMode"] in {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_all_pods_have_one_image_of_the_pinned_ray() -> None:
    job = load("rayjob.yaml")
    assert len({container["image"] for pod in pods(job) for container in pod["containers"]}) == 1
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")
    assert f"rayproject/ray:{version('ray')}-" in (DEPLOY / "README.md").read_text(encoding="utf-8")


def test_the_entrypoint_is_a_study_of_ours_that_fits_the_pods() -> None:
    job = load("rayjob.yaml")
    options, spec = entrypoint(job)
    head, worker = pods(job)
    mounted = [mount["mountPath"] for mount in worker["containers"][0]["volumeMounts"]]
    assert options[0] == "--results"
    assert any(options[1].startswith(f"{path}/") for path in mounted)
    assert any(spec.data_dir.startswith(f"{path}/") for path in mounted)
    limits = worker["containers"][0]["resources"]["limits"]
    node = Node(float(limits["cpu"]), float(limits["nvidia.com/gpu"]))
    assert count_slots(spec, [node], where="a pod") == 4
    with pytest.raises(ConfigError, match="A trial asks for"):
        count_slots(spec, [Node(float(job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"]), 0)], where="the head")
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"].get("limits", {})


def test_the_table_of_fractions_is_what_the_tool_counts() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) CPUs, (\d+) GPUs? \| ([\d.]+) CPUs?(?:, ([\d.]+) GPU)? \| (\d+)", text, re.MULTILINE)
    assert len(rows) == 5
    _, spec = entrypoint(load("rayjob.yaml"))
    for cpus, gpus, cpus_each, gpus_each, expected in rows:
        asked = spec.model_copy(update={"cpus_per_trial": float(cpus_each), "gpus_per_trial": float(gpus_each or 0)})
        assert count_slots(asked, [Node(float(cpus), float(gpus))], where="a node") == int(expected)
