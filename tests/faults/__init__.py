"""Payments under faults: races, killed workers, ledgers that go away, servers that stop."""
