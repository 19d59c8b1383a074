"""Ask for flags and change them. This is the interface that operators use in ``manage.py shell``."""

import logging
from typing import Any

from django.db import transaction

from common.feature_flags.names import Feature, Strategy
from common.feature_flags.snapshot import Subject, flag_cache

logger = logging.getLogger(__name__)


class FeatureFlagService:
    """The flags. A change is committed when the method returns, and in force everywhere within two seconds.

    All methods accept a ``Feature`` or its name, and raise ``ValueError`` for an unknown one.
    """

    @staticmethod
    def is_enabled(feature: Feature | str, user: Any = None, *, address: str | None = None) -> bool:
        """Does ``user`` get ``feature``? An anonymous caller is placed by ``address``.

        With neither, the question is about the process itself: yes only if everybody gets the feature.
        """
        return flag_cache.flags()[Feature(feature)].admits(subject_of(user=user, address=address))

    @classmethod
    def enable_feature(cls, feature: Feature | str) -> dict[str, Any]:
        """Switch ``feature`` on for everybody; returns its status."""
        return cls._write(feature, strategy=Strategy.ON, percentage=100)

    @classmethod
    def disable_feature(cls, feature: Feature | str) -> dict[str, Any]:
        """Switch ``feature`` off for everybody, the whitelist included; returns its status."""
        return cls._write(feature, strategy=Strategy.OFF, percentage=0)

    @classmethod
    def set_percentage(cls, feature: Feature | str, percentage: int) -> dict[str, Any]:
        """Serve ``feature`` to 0..100 % of the callers, strategy ``gradual``; returns its status.

        Raises:
            ValueError: not a whole number in 0..100; nothing was changed.
        """
        if isinstance(percentage, bool) or not isinstance(percentage, int) or not 0 <= percentage <= 100:
            raise ValueError(
                f"percentage {percentage!r} is not a whole number in 0..100; nothing was changed."
            )
        return cls._write(feature, strategy=Strategy.GRADUAL, percentage=percentage)

    @classmethod
    def set_strategy(cls, feature: Feature | str, strategy: Strategy | str) -> dict[str, Any]:
        """Choose how ``feature`` is rolled out; returns its status. ``gradual`` starts at 0 %."""
        percentage = 100 if Strategy(strategy) is Strategy.ON else 0
        return cls._write(feature, strategy=Strategy(strategy), percentage=percentage)

    @classmethod
    def add_to_whitelist(cls, feature: Feature | str, user_id: int) -> dict[str, Any]:
        """List ``user_id``; returns the status. The strategy stays: a flag that is off stays off."""
        from common.models import FeatureFlagMember  # models import this package

        FeatureFlagMember.objects.get_or_create(feature=Feature(feature), user_id=_checked_user_id(user_id))
        return cls._changed(feature, what=f"user {user_id} added to the whitelist")

    @classmethod
    def remove_from_whitelist(cls, feature: Feature | str, user_id: int) -> dict[str, Any]:
        """Take ``user_id`` off the list, if it is there; returns the status."""
        from common.models import FeatureFlagMember  # models import this package

        FeatureFlagMember.objects.filter(feature=Feature(feature), user_id=_checked_user_id(user_id)).delete()
        return cls._changed(feature, what=f"user {user_id} removed from the whitelist")

    @staticmethod
    def is_whitelisted(feature: Feature | str, user_id: int) -> bool:
        """Is ``user_id`` on the whitelist of ``feature``? Whether the list counts is a matter of the strategy."""
        return _checked_user_id(user_id) in flag_cache.flags()[Feature(feature)].whitelist

    @staticmethod
    def get_feature_status(feature: Feature | str) -> dict[str, Any]:
        """How is ``feature`` rolled out?

        Returns:
            ``feature``, ``strategy``, ``percentage`` (0..100, the share of the public that is served),
            ``whitelist_count``, ``enabled`` (does anybody at all get it?).
        """
        flag = flag_cache.flags()[Feature(feature)]
        listed = len(flag.whitelist)
        enabled = {
            Strategy.GRADUAL: flag.percentage > 0 or listed > 0,
            Strategy.WHITELIST: listed > 0,
        }.get(flag.strategy, flag.strategy is not Strategy.OFF)
        return {
            "feature": flag.feature.value,
            "strategy": flag.strategy.value,
            "percentage": flag.percentage,
            "whitelist_count": listed,
            "enabled": enabled,
        }

    @classmethod
    def get_all_features_status(cls) -> dict[str, dict[str, Any]]:
        """The status of every feature, by name."""
        return {feature.value: cls.get_feature_status(feature) for feature in Feature}

    @classmethod
    def _write(cls, feature: Feature | str, *, strategy: Strategy, percentage: int) -> dict[str, Any]:
        from common.models import FeatureFlag  # models import this package

        values = {"strategy": strategy, "percentage": percentage}
        FeatureFlag.objects.update_or_create(feature=Feature(feature), defaults=values)
        return cls._changed(feature, what=f"strategy {strategy}, {percentage} %")

    @classmethod
    def _changed(cls, feature: Feature | str, *, what: str) -> dict[str, Any]:
        flag_cache.forget()
        # Inside a transaction the copy just read could still be taken back.
        transaction.on_commit(flag_cache.forget)
        logger.info("feature flag %s: %s", Feature(feature).value, what)
        return cls.get_feature_status(feature)


def subject_of(*, user: Any, address: str | None) -> Subject:
    """The subject for flags: a signed-in user, else an address, else the process."""
    if user is None or not getattr(user, "is_authenticated", True):
        return Subject(address=address)
    return Subject(user_id=user.pk, is_staff=user.is_staff)


def is_cache_feature_enabled(user: Any = None) -> bool:
    """Does ``user`` get the enhanced cache? Without a user: does everybody?"""
    return FeatureFlagService.is_enabled(Feature.ENHANCED_CACHE, user)


def enable_cache_feature() -> dict[str, Any]:
    """Switch the enhanced cache on for everybody; returns its status."""
    return FeatureFlagService.enable_feature(Feature.ENHANCED_CACHE)


def disable_cache_feature() -> dict[str, Any]:
    """Switch the enhanced cache off for everybody; returns its status."""
    return FeatureFlagService.disable_feature(Feature.ENHANCED_CACHE)


def _checked_user_id(user_id: int) -> int:
    if isinstance(user_id, bool) or not isinstance(user_id, int) or user_id < 1:
        raise ValueError(f"user id {user_id!r} is not a positive whole number; nothing was changed.")
    return user_id
