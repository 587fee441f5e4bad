"""A wallet of its own process, to be stopped and killed: `python -m tests.faults.node PORT`.

It answers as LNbits does, with invoices that `shop.Wallet` can pay.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import sats
from l402_middleware.flow import drive
from l402_middleware.providers import DevNode, InvoiceRequest
from tests.adapters.servers import KEY


class Wallet(BaseHTTPRequestHandler):
    """`POST /api/v1/payments`."""

    protocol_version = "HTTP/1.1"
    maker = DevNode()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        made = drive(self.maker.create_invoice(InvoiceRequest(sats(asked["amount"]), asked["memo"], asked["expiry"])))
        assert made.payment_hash is not None
        body = json.dumps({"bolt11": made.bolt11, "payment_hash": made.payment_hash.hex()}).encode()
        # In one piece: in two, as http.server sends it, the second packet would wait for the first one's receipt.
        self.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


class Server(ThreadingHTTPServer):
    """As many threads as there are connections."""

    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is nothing to report."""


if __name__ == "__main__":
    Wallet.maker.use_keys(KeyRing([KEY]))
    Server(("127.0.0.1", int(sys.argv[1])), Wallet).serve_forever()
