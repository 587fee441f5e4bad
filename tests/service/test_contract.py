"""The contract: an offer that is free, a challenge, and a link to the converted file."""

import pytest
from file_conversion.engines import typefaces
from file_conversion.shop import PATHS

from l402_middleware import sats

from .customer import PATH, code_of, order
from .in_process import Service
from .results import check_mp3, check_pdf, check_webp


def test_the_offers_are_free(service: Service) -> None:
    """GET says what is sold, at which price, and asks for no payment."""
    answer = service.customer.http.get(PATH)
    assert answer.status_code == 200
    offers = answer.json()
    assert offers["conversions"]["docx"]["pdf"] == {"base_sats": 19, "sats_per_mib": 2, "engine": "word", "seconds": 60}
    assert {"png", "mp4"} <= offers["conversions"].keys()
    assert offers["max_file_bytes"] == 10 * 1024 * 1024
    assert service.node.invoiced == []


def test_an_unpaid_order_is_a_challenge(service: Service, png_to_webp: bytes) -> None:
    """The 402 names the price in its body, and carries macaroon and invoice in both places that clients look."""
    answer = service.customer.ask(png_to_webp)
    assert answer.status_code == 402
    asked = answer.json()
    assert (asked["code"], asked["amount_sats"]) == ("payment-required", 5)
    assert asked["macaroon"] in answer.headers["WWW-Authenticate"]
    assert asked["invoice"] in answer.headers["WWW-Authenticate"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert service.node.invoiced == [sats(5)]
    assert service.sandbox.runs == 0


def test_a_word_document_becomes_a_pdf(service: Service, docx: bytes) -> None:
    """Case 75: paid, the very same body gives a link, and the link gives a PDF with the document's text."""
    check_pdf(service.customer.fetch(service.customer.buy(order(docx, "docx", "pdf", "report.docx"))))


def test_a_picture_becomes_a_webp(service: Service, png_to_webp: bytes) -> None:
    """A PNG becomes a WebP of the same size."""
    check_webp(service.customer.fetch(service.customer.buy(png_to_webp)))


def test_a_movie_becomes_its_sound(service: Service, mp4: bytes) -> None:
    """An mp4 of two seconds becomes an mp3 of two seconds."""
    check_mp3(service.customer.fetch(service.customer.buy(order(mp4, "mp4", "mp3"))))


def test_a_data_uri_and_an_alias_are_understood(service: Service, png_to_webp: bytes) -> None:
    """Browsers hand files over as data URIs, and people write `.PNG`."""
    body = png_to_webp.replace(b'"file": "', b'"file": "data:image/png;base64,').replace(b'"png"', b'".PNG"')
    assert body != png_to_webp
    check_webp(service.customer.fetch(service.customer.buy(body)))


def test_a_quote_makes_no_invoice(service: Service) -> None:
    """GET with a pair and a size says the price; aliases are understood; what is not on offer is refused."""
    asked = {"extensionFrom": ".JPEG", "extensionTo": "webp", "bytes": str(1024 * 1024 + 1)}
    for path in PATHS:
        quoted = service.customer.http.get(path, params=asked)
        assert quoted.status_code == 200
        assert quoted.json() == {"extensionFrom": "jpg", "extensionTo": "webp", "bytes": 1_048_577, "sats": 6}
    for wrong, status, code in (
        ({"extensionTo": "exe"}, 422, "unknown-pair"),
        ({"bytes": "many"}, 422, "no-size"),
        ({"bytes": "0"}, 413, "file-too-large"),
        ({"bytes": "99999999"}, 413, "file-too-large"),
    ):
        refused = service.customer.http.get(PATH, params=asked | wrong)
        assert (refused.status_code, code_of(refused)) == (status, code)
    assert service.node.invoiced == []


def test_what_is_lost_is_said(service: Service) -> None:
    """What the target cannot hold stands beside the link."""
    answer = service.customer.buy(order(b"name\n=1+1\n", "csv", "tsv"))
    assert answer.json().keys() == {"url", "notes"}
    assert "=" in answer.json()["notes"][0]


def test_the_other_path(service: Service, png_to_webp: bytes) -> None:
    """The endpoint's newer name sells the same; what one name sold, the other does not redeem."""
    headers = {"Content-Type": "application/json"}
    credential = service.customer.pay(service.customer.http.post(PATHS[1], content=png_to_webp, headers=headers))
    assert service.customer.ask(png_to_webp, credential).status_code == 402
    paid = service.customer.http.post(PATHS[1], content=png_to_webp, headers=headers | {"Authorization": credential})
    check_webp(service.customer.fetch(paid))


def test_letters_without_a_font_are_not_sold(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no font can draw is refused before the invoice."""
    monkeypatch.setattr(typefaces, "faces", tuple)
    answer = service.customer.ask(order(b"words", "txt", "pdf"))
    assert (answer.status_code, code_of(answer)) == (422, "no-font")
    assert service.node.invoiced == []
