"""HTTP to the outside: how requests are sent, where they may lead, and how their answers are read."""
