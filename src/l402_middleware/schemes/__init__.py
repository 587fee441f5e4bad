"""The ways in which a caller can be asked to pay, and show that it did: HTTP authentication schemes."""

from .l402 import L402Scheme
from .payment import PaymentScheme
from .scheme import CredentialFault, Fields, Offered, Reading, Sale, Scheme, SchemeSettings, Shown

__all__ = [
    "CredentialFault",
    "Fields",
    "L402Scheme",
    "Offered",
    "PaymentScheme",
    "Reading",
    "Sale",
    "Scheme",
    "SchemeSettings",
    "Shown",
]
