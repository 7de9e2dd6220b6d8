"""Maps of features for the page."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from studies.report.charts.base import Trace
from studies.report.charts.panels import panel_axes, panel_layout
from studies.report.class_colours import MOST, class_colour
from studies.report.infos.features import FeatureMap, FeaturesInfo
from studies.report.section import Chart, Styles

_COLUMNS, _HEIGHT = 3, 280  # panels a row, pixels
_TITLE = 52  # pixels of three lines


def features_charts(info: FeaturesInfo, styles: Styles) -> list[Chart]:
    """One chart with a variant a condition and a panel a method; above ten classes colours turn, and only the hover tells classes apart."""
    alt = "Maps of test images by the features of confirmed networks, a panel a method, coloured by class; the table has Recall@1."
    return [Chart("features", alt, {condition: _variant(info, condition) for condition in info.conditions})]


def _variant(info: FeaturesInfo, condition: str) -> dict[str, Any]:
    members = [one for one in info.maps if one.condition == condition]
    many = len(info.classes) > MOST
    traces = [trace for index, one in enumerate(members) for trace in _traces(one, index, info.classes, many=many)]
    hidden = {"visible": False}
    names = [one.method for one in members]
    layout = panel_layout(names, columns=_COLUMNS, height=_HEIGHT, x="", y="", xaxis=hidden, yaxis=hidden, showlegend=not many)
    for index in range(len(members)):  # maps are of no common scale, and equally long both ways
        here = panel_axes(index)
        for letter in "xy":
            layout[f"{letter}axis{here[f'{letter}axis'][1:]}"].pop("matches", None)
        layout[f"yaxis{here['yaxis'][1:]}"] |= {"scaleanchor": here["xaxis"], "constrain": "domain"}
        layout[f"xaxis{here['xaxis'][1:]}"] |= {"constrain": "domain"}
    for title, one in zip(layout["annotations"], members, strict=True):  # short lines, for narrow screens
        title |= {"text": "<br>".join([title["text"], *one.quality]), "align": "left", "font": {"size": 11}}
    layout["margin"] |= {"l": 8, "t": _TITLE}
    layout["height"] += _TITLE
    small = {"title": {"text": "class ", "font": {"size": 11}}, "font": {"size": 11}, "entrywidth": 18, "itemsizing": "constant"}
    layout["legend"] |= small | {"yref": "container", "y": 0, "yanchor": "bottom"}  # on narrow screens, too, within the chart
    return {"data": traces, "layout": layout}


def _traces(one: FeatureMap, panel: int, classes: list[int], *, many: bool) -> list[Trace]:
    """A trace a class, or a colour where classes are many."""
    turn = np.searchsorted(classes, one.targets) % MOST
    traces: list[Trace] = []
    for number in np.unique(turn).tolist():
        own = turn == number
        x, y = (np.round(one.places[own, axis].astype(float), 1).tolist() for axis in (0, 1))
        name = str(classes[number])
        trace: Trace = {
            "type": "scatter",
            "mode": "markers",
            "x": x,
            "y": y,
            "marker": {"color": class_colour(number), "size": 4},
            "hovertemplate": f"{html.escape(one.method)}<br>class {'%{text}' if many else name}<extra></extra>",
            **panel_axes(panel),
        }
        trace |= {"text": one.targets[own].tolist()} if many else {"name": name, "legendgroup": name, "showlegend": panel == 0}
        traces.append(trace)
    return traces
