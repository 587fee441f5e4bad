"""Wallets that pay."""

from .core_lightning import CoreLightningWallet
from .development import DevelopmentWallet
from .function import FunctionWallet
from .lnbits import LNbitsWallet
from .lnd import LNDWallet
from .nostr_wallet_connect import NostrWalletConnectWallet
from .phoenixd import PhoenixdWallet
from .url import wallet_from_url

__all__ = [
    "CoreLightningWallet",
    "DevelopmentWallet",
    "FunctionWallet",
    "LNDWallet",
    "LNbitsWallet",
    "NostrWalletConnectWallet",
    "PhoenixdWallet",
    "wallet_from_url",
]
