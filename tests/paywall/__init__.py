"""The one flow of the paywall, driven without any server or framework."""
