"""The page on the house: its picture, which is drawn from the code, and the rooms and tables that it names."""

import importlib.util
import re
from importlib import import_module
from types import ModuleType

import pytest

from .markdown import DOCS, ROOT, code, rows, section

PAGE = DOCS / "architecture.md"


@pytest.fixture(scope="module", name="house")
def _house() -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", ROOT / "docs" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_up_to_date(house: ModuleType) -> None:
    """docs/house.svg shows the code as it is; `python docs/house.py` draws it again."""
    assert house.PICTURE.read_text("utf-8") == house.picture()


def test_every_room_is_drawn_once(house: ModuleType) -> None:
    """No folder or module of the package is left out of the picture."""
    drawn = re.findall(r"<text [^>]*>([^<]+)</text>", house.picture())
    assert sorted(drawn) == sorted(house.rooms())
    assert {"core", "paywall", "asgi", "wsgi"} <= set(drawn)


def test_each_room_stands_above_all_that_it_imports_from(house: ModuleType) -> None:
    """A house that has a top floor with a way around it keeps its order."""
    rooms = {"roof": {"hall", "ground"}, "hall": {"ground"}, "shed": set(), "ground": set()}
    assert house.floors(rooms) == [["ground", "shed"], ["hall"], ["roof"]]


def test_an_arrow_is_left_out_where_others_lead_the_same_way(house: ModuleType) -> None:
    """From the roof to the ground there is a way through the hall already."""
    rooms = {"roof": {"hall", "ground"}, "hall": {"ground"}, "ground": set()}
    assert house.direct(rooms) == {("roof", "hall"), ("hall", "ground")}


def test_a_circle_of_rooms_is_named(house: ModuleType) -> None:
    """It has no floor to stand on."""
    with pytest.raises(ValueError, match=r"circle: .*hall.*kitchen"):
        house.floors({"hall": {"kitchen"}, "kitchen": {"hall"}})


def test_every_room_has_its_line(house: ModuleType) -> None:
    """Whoever changes something finds each room under what belongs in it."""
    told = {room for _, rooms in rows(section(PAGE, "Which room a change belongs in")) for room in code(rooms)}
    assert set(house.rooms()) <= {room.partition("/")[0].removesuffix(".py") for room in told}


def test_every_file_that_the_page_names_is_there(house: ModuleType) -> None:
    """Those of the package by their place in it, all others by their place in the repository."""
    named = [name for name in code(PAGE.read_text("utf-8")) if re.fullmatch(r"[\w.]+(/[\w.]*)+|\w+\.py", name)]
    assert len(named) > 40
    assert not [name for name in named if not (house.PACKAGE / name).exists() and not (ROOT / name).exists()]


def test_every_table_that_the_page_names_is_there() -> None:
    """A new one of a kind is entered where the page says."""
    places = [code(place) for _, _, place in rows(section(PAGE, "To add one more"))]
    tables = [place for place in places if len(place) == 2]
    assert len(tables) > 4
    for table, file in tables:
        module = import_module(f"l402_middleware.{file.removesuffix('.py').replace('/', '.')}")
        assert len(getattr(module, table)) > 0, file
