"""The applications that are measured: the same handlers, bare and charged for."""
