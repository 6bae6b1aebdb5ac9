"""Names of schedulers in other tools: AUTOMATIC1111, diffusers and Replicate."""

from __future__ import annotations

import re
from collections.abc import Mapping

from contract import SCHEDULERS

_ALIASES: Mapping[str, str] = {
    **{re.sub("[^a-z0-9]", "", name): name for name in SCHEDULERS},
    "ddimscheduler": "ddim",
    "ddpmscheduler": "ddpm",
    "dpm2m": "dpmpp_2m",
    "dpmsolvermultistep": "dpmpp_2m",
    "dpmsolvermultistepscheduler": "dpmpp_2m",
    "kdpmpp2m": "dpmpp_2m",
    "dpm2mkarras": "dpmpp_2m_karras",
    "karrasdpm": "dpmpp_2m_karras",
    "kdpmpp2mka": "dpmpp_2m_karras",
    "eulerdiscrete": "euler",
    "eulerdiscretescheduler": "euler",
    "keuler": "euler",
    "eulerancestral": "euler_a",
    "eulerancestraldiscrete": "euler_a",
    "eulerancestraldiscretescheduler": "euler_a",
    "keulera": "euler_a",
    "keulerancestral": "euler_a",
    "heundiscrete": "heun",
    "heundiscretescheduler": "heun",
    "kheun": "heun",
    "lcmscheduler": "lcm",
    "klms": "lms",
    "lmsdiscretescheduler": "lms",
    "plms": "pndm",
    "pndmscheduler": "pndm",
    "unipcmultistep": "unipc",
    "unipcmultistepscheduler": "unipc",
    "flowmatcheulerdiscretescheduler": "flow_euler",
    "flowmatchheundiscretescheduler": "flow_heun",
}
"""Lower-case letters and digits of a name to the native name."""


def native_scheduler(name: str) -> str | None:
    """Return the native name, or None for a scheduler that Easel lacks. A model may lack it, too."""
    return _ALIASES.get(re.sub("[^a-z0-9]", "", name[:80].lower()))
