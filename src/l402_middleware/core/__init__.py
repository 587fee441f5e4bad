"""The L402 protocol, pure: no I/O, no clock, no framework."""
