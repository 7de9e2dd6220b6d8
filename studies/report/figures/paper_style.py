"""One style and two widths for every figure that is kept, by paper.mplstyle: a file looks the same whichever command wrote it."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from studies.report.figures.save import SCREEN, save_figure

SINGLE, DOUBLE = 3.4, 7.0  # width in inches of a column of text, and of both
_TALLEST: Final = 9.0  # inches of a page
_LOWEST: Final = 2.1  # inches that axes, their labels and a title need


def draw_for_paper(draw: Callable[[Any, Any], Any], info: Any, styles: Mapping[str, Any]) -> Any:
    """The figure in the paper's style and at the paper's width, with no text above 8 pt.

    Returns:
        A matplotlib Figure, `SINGLE` or `DOUBLE` wide.
    """
    import matplotlib as mpl
    from matplotlib.text import Text

    with mpl.rc_context(paper_style()):
        figure = draw(info, styles)
        width, height = figure.get_size_inches()
        column = SINGLE if width <= (SINGLE + DOUBLE) / 2 else DOUBLE
        figure.set_size_inches(column, min(_TALLEST, max(_LOWEST, height * column / width)))
        largest = mpl.rcParams["font.size"]
        for text in figure.findobj(Text):
            text.set_fontsize(min(text.get_fontsize(), largest))
        figure.draw_without_rendering()  # what is laid out while it is drawn is laid out in this style
    return figure


def paper_style() -> dict[str, Any]:
    """matplotlib's defaults, whatever the user's own settings are, with the paper's style over them."""
    import matplotlib as mpl

    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")}
    path = importlib.resources.files("studies.report.figures") / "paper.mplstyle"
    return defaults | dict(mpl.rc_params_from_file(str(path), use_default_template=False))


def save_for_paper(figure: Any, folder: Path, name: str, kinds: Sequence[str] = SCREEN) -> list[Path]:
    """As `save_figure`, in the paper's style.

    Raises:
        StorageError: one cannot be written.
    """
    return save_figure(figure, folder, name, kinds, **paper_style())
