from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.attention.visits import Place
from apps.links import address, place_from

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=40).filter(
    lambda text: text == text.strip()
)
shares = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
places = st.builds(
    Place,
    model=names,
    weights=st.sampled_from(["default", "none"]),
    image=names,
    layer=st.none() | st.integers(0, 48),
    head=st.integers(-1, 24),
    query=st.none() | st.integers(-6, 5000),
    reverse=st.booleans(),
    low=shares,
    high=shares,
).filter(lambda place: place.low <= place.high)


def read(link: str) -> tuple[Place, tuple[str, ...]]:
    return place_from(Place, dict(parse_qsl(link.removeprefix("?"))))


@given(place=places)
@settings(deadline=None)
def test_an_address_leads_back_to_its_place(place: Place) -> None:
    assert read(address(place)) == (place, ())


def test_the_address_of_the_start_is_short() -> None:
    assert address(Place()) == "?model=lab%2Fvit&image=chelsea"
    assert read("") == (Place(), ())


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("?layer=two", "layer='two': expected a whole number"),
        ("?query=1e9", "query='1e9': expected a whole number"),
        ("?query=99999999999999999999", "expected a whole number"),
        ("?low=nan", "low='nan': expected a number from 0 to 1"),
        ("?high=7", "expected a number from 0 to 1"),
        ("?weights=/etc/passwd", "expected default or none"),
        ("?reverse=yes", "expected 0 or 1"),
        ("?model=%20", "expected a model's name"),
        ("?image=" + "x" * 999, "expected a photo's name"),
        ("?low=0.5&high=0.1", "band runs from 0.5 down to 0.1"),
    ],
)
def test_what_a_link_says_wrongly_is_named_and_the_rest_is_kept(link: str, expected: str) -> None:
    place, complaints = read(link + "&head=2")
    assert place == Place(head=2)
    assert len(complaints) == 1
    assert expected in complaints[0]
    assert len(complaints[0]) < 200
