"""YAML as people think it works: 1e-3 is a number, a repeated key is an error, and nothing is ever executed or expanded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from bsd_core.errors import ConfigError, one_line, printable

MAX_BYTES: Final = 65_536  # some forty times the longest study of ours; read in half a second
_MAX_DEPTH = 20


def _refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def _too_long(where: str) -> ConfigError:
    return ConfigError(printable(f"{where}: longer than {MAX_BYTES:,} bytes, which no study is."))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, less aliases (they can blow a small file up to gigabytes) and less repeated keys."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("aliases (*name) are not allowed", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _refusal("tags (!name) are not allowed", event.start_mark)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _refusal(f"nested deeper than {_MAX_DEPTH} levels", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key must be a plain name", key.start_mark)
            if key.tag == "tag:yaml.org,2002:merge":
                raise _refusal("merge keys (<<) are not allowed", key.start_mark)
            if any("\ud800" <= character <= "\udfff" for character in key.value):
                raise _refusal("a key must be valid Unicode", key.start_mark)
            if key.value in seen:
                raise _refusal(f"the key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-3 as a text, 2024-01-01 as a date, 1:30 as 90 and 010 as 8; people mean a number and three texts.
_YAML_1_1 = {f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "float", "int")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _YAML_1_1]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9]\d*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path, *, where: str) -> Any:
    """The one document in a file of UTF-8 text.

    Raises:
        ConfigError: it cannot be read, or see `parse_yaml`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8") if len(content) <= MAX_BYTES else None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(printable(f"{where}: not readable as UTF-8 text ({one_line(error, limit=100)}).")) from error
    if text is None:
        raise _too_long(where)
    return parse_yaml(text, where=where)


def parse_yaml(text: str, *, where: str) -> Any:
    """The one document in `text`.

    Raises:
        ConfigError: a syntax error, an alias, a tag, a repeated key, nesting too deep, a text too long; names `where` and the line.
    """
    if len(text) > MAX_BYTES:
        raise _too_long(where)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(printable(f"{where}{line}: not valid YAML: {error.problem or error.context}.")) from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(printable(f"{where}: not valid YAML: {one_line(error, limit=120)}.")) from None


class _Dumper(yaml.SafeDumper):
    """Quotes what `_Loader` would read as something else than a text."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def dump_yaml(document: Any) -> str:
    """Text that `parse_yaml` reads back as `document`: mappings, lists, texts, numbers, booleans, None."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
