"""The catalogue: what is offered, described and priced."""

import json
from importlib.util import find_spec

import pytest
from file_conversion.catalogue import ALIASES, MAX_FILE_BYTES, MEDIA_TYPES, MIB, PAIRS, Engine, canonical, description
from file_conversion.inspection import CHECKS
from file_conversion.order import Order, price


def test_description_lists_every_pair_with_its_price() -> None:
    """What GET answers survives JSON and names each pair once, with the two figures its price is made of."""
    told = json.loads(json.dumps(description()))["conversions"]
    listed = {(source, target): figures for source, targets in told.items() for target, figures in targets.items()}
    assert listed.keys() == PAIRS.keys()
    assert listed["docx", "pdf"] == {"base_sats": 19, "sats_per_mib": 2, "engine": "word", "seconds": 60}


@pytest.mark.parametrize("pair", [("docx", "pdf"), ("png", "webp"), ("mp4", "mp3"), ("svg", "png"), ("pdf", "txt")])
def test_the_best_known_pairs_are_offered(pair: tuple[str, str]) -> None:
    """The conversions that people ask for first exist."""
    assert pair in PAIRS


def test_an_engine_without_its_packages_is_not_on_offer() -> None:
    """What is not installed is not sold."""
    assert not Engine("images", 1, 1, seconds=1, memory_mib=1, needs=("PIL", "no_such_package")).is_installed
    assert all(engine.is_installed for engine in PAIRS.values())


def test_every_pair_can_be_checked_named_and_run() -> None:
    """Each source has a check of its bytes, each target a media type, each engine a module."""
    for (source, target), engine in PAIRS.items():
        assert source != target
        assert source in CHECKS
        assert target in MEDIA_TYPES
        assert find_spec(f"file_conversion.engines.{engine.name}")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("png", "png"),
        (".PNG", "png"),
        (" .Jpeg ", "jpg"),
        ("TIF", "tiff"),
        ("..png", ".png"),
        ("", ""),
        ("htm", "html"),
    ],
)
def test_extensions_have_one_name(written: str, meant: str) -> None:
    """Case, one leading dot and synonyms do not matter."""
    assert canonical(written) == meant


def test_aliases_lead_to_formats_on_offer() -> None:
    """A synonym stands for something that is sold, and hides nothing that is."""
    formats = {name for pair in PAIRS for name in pair}
    assert set(ALIASES.values()) <= formats
    assert not formats & ALIASES.keys()


@pytest.mark.parametrize(("size", "sats"), [(1, 21), (MIB, 21), (MIB + 1, 23), (MAX_FILE_BYTES, 39)])
def test_price_counts_each_begun_mib(size: int, sats: int) -> None:
    """Docx to pdf costs 19 sats and 2 for each begun MiB, in whole sats."""
    assert price(Order(b"x" * size, "name", "docx", "pdf")) == sats
