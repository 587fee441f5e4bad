"""A client that pays: for programs and agents that buy from L402 servers, within a budget, and never twice."""

from .budget import Budget
from .buyer import Receipt
from .errors import NotPaid, PaidInVain, PaymentUncertain
from .httpx_auth import L402Auth
from .purchase import Purchase
from .quote import Quote
from .store import MemoryStore, SQLiteStore
from .wallet import Outgoing, Wallet
from .wallets import (
    CoreLightningWallet,
    DevelopmentWallet,
    FunctionWallet,
    LNbitsWallet,
    LNDWallet,
    NostrWalletConnectWallet,
    PhoenixdWallet,
    wallet_from_url,
)

__all__ = [
    "Budget",
    "CoreLightningWallet",
    "DevelopmentWallet",
    "FunctionWallet",
    "L402Auth",
    "LNDWallet",
    "LNbitsWallet",
    "MemoryStore",
    "NostrWalletConnectWallet",
    "NotPaid",
    "Outgoing",
    "PaidInVain",
    "PaymentUncertain",
    "PhoenixdWallet",
    "Purchase",
    "Quote",
    "Receipt",
    "SQLiteStore",
    "Wallet",
    "wallet_from_url",
]
