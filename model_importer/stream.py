"""A stream over a file of a hub: in order, once, fetched ahead in parallel, with its digest checked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from time import monotonic

from .files import Digest, File

PIECE = 16 * 1024 * 1024
"""Bytes of one range, and of one part of an upload."""
SMALL_PIECE = 1024 * 1024
"""Bytes of one range of a slow connection, whose larger ranges would show no progress for long."""
SECONDS_AHEAD = 4
"""Time in which the ranges that are being fetched should arrive: an interruption loses them."""
RANGES_AHEAD = 6
"""Ranges that are being fetched or wait to be read. With the parts that wait for upload they bound the memory."""

Fetch = Callable[[int, int], bytes]
"""Returns the bytes from the first position up to, not including, the second."""


class Stream:
    """Reads `file` with `fetch`, and its first `present` bytes with `fetch_present`.

    The last bytes are returned only if the digest is right. `on_fetched` is called with the size of each piece that
    came from `fetch`. `smallest` is the size of a range before the speed is known, and of a slow connection.
    """

    def __init__(
        self,
        file: File,
        fetch: Fetch,
        pool: Executor,
        on_fetched: Callable[[int], None],
        present: int = 0,
        fetch_present: Fetch | None = None,
        smallest: int | None = None,
    ) -> None:
        self._file, self._fetch, self._pool, self._on_fetched = file, fetch, pool, on_fetched
        self._present, self._fetch_present = present, fetch_present or fetch
        self._smallest = smallest or PIECE
        self._requested = self._received = self._fetched = 0
        self._began = 0.0
        self._ranges: deque[Future[bytes]] = deque()
        self._piece, self._used = b"", 0
        self._digest = Digest(file)

    def read(self, amount: int = -1) -> bytes:
        """Return up to `amount` bytes; fewer only at the end. Raises ModelImportError."""
        pieces: list[bytes] = []
        missing = amount if amount >= 0 else self._file.size
        while missing and (self._used < len(self._piece) or self._advance()):
            end = self._used + missing
            whole = not self._used and end >= len(self._piece)
            pieces.append(self._piece if whole else self._piece[self._used : end])  # a whole piece needs no copy
            self._used = min(end, len(self._piece))
            missing -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, amount: int) -> None:
        """Read `amount` bytes for the digest alone."""
        while amount:
            amount -= len(self.read(min(amount, PIECE)))

    @property
    def digest(self) -> str:
        """The hexadecimal digest of what was read, of the kind on record; without one, SHA-256."""
        return self._digest.hex

    def close(self) -> None:
        for pending in self._ranges:
            pending.cancel()

    def _advance(self) -> bool:
        """Take the next piece. Return False at the end of the file."""
        if self._received == self._file.size:
            return False
        while self._requested < self._file.size and len(self._ranges) < RANGES_AHEAD:
            self._ranges.append(self._request())
        data = self._ranges.popleft().result()
        self._digest.update(data)
        from_source = self._received >= self._present
        self._received += len(data)
        if self._received == self._file.size:
            self._digest.verify()
        if from_source:
            self._fetched += len(data)
            self._on_fetched(len(data))
        self._piece, self._used = data, 0
        return True

    def _request(self) -> Future[bytes]:
        """Request the next range. It lies either in the present bytes or in the rest."""
        first, is_present = self._requested, self._requested < self._present
        size = PIECE if is_present else self._next_size()
        self._requested = min(first + size, self._present if is_present else self._file.size)
        fetch = self._fetch_present if is_present else self._fetch
        return self._pool.submit(fetch, first, self._requested)

    def _next_size(self) -> int:
        """Return the bytes of the next range, a multiple of the smallest: more on a fast connection."""
        self._began = self._began or monotonic()
        speed = self._fetched / max(monotonic() - self._began, 0.001)
        size = int(speed * SECONDS_AHEAD / RANGES_AHEAD)
        return max(self._smallest, min(PIECE, size - size % self._smallest))
