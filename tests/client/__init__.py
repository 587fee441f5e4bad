"""The client that pays."""
