"""For schemathesis: who pays for every order that is quoted, with the development wallet."""

from typing import Any
from urllib.parse import urljoin

import requests
import schemathesis

SECONDS = 30


@schemathesis.auth(refresh_interval=None)
class Payer:
    """Sends the order without a credential, pays the invoice of a 402, and gives the credential for the same order."""

    def get(self, case: Any, context: Any) -> str | None:
        """The credential; None for what is refused before the 402, or free."""
        order = case.as_transport_kwargs(base_url=case.operation.base_url)
        challenge = requests.request(**order, timeout=SECONDS)
        if challenge.status_code != 402:
            return None
        quoted = challenge.json()
        wallet = urljoin(challenge.url, "/dev/wallet/pay")
        paid = requests.get(wallet, params={"invoice": quoted["invoice"]}, timeout=SECONDS)
        paid.raise_for_status()
        return f"L402 {quoted['macaroon']}:{paid.json()['preimage']}"

    def set(self, case: Any, credential: str | None, context: Any) -> None:
        """Put the credential into the order, where there is one."""
        if credential is not None:
            case.headers["Authorization"] = credential
