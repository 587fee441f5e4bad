"""Makes invoices with what the operator has: several providers in order, and nothing about them taken on trust."""
