"""The APIs of the service: one module each, listed in `apis.py`."""
