"""Methods look different from each other, the same way in every chart."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from bsd_core.methods import METHODS
from studies.report.palette import styles


def test_no_two_methods_look_alike() -> None:
    found = styles(METHODS)
    assert len({(style.colour, style.marker) for style in found.values()}) == len(METHODS) > 20


@given(st.lists(st.sampled_from([*METHODS, "my_own", "another"]), min_size=1, max_size=7, unique=True))
def test_seven_methods_differ_in_colour_and_in_marker(methods: list[str]) -> None:
    found = styles(methods)
    assert list(found) == methods
    assert len({style.colour for style in found.values()}) == len({style.marker for style in found.values()}) == len(methods)


@given(st.lists(st.sampled_from(list(METHODS)), unique=True))
def test_methods_that_most_studies_compare_look_the_same_in_all(others: list[str]) -> None:
    assert styles([*others, "cs_kd", "bsd"])["bsd"] == styles(["bsd"])["bsd"]
    assert styles([*others, "bsd", "cs_kd"])["cs_kd"] == styles(["cs_kd"])["cs_kd"]


def test_plotly_and_matplotlib_know_the_markers() -> None:
    from matplotlib.markers import MarkerStyle
    from plotly.graph_objects import Scatter

    for style in styles(METHODS).values():
        assert MarkerStyle(style.mpl_marker).get_marker() == style.mpl_marker
        assert Scatter(marker={"symbol": style.marker}, line={"dash": style.line, "color": style.faint()}).marker.symbol == style.marker


def test_colours_can_be_told_from_white_and_from_black() -> None:
    """Contrast by WCAG 2, at least 2 to 1 on the page's light and dark ground; markers and lines tell what colour does not."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for style in styles(METHODS).values():
        assert re.fullmatch("#[0-9A-F]{6}", style.colour)
        own = luminance(style.colour)
        assert (luminance("#ffffff") + 0.05) / (own + 0.05) >= 2
        assert (own + 0.05) / (luminance("#15171b") + 0.05) >= 3
