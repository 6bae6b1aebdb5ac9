"""Quotas of callers: a job reserves before it is accepted, and is settled when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contract import EaselError
from jobs.accounts import Account, Amount, Ledger, Limits, Month
from jobs.ports import Clock, Ticket
from jobs.records import Outcome, Record

FIRST_GPU_MS = 1000
"""GPU time that a job reserves while no job of the month has ended."""
MAX_OPEN_JOBS = 2_000
"""The most jobs of an owner that have not ended. An item of the ledger has room for about twice as many."""
_HINTS = {
    "images": "Wait until tomorrow, 00:00 UTC, or ask the operator for a larger quota.",
    "gpu_seconds": "Wait until next month, or ask the operator for a larger quota.",
}


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an owner has used, reservations included. `gpu_seconds`: of this month. `model_seconds`: of that the GPU
    time of jobs that have ended, by the id of their model.

    `day_ends_at`, `month_ends_at`: seconds since 1970.
    """

    limits: Limits
    images_today: int
    images_this_month: int
    images_reserved: int
    gpu_seconds: float
    model_seconds: Mapping[str, float]
    day_ends_at: float
    month_ends_at: float

    def usd(self, prices: Mapping[str, float | None]) -> float | None:
        """Return the price of the month's GPU time; None if that of an hour is not known.

        `prices`: USD of an hour by model id; None: not known. Reserved time, and that of models without an entry, has
        the highest.
        """
        known = [price for price in prices.values() if price is not None]
        highest = max(known) if known and len(known) == len(prices) else None
        rest = round(self.gpu_seconds - sum(self.model_seconds.values()), 3)
        parts = [(seconds, prices.get(model, highest)) for model, seconds in self.model_seconds.items()]
        if rest > 0 or not parts:
            parts.append((max(0.0, rest), highest))
        usd = [seconds * price / 3600 for seconds, price in parts if price is not None]
        return round(sum(usd), 6) if len(usd) == len(parts) else None


class Accounting:
    """Reserves and settles. All methods but `on_end` raise the ledger's errors."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock

    def reserve(self, ticket: Ticket, images: int) -> bool:
        """Reserve a job's images and GPU time. Return False if it has a reservation already.

        Raises `quota_exceeded` or `too_busy`.
        """
        month, day = _period(ticket)
        account = self._ledger.read(ticket.owner, month)
        used = account.months.get(month, Month())
        if len(used.open) >= MAX_OPEN_JOBS and ticket.id not in used.open:
            message = f"{len(used.open)} jobs of the key have not ended"
            raise EaselError("too_busy", message, hint="Wait for some of them.")
        mean = used.mean_gpu_ms
        amount = Amount(images=images, gpu_ms=FIRST_GPU_MS if mean is None else mean)
        result = self._ledger.reserve(ticket.owner, month, day, ticket.id, amount, account.limits)
        if isinstance(result, bool):
            return result
        raise _quota_exceeded(result, account.limits, used.days.get(day, 0), images)

    def settle(self, ticket: Ticket, outcome: Outcome | None, model: str = "") -> bool:
        """Replace a job's reservation by what it used on its model: nothing without images.

        Return False if it has none.
        """
        month, day = _period(ticket)
        held = self._ledger.read(ticket.owner, month).months.get(month, Month()).open.get(ticket.id)
        if held is None:
            return False
        return self._ledger.settle(ticket.owner, month, day, ticket.id, held, _used(outcome), model)

    def on_end(self, record: Record, outcome: Outcome) -> None:
        """Settle a job that has ended. If the ledger fails, the reservation stays until `Jobs` settles it."""
        with suppress(EaselError):
            self.settle(record.ticket, outcome, record.model)

    def open(self, owner: str) -> Sequence[Ticket]:
        """Return the jobs with reservations of this and the last month, the oldest first."""
        first = datetime.fromtimestamp(self._clock.now(), UTC).replace(day=1)
        months = self._ledger.read(owner, month_of((first - timedelta(days=1)).timestamp())).months.values()
        return [Ticket(owner, job) for month in months for job in sorted(month.open, reverse=True)]

    def usage(self, owner: str) -> Usage:
        """Return what the owner has used."""
        now = self._clock.now()
        return usage(self._ledger.read(owner, month_of(now)), now)


def usage(account: Account, now: float) -> Usage:
    """Return what was used in the day and month of `now`."""
    moment = datetime.fromtimestamp(now, UTC)
    today = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    month = account.months.get(month_of(now), Month())
    return Usage(
        limits=account.limits,
        images_today=month.days.get(today.day, 0),
        images_this_month=sum(month.days.values()),
        images_reserved=sum(amount.images for amount in month.open.values()),
        gpu_seconds=month.gpu_ms / 1000,
        model_seconds={model: ms / 1000 for model, ms in month.models.items()},
        day_ends_at=(today + timedelta(days=1)).timestamp(),
        month_ends_at=(today.replace(day=1) + timedelta(days=32)).replace(day=1).timestamp(),
    )


def month_of(seconds: float) -> str:
    """Return the name of the month of a time, for example 2026-11."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m}"


def _used(outcome: Outcome | None) -> Amount:
    if not outcome or outcome.status != "succeeded":
        return Amount()
    seconds = outcome.timings.get("total_s", outcome.timings.get("generate_s", 0))
    return Amount(images=len(outcome.images), gpu_ms=round(1000 * seconds))


def _period(ticket: Ticket) -> tuple[str, int]:
    """Return month and day in which a job was accepted."""
    return month_of(ticket.created_at), datetime.fromtimestamp(ticket.created_at, UTC).day


def _quota_exceeded(refusal: str, limits: Limits, images_today: int, images: int) -> EaselError:
    if refusal == "gpu_seconds":
        message = f"the key's {limits.gpu_seconds_a_month} GPU seconds of this month are used or reserved"
        return EaselError("quota_exceeded", message, hint=_HINTS[refusal])
    allowed = limits.images_a_day or 0
    message = f"of the key's {allowed} images a day {images_today} are used or reserved; the request needs {images}"
    hint = f"Request at most {allowed} images." if images > allowed else _HINTS[refusal]
    return EaselError("quota_exceeded", message, hint=hint)
