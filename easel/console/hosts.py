"""Hosts of this machine, and what an API key may contain."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine can reach."""
KEY_PATTERN = r"[!-~]([ -~]*[!-~])?"
"""API keys that an HTTP header can carry."""
