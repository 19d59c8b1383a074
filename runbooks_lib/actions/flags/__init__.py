"""Feature flags, changed through the site's own code: one at a time, or a set in one plan."""
