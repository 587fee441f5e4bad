"""The conversion service as an operator deploys it, its wallet in the environment: invoices made and paid by LNbits."""

import base64
import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx2
import pytest
from file_conversion import app, flask_app
from PIL import Image
from starlette.types import ASGIApp

from .lab import LNbitsServer

pytestmark = pytest.mark.slow

PATH = "/api/l402/file-conversion"


@pytest.fixture(params=["starlette", "flask"])
def customer(
    request: pytest.FixtureRequest,
    lnbits: LNbitsServer,
    serve: Callable[[ASGIApp], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[httpx2.Client]:
    """A client of the service, which knows its wallet from nothing but the environment."""
    provider = lnbits.url.replace("http://", "lnbits+http://") + f"?invoice_key={lnbits.invoice_key}"
    for name, value in (("L402_PROVIDER", provider), ("DATA_FOLDER", str(tmp_path)), ("ENV", "production")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("L402_DEV", raising=False)
    if request.param == "starlette":
        with httpx2.Client(base_url=serve(app.create_app()), timeout=30, trust_env=False) as client:
            yield client
    else:
        flask = flask_app.create_app()
        with httpx2.Client(base_url="http://127.0.0.1", transport=httpx2.WSGITransport(flask.wsgi_app)) as client:
            yield client
        flask.extensions["l402"].close()


def test_a_conversion_is_paid_from_another_wallet(customer: httpx2.Client, lnbits: LNbitsServer) -> None:
    """Unpaid, a challenge with LNbits' invoice; paid from another wallet, the link; and the operator has the money."""
    png = BytesIO()
    Image.new("RGB", (40, 30), "teal").save(png, "PNG")
    body = json.dumps(
        {
            "file": base64.b64encode(png.getvalue()).decode(),
            "file_name": "teal.png",
            "extensionFrom": "png",
            "extensionTo": "webp",
        }
    ).encode()
    challenge = customer.post(PATH, content=body)
    assert challenge.status_code == 402
    asked = challenge.json()
    unpaid = customer.post(PATH, content=body, headers={"Authorization": f"L402 {asked['macaroon']}:{'00' * 32}"})
    assert (unpaid.status_code, unpaid.json()["code"]) == (402, "invalid-preimage")

    credential = f"L402 {asked['macaroon']}:{lnbits.pay(asked['invoice'])}"
    answer = customer.post(PATH, content=body, headers={"Authorization": credential})
    assert answer.status_code == 200
    file = customer.get(answer.json()["url"])
    assert file.headers["Content-Type"] == "image/webp"
    with Image.open(BytesIO(file.content), formats=["WEBP"]) as image:
        assert image.size == (40, 30)
    again = customer.post(PATH, content=body, headers={"Authorization": credential})
    assert again.json() == answer.json()

    # There is no development wallet beside a real one.
    assert customer.get("/dev/wallet/pay", params={"invoice": asked["invoice"]}).status_code == 404
    received = lnbits.received(asked["payment_hash"])
    assert received == {"paid": True, "memo": "file conversion", "msat": asked["amount_sats"] * 1000}
