"""A file of a hub as an upload reads it: in order, once, fetched ahead in parallel, and checked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future

from .files import Digest, File

PIECE = 16 * 1024 * 1024
"""Bytes of one range, and of one part of an upload."""
AHEAD = 6
"""Ranges that are under way or wait: with the parts that wait for their upload, the bound of the memory."""

Fetch = Callable[[int, int], bytes]


class Stream:
    """Reads `file` by `fetch(first, end)`, and its first `begun` bytes by `again(first, end)`.

    The last bytes are not given out before the digest is found right. `told` hears of what was fetched.
    """

    def __init__(
        self, file: File, fetch: Fetch, pool: Executor, told: Callable[[int], None], begun: int = 0,
        again: Fetch | None = None,
    ) -> None:  # fmt: skip
        self._file, self._fetch, self._pool, self._told = file, fetch, pool, told
        self._begun, self._again = begun, again or fetch
        self._next = self._given = 0
        self._waiting: deque[Future[bytes]] = deque()
        self._piece, self._used = b"", 0
        self._digest = Digest(file)

    def read(self, amount: int = -1) -> bytes:
        """Up to `amount` bytes, fewer only at the end. Raises ImportFailed."""
        pieces: list[bytes] = []
        wanted = amount if amount >= 0 else self._file.size
        while wanted and (self._used < len(self._piece) or self._advance()):
            end = self._used + wanted
            whole = not self._used and end >= len(self._piece)
            pieces.append(self._piece if whole else self._piece[self._used : end])  # a part is a piece: no copy
            self._used = min(end, len(self._piece))
            wanted -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, amount: int) -> None:
        """Reads so many bytes for the digest alone."""
        while amount:
            amount -= len(self.read(min(amount, PIECE)))

    def close(self) -> None:
        for waiting in self._waiting:
            waiting.cancel()

    def _advance(self) -> bool:
        if self._given == self._file.size:
            return False
        while self._next < self._file.size and len(self._waiting) < AHEAD:
            self._waiting.append(self._request())
        data = self._waiting.popleft().result()
        self._digest.update(data)
        fetched = self._given >= self._begun
        self._given += len(data)
        if self._given == self._file.size:
            self._digest.verify()
        if fetched:
            self._told(len(data))
        self._piece, self._used = data, 0
        return True

    def _request(self) -> Future[bytes]:
        """The next range: of what was begun or of the rest, never of both."""
        first, begun = self._next, self._next < self._begun
        self._next = min(first + PIECE, self._begun if begun else self._file.size)
        return self._pool.submit(self._again if begun else self._fetch, first, self._next)
