"""Mutation testing of the protocol and the paywall (README.md beside this)."""
