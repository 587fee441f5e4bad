"""Proof against other people's software: a real LNbits, and clients that know nothing of this package."""
