"""Tries what the settings name, the ledger, the keys and the provider, and says what is wrong and how to mend it.

No secret comes out of here: of a URL its scheme and host are shown, of a key its length, and whatever else
may be one is taken out of every message.
"""

from .checks import examine
from .diagnosis import Diagnosis

__all__ = ["Diagnosis", "examine"]
