"""Does a failure say that nobody is there, or did somebody answer?"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ETIMEDOUT})


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it came from, the innermost last."""
    for _ in range(12):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def nobody_is_there(causes: Iterable[BaseException]) -> bool:
    """Refused, no such name, no route or no answer in time; not: a connection that was made and then broke."""
    nobody = (ConnectionRefusedError, socket.gaierror, TimeoutError)
    return any(
        isinstance(cause, nobody) or (isinstance(cause, OSError) and cause.errno in _NO_ROUTE) for cause in causes
    )
