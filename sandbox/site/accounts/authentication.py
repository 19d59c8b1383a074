"""Token authentication that does not ask the database for each request."""

import time
from threading import Lock
from typing import Any

from django.conf import settings
from rest_framework.authentication import TokenAuthentication

MAX_REMEMBERED = 5000


class BrieflyCachedTokenAuthentication(TokenAuthentication):
    """Remembers who a token belongs to, in this process, for ``TOKEN_CACHE_SECONDS``.

    A cached answer would otherwise cost one database query just to learn who asks. The price: a token that is
    revoked, or a user who loses staff rights, keeps them for these seconds. Unknown tokens are not remembered.
    """

    _lock = Lock()
    _remembered: dict[str, tuple[float, tuple[Any, Any]]] = {}

    def authenticate_credentials(self, key: str) -> tuple[Any, Any]:
        """The user and token behind ``key``.

        Raises:
            AuthenticationFailed: there is no such token, or the user is inactive.
        """
        now = time.monotonic()
        remembered = self._remembered.get(key)
        if remembered is not None and now < remembered[0]:
            return remembered[1]
        found: tuple[Any, Any] = super().authenticate_credentials(key)
        with self._lock:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = (now + settings.TOKEN_CACHE_SECONDS, found)
        return found
