"""Figures as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from studies.run_folder import write_atomically


def save_figure(figure: Any, folder: Path, name: str) -> list[Path]:
    """Write <name>.png and <name>.svg; the same figure gives the same bytes."""
    paths = []
    for kind in ("png", "svg"):
        sink = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else None
        import matplotlib as mpl

        with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
            figure.savefig(sink, format=kind, dpi=150, metadata=metadata)
        path = folder / f"{name}.{kind}"
        write_atomically(path, sink.getvalue())
        paths.append(path)
    return paths
