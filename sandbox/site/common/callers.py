"""Who asks, and which features do they get?"""

import ipaddress
from dataclasses import dataclass

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.settings import api_settings

from common.feature_flags import Feature
from common.feature_flags.service import subject_of
from common.feature_flags.snapshot import flag_cache
from common.metrics.labels import Cohort


@dataclass(frozen=True)
class Caller:
    """One caller, as far as caching and throttling are concerned.

    Attributes:
        features: the features that are on for this caller.
        user_id: of a signed-in user; None for an anonymous one.
    """

    features: frozenset[Feature]
    user_id: int | None

    @property
    def is_anonymous(self) -> bool:
        """Nobody signed in?"""
        return self.user_id is None

    @property
    def cohort(self) -> Cohort:
        """Which cache serves this caller."""
        return Cohort.ENHANCED if Feature.ENHANCED_CACHE in self.features else Cohort.LEGACY


def caller_of(request: Request | HttpRequest) -> Caller:
    """The caller, worked out once for each request; call it after authentication.

    A plain Django request without a user counts as anonymous.
    """
    plain = request._request if isinstance(request, Request) else request  # noqa: SLF001 - the only way
    user = getattr(request, "user", None)
    user_id = user.pk if user is not None and user.is_authenticated else None
    known: Caller | None = getattr(plain, "caller", None)
    if known is None or known.user_id != user_id:
        subject = subject_of(user=user, address=client_address(plain))
        flags = flag_cache.flags()
        known = Caller(frozenset(name for name, flag in flags.items() if flag.admits(subject)), user_id)
        plain.caller = known
    return known


def client_address(request: HttpRequest) -> str:
    """The client's IP address, seen through ``NUM_PROXIES`` trusted proxies.

    ``X-Forwarded-For`` is written by strangers up to the entry of the first trusted proxy: what is further left, or
    is no address at all, is not believed.
    """
    remote: str = request.META.get("REMOTE_ADDR") or "0.0.0.0"  # noqa: S104 - nobody listens here
    proxies = api_settings.NUM_PROXIES
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if not proxies or not forwarded:
        return remote
    entries = [entry.strip() for entry in forwarded.split(",")]
    claimed = entries[-min(proxies, len(entries))]
    try:
        return str(ipaddress.ip_address(claimed))
    except ValueError:
        return remote
