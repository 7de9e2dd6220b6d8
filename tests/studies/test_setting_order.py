from __future__ import annotations

import pytest

from search_spaces import SEARCH_SPACES, SHARED
from studies.front import format_settings
from studies.setting_order import in_order


@pytest.mark.parametrize("method", SEARCH_SPACES)
def test_settings_of_every_method_are_told_in_the_order_of_its_space(method: str) -> None:
    space = SEARCH_SPACES[method]
    for names in ([*space.own, *SHARED], [*space.own, *space.extra, *SHARED], [*space.own]):
        for given in (names, reversed(names), sorted(names)):
            assert list(in_order(given)) == names


def test_names_of_no_space_stand_sorted_before_the_shared_ones() -> None:
    names = ["weight_decay", "zeta", "learning_rate", "discount", "beyond", "prior_strength"]
    assert in_order(names) == ("prior_strength", "discount", "beyond", "zeta", "learning_rate", "weight_decay")
    assert in_order([]) == ()


def test_settings_that_were_sorted_when_they_were_stored_read_as_before() -> None:
    settings = {"prior_strength": 10.0, "discount": 0.9, "temperature": 0.3, "learning_rate": 0.1, "weight_decay": 5e-4}
    text = "prior_strength 10, discount 0.9, temperature 0.3, learning_rate 0.1, weight_decay 0.0005"
    assert format_settings(settings) == format_settings(dict(sorted(settings.items()))) == text
