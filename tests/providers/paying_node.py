"""A real LND that pays what another real node asks for; its provider URL stands in LND_TEST_PAYER_URL."""

import base64
import json
import os
import ssl
from typing import Any

import httpx2
import pytest

from l402_middleware.providers import LND, provider_from_url

_SECONDS = 60


class PayingLND:
    """An LND with a channel to the node under test, and a macaroon that may pay."""

    def __init__(self, node: LND) -> None:
        self._node = node
        tls: Any = ssl.create_default_context(cafile=node.tls_cert) if node.tls_cert else True
        self._http = httpx2.Client(base_url=node.url, verify=tls, timeout=_SECONDS + 10, trust_env=False)

    def pay(self, bolt11: str) -> str:
        """Pay, and give the preimage in hex; waits until the payee has settled. `AssertionError` where it fails."""
        request = {
            "payment_request": bolt11,
            "timeout_seconds": _SECONDS,
            "fee_limit_sat": "10",
            "no_inflight_updates": True,
        }
        with self._http.stream("POST", "/v2/router/send", json=request, headers=self._headers()) as answer:
            # A line for each change: with no_inflight_updates only the last.
            update = json.loads(next(answer.iter_lines()))
        assert update.get("result", {}).get("status") == "SUCCEEDED", update
        preimage: str = update["result"]["payment_preimage"]
        return preimage

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _headers(self) -> dict[str, str]:
        return {"Grpc-Metadata-macaroon": self._node.macaroon}


class HoldingLND:
    """The node under test as one that holds: its invoices are for a preimage of ours, and nobody else may settle them.

    A payment of such an invoice stays ACCEPTED, which is not settled, until `settle`.
    """

    granularity_msat = 1

    def __init__(self, node: LND) -> None:
        self.network = node.network
        self._node = node
        tls: Any = ssl.create_default_context(cafile=node.tls_cert) if node.tls_cert else True
        self._http = httpx2.Client(base_url=node.url, verify=tls, timeout=20, trust_env=False)

    def invoice(self, payment_hash: bytes, msat: int, memo: str, expiry: int) -> str:
        """A hold invoice for that hash."""
        hold = {"hash": _base64(payment_hash), "value_msat": str(msat), "memo": memo, "expiry": str(expiry)}
        bolt11: str = self._post("hodl", hold)["payment_request"]
        return bolt11

    def settle(self, preimage: bytes) -> None:
        """Take the payment for good."""
        self._post("settle", {"preimage": _base64(preimage)})

    def cancel(self, payment_hash: bytes) -> None:
        """Give the payment back."""
        self._post("cancel", {"payment_hash": _base64(payment_hash)})

    def state(self, payment_hash: bytes) -> str:
        """OPEN, ACCEPTED, SETTLED or CANCELED."""
        answer = self._http.get(f"/v1/invoice/{payment_hash.hex()}", headers=self._headers())
        state: str = answer.raise_for_status().json()["state"]
        return state

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _post(self, what: str, content: dict[str, str]) -> Any:
        answer = self._http.post(f"/v2/invoices/{what}", json=content, headers=self._headers())
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _headers(self) -> dict[str, str]:
        return {"Grpc-Metadata-macaroon": self._node.macaroon}


def paying_node() -> PayingLND:
    """The one that the environment names; skips the running test without."""
    url = os.environ.get("LND_TEST_PAYER_URL")
    if not url:
        pytest.skip("LND_TEST_PAYER_URL is not set")
    node = provider_from_url(url)
    assert isinstance(node, LND)
    return PayingLND(node)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
