"""What to do with a request: the price, the one flow, and what it decides."""
