"""The exchange, without a framework and a server."""
