"""What every app of the site shares: the cache and its warming, feature flags, throttling, metrics, health."""
