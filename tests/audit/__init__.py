"""The audit, and what it promises: the holes it names are holes, and what it calls priced is."""
