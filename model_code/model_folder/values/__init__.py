"""The values in the settings of a part, and whether they fit its weights and the other parts."""

from .check import check_values
from .together import check_together

__all__ = ["check_together", "check_values"]
