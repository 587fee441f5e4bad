"""The conversion service sells its conversion; descriptions and downloads are free, and nothing else is there."""

from pathlib import Path

from file_conversion import app, flask_app
from file_conversion.catalogue import MAX_BODY_BYTES
from file_conversion.shop import PATHS, Shop

from l402_middleware import Paywall
from l402_middleware.audit import audit
from l402_middleware.providers import DevNode
from l402_middleware.testing import assert_priced


def test_starlette(tmp_path: Path) -> None:
    """Case 66: in Starlette, only the conversion costs something, and is guarded."""
    service = app.create_app(Shop(tmp_path), Paywall(DevNode()))
    assert_priced(service, except_={*(f"GET {path}" for path in PATHS), "/openapi.json", "/files/{identity}/{name}"})
    sold = {str(finding): finding.verdict.offer for finding in audit(service) if finding.verdict.offer is not None}
    assert sold.keys() == {f"POST {path}" for path in PATHS}
    assert {offer.max_body for offer in sold.values()} == {MAX_BODY_BYTES}


def test_flask(tmp_path: Path) -> None:
    """Case 66: in Flask, only the conversion costs something, and is guarded."""
    service = flask_app.create_app(Shop(tmp_path), Paywall(DevNode()))
    free = {"/openapi.json", "/files/<identity>/<name>", "/static/<path:filename>"}
    assert_priced(service, except_=free | {f"GET {path}" for path in PATHS})
    assert {str(finding) for finding in audit(service) if finding.verdict.offer} == {f"POST {path}" for path in PATHS}
