"""The contract: an offer that is free, a challenge, and a link to the converted file."""

from l402_middleware import sats

from .customer import PATH, order
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
