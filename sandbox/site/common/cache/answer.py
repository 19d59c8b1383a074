"""What a lookup gives back, and how it shows in the response headers."""

from dataclasses import dataclass

from common.cache.resources import Payload
from common.metrics.labels import LookupStatus

# A change must reach everybody soon, so nobody may keep an answer longer than this without asking.
MAX_CLIENT_AGE_SECONDS = 60

X_CACHE = {
    LookupStatus.HIT: "HIT",
    LookupStatus.MISS: "MISS",
    LookupStatus.STALE: "STALE",
    LookupStatus.NULL_VALUE: "NULL",
    LookupStatus.BYPASS: "BYPASS",
}


@dataclass(frozen=True)
class Answer:
    """The outcome of one lookup.

    Attributes:
        status: where the data came from.
        data: what to answer; None when there is no such thing.
        age_seconds: how old the data is; None when that is not known.
        fresh_seconds: how long it will still be fresh; 0 for stale and for uncached data.
        page_cache: ``HIT`` or ``MISS`` when the page cache was asked.
    """

    status: LookupStatus
    data: Payload | None
    age_seconds: float | None = 0.0
    fresh_seconds: float = 0.0
    page_cache: str | None = None

    def headers(self, *, visibility: str) -> dict[str, str]:
        """The headers that tell a client and an operator how this answer came about.

        Args:
            visibility: ``public``, or ``private`` when the answer differs between users.
        """
        max_age = int(min(self.fresh_seconds, MAX_CLIENT_AGE_SECONDS))
        keepable = self.data is not None and self.status is not LookupStatus.BYPASS
        headers = {
            "X-Cache": X_CACHE[self.status],
            "Cache-Control": f"{visibility}, max-age={max_age}" if keepable else "no-store",
        }
        if self.age_seconds is not None:
            headers["Age"] = str(int(self.age_seconds))
        if self.page_cache is not None:
            headers["X-Page-Cache"] = self.page_cache
        return headers
