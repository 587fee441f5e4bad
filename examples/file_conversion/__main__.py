"""`python -m file_conversion`: serve on this machine, on `PORT` (8402) with `WORKERS` (1) processes."""

import os
import socket
import sys

import uvicorn

from l402_middleware import L402Error
from l402_middleware.flow import drive

from .app import create_app
from .shop import paywall_from_environment

HOST = "127.0.0.1"


def main() -> None:
    """Serve until interrupted. A mistake in the settings ends it here, with one line that names the setting."""
    os.environ.setdefault("L402_PROVIDER", "dev:")
    port, workers = _number("PORT", 8402, least=0, most=65535), _number("WORKERS", 1, least=1, most=256)
    if workers > 1 and os.environ.get("L402_LEDGER") == "memory:":
        sys.exit(f"file_conversion: WORKERS={workers} need a ledger that they share; L402_LEDGER=memory: is not one")
    try:
        # Made here even where the workers make their own: uvicorn would start one that fails again, for ever.
        paywall = paywall_from_environment()
        drive(paywall.check())
        app = create_app(paywall=paywall)
    except (L402Error, OSError, ValueError) as error:
        sys.exit(f"file_conversion: {error}")
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        sys.exit(f"file_conversion: PORT={port} cannot be had ({os.strerror(error.errno or 0)}); set another one")
    factory = "file_conversion.app:create_app"
    uvicorn.run(app if workers == 1 else factory, factory=workers > 1, host=HOST, port=port, workers=workers)


def _number(name: str, default: int, least: int, most: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        sys.exit(f"file_conversion: {name}={text} is not a whole number from {least} to {most}")
    return int(text)


if __name__ == "__main__":
    main()
