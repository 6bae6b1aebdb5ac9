"""What an owner may use and has used, and the port that keeps it.

A job first reserves its images and the GPU time that it will probably need, in one conditional write. Its end replaces
the reservation by what it used. Months and days are those of UTC in which the job was accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

Refusal = Literal["images", "gpu_seconds"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an owner may use. None: no limit."""

    images_a_day: int | None = None
    gpu_seconds_a_month: int | None = None


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Images and milliseconds of GPU time."""

    images: int = 0
    gpu_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Month:
    """The use of a month. Sums include what is reserved. `open`: the reservations, by job id.

    `days`: day of the month to images. `jobs`: how many have ended with images. `models`: GPU time in milliseconds of
    the jobs that have ended, by the id of their model; jobs that older versions settled are in no model's.
    """

    days: Mapping[int, int] = field(default_factory=dict)
    gpu_ms: int = 0
    jobs: int = 0
    open: Mapping[str, Amount] = field(default_factory=dict)
    models: Mapping[str, int] = field(default_factory=dict)

    @property
    def mean_gpu_ms(self) -> int | None:
        """GPU time of a job that has ended; None if none has."""
        settled = self.gpu_ms - sum(amount.gpu_ms for amount in self.open.values())
        return max(0, settled) // self.jobs if self.jobs else None

    def refusal(self, day: int, amount: Amount, limits: Limits) -> Refusal | None:
        """Return which limit the amount would exceed. The last job of a month may exceed its GPU time."""
        if limits.images_a_day is not None and self.days.get(day, 0) + amount.images > limits.images_a_day:
            return "images"
        if limits.gpu_seconds_a_month is not None and self.gpu_ms >= 1000 * limits.gpu_seconds_a_month:
            return "gpu_seconds"
        return None

    def reserved(self, day: int, job: str, amount: Amount) -> Month:
        """Return the month with one more reservation."""
        month = self._added(day, amount.images, amount.gpu_ms)
        return replace(month, open={**self.open, job: amount})

    def settled(self, day: int, job: str, used: Amount, model: str) -> Month:
        """Return the month with a reservation replaced by what the job used on its model, if that is known."""
        held = self.open[job]
        month = self._added(day, used.images - held.images, used.gpu_ms - held.gpu_ms)
        others = {id: amount for id, amount in self.open.items() if id != job}
        models = {model: self.models.get(model, 0) + used.gpu_ms} if model and used.gpu_ms else {}
        return replace(month, open=others, jobs=self.jobs + (used.images > 0), models={**self.models, **models})

    def _added(self, day: int, images: int, gpu_ms: int) -> Month:
        days = {**self.days, day: self.days.get(day, 0) + images}
        return replace(self, days=days, gpu_ms=self.gpu_ms + gpu_ms)


@dataclass(frozen=True, kw_only=True)
class Account:
    """An owner's limits, and the use by month (`2026-11`)."""

    limits: Limits = Limits()
    months: Mapping[str, Month] = field(default_factory=dict)


class Ledger(Protocol):
    """Keeps accounts. Each change is atomic across all processes of the service."""

    def read(self, owner: str, since: str) -> Account:
        """Return the account with its months from `since` on."""

    def reserve(self, owner: str, month: str, day: int, job: str, amount: Amount, limits: Limits) -> bool | Refusal:
        """Add a reservation within the limits. Return True if it is new, False if the job has one, or what refuses."""

    def settle(self, owner: str, month: str, day: int, job: str, held: Amount, used: Amount, model: str) -> bool:
        """Replace the reservation `held` of a job by what it used on its model; empty: not known.

        Return False if it has no such reservation.
        """
