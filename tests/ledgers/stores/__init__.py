"""Stores as earlier versions of this package left them, and what these versions made of them."""
