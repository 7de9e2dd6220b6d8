"""Figures as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from studies.run_folder import write_atomically

SCREEN: Final = ("png", "svg")
_UNDATED: Final = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def save_figure(figure: Any, folder: Path, name: str, kinds: Sequence[str] = SCREEN, **settings: Any) -> list[Path]:
    """Write <name>.<kind> for each kind; the same figure gives the same bytes.

    Args:
        figure: of matplotlib.
        folder: made if missing.
        name: of the files, and what names inside of an SVG are derived from.
        kinds: of png, svg, pdf.
        settings: of matplotlib, by name; as a rule 150 dpi, and text in SVG stays text.

    Raises:
        StorageError: one cannot be written.
    """
    import matplotlib as mpl

    paths = []
    for kind in kinds:
        sink = io.BytesIO()
        with mpl.rc_context({"svg.fonttype": "none", "savefig.dpi": 150, **settings, "svg.hashsalt": name}):
            figure.savefig(sink, format=kind, metadata=_UNDATED.get(kind))
        path = folder / f"{name}.{kind}"
        write_atomically(path, sink.getvalue())
        paths.append(path)
    return paths
