"""May this process warm at all, and how much?"""

from dataclasses import dataclass

from django.conf import settings

from common.feature_flags import Feature, FeatureFlagService


@dataclass(frozen=True)
class WarmingLimits:
    """The limits of startup warming: how many courses, chapters of each, and problems."""

    course_count: int
    chapters_per_course: int
    problem_count: int


def warming_is_enabled() -> bool:
    """Both the setting ``CACHE_WARMING["ENABLED"]`` and the flag CACHE_WARMING (for everybody) have to be on."""
    return bool(settings.CACHE_WARMING["ENABLED"]) and FeatureFlagService.is_enabled(Feature.CACHE_WARMING)


def warming_limits() -> WarmingLimits:
    """The limits in ``settings.CACHE_WARMING``."""
    values = settings.CACHE_WARMING
    return WarmingLimits(
        course_count=values["STARTUP_COURSE_LIMIT"],
        chapters_per_course=values["CHAPTERS_PER_COURSE"],
        problem_count=values["PROBLEM_LIMIT"],
    )
