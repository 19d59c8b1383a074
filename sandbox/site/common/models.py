"""Tables of the operating side: feature flags and one row per cache lookup."""

from django.db import models

from common.feature_flags.names import Feature, Strategy


class FeatureFlag(models.Model):
    """How one feature is rolled out. A missing row means the default in ``feature_flags.names``."""

    feature = models.CharField(max_length=40, unique=True, choices=[(name, name) for name in Feature])
    strategy = models.CharField(max_length=10, choices=[(name, name) for name in Strategy])
    percentage = models.PositiveSmallIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(percentage__gte=0, percentage__lte=100), name="percentage_is_0_to_100"
            )
        ]

    def __str__(self) -> str:
        return f"{self.feature} {self.strategy} {self.percentage} %"


class FeatureFlagMember(models.Model):
    """One user on the whitelist of one feature. The id is plain, so that a user may be listed before signing up."""

    feature = models.CharField(max_length=40, choices=[(name, name) for name in Feature])
    user_id = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["feature", "user_id"], name="one_entry_per_user")]

    def __str__(self) -> str:
        return f"{self.feature}: user {self.user_id}"


class CacheStat(models.Model):
    """One cache lookup. ``view_name`` is the URL name, ``status`` one of ``LookupStatus``, durations in ms."""

    created_at = models.DateTimeField(db_index=True)
    view_name = models.TextField()
    status = models.TextField()
    duration_ms = models.FloatField()
    cohort = models.TextField()

    class Meta:
        db_table = "cache_stats"

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M:%S} {self.view_name} {self.status}"
