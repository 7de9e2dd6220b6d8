"""Nothing that is read is ever executed: the forms that could are looked for in the source, wherever they stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for package in ("bsd_core", "search_spaces", "studies") for path in (ROOT / package).rglob("*.py"))

# Modules whose readers build objects, call what a file names, or hand text to a shell or an interpreter.
NEVER_IMPORTED = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "dbm", "code", "codeop", "runpy", "imp"),
    *("pickletools", "jsonpickle", "ray.cloudpickle", "torch.package", "torch.hub", "pty", "commands", "xml", "xmlrpc", "pandas"),
}
# But for what reads nothing: the name of an exception; what sends a module of ours to Ray; whether a package is there.
MAY_IMPORT = {
    *(("bsd_core/checkpoint.py", "pickle"), ("studies/nodes.py", "ray.cloudpickle"), ("studies/nodes.py", "importlib.util.find_spec")),
}
MAY_USE = {
    ("bsd_core/checkpoint.py", "pickle"): {"UnpicklingError"},
    ("studies/nodes.py", "cloudpickle"): {"register_pickle_by_value", "unregister_pickle_by_value"},
}
USABLE_UNIMPORTED = {"pickle", "cloudpickle", "ray.cloudpickle", "torch.package", "torch.hub"}  # as parts of others, or allowed above
# Functions and methods that execute text or bytes.
NEVER_CALLED = {"eval", "exec", "compile", "__import__", "breakpoint"}
NEVER_CALLED_METHODS = {
    *("system", "popen", "unsafe_load", "full_load", "load_all", "unsafe_load_all", "full_load_all", "import_module", "exec_module"),
    *("read_pickle", "to_pickle", "load_state_dict_from_url", "fromfile", "deserialize", "register_extension_type"),
    *("spawnl", "spawnv", "execl", "run_path", "run_module"),
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, and every name from one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call: the node, what it is called on (`torch`, `np.lib.format`, or nothing), and the function's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, ast.unparse(node.func.value), node.func.attr
            elif isinstance(node.func, ast.Name):
                yield node, "", node.func.id


def faults(tree: ast.Module, file: str) -> list[str]:
    """What could execute something, in words."""
    found = [f"imports {module}" for module in imported(tree) if _can_execute(module) and (file, module) not in MAY_IMPORT]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (owner := ast.unparse(node.value)) in USABLE_UNIMPORTED:
            found += [f"uses {owner}.{node.attr}"] * (node.attr not in MAY_USE.get((file, owner), set()))
    return found + [
        f"line {call.lineno}: {ast.unparse(call):.60}" for call, owner, name in calls(tree) if _is_unsafe(call, owner, name, file)
    ]


def _can_execute(module: str) -> bool:
    if module.partition(".")[0] == "importlib":
        return not module.startswith(("importlib.metadata", "importlib.resources"))
    return not NEVER_IMPORTED.isdisjoint({module, module.rpartition(".")[0], module.partition(".")[0]})


def _is_unsafe(call: ast.Call, owner: str, name: str, file: str) -> bool:
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in (NEVER_CALLED_METHODS if owner else NEVER_CALLED):
        return True
    if (owner, name) == ("torch", "load"):
        return given.get("weights_only") != "True"
    if name == "read_array":
        return given.get("allow_pickle") != "False"
    if owner == "yaml" and name in ("load", "compose", "parse", "scan"):
        return not (file == "studies/yaml_strict.py" and given.get("Loader") == "_Loader")
    return given.get("allow_pickle", "False") != "False" or ("shell" in given and given["shell"] != "False")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_reads_without_executing(path: Path) -> None:
    assert faults(ast.parse(path.read_text(encoding="utf-8")), path.relative_to(ROOT).as_posix()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "import importlib",
        "from importlib import import_module",
        "import importlib.util",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "ray.cloudpickle.loads(content)",
        "from torch import hub",
        "torch.hub.load(repository, name)",
        "np.lib.format.read_array(file)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text, Loader=_Loader)",  # but in one file
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "__import__(name)",
        "os.system(command)",
        "subprocess.run(command, shell=True)",
        "pickle.loads(content)",
    ],
)
def test_every_form_that_could_execute_is_seen(source: str) -> None:
    assert faults(ast.parse(source), "studies/other.py") != []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, map_location='cpu', weights_only=True)",
        "from importlib import metadata",
        "np.load(path)",
        "model.eval()",
        "re.compile(pattern)",
        "subprocess.run(['git', 'status'])",
    ],
)
def test_forms_that_read_data_alone_are_allowed(source: str) -> None:
    assert faults(ast.parse(source), "studies/other.py") == []


def test_there_are_files_to_look_at() -> None:
    assert len(FILES) > 150
