"""Easel on one machine: `easel up`."""

from easel import use_checkout

use_checkout()
