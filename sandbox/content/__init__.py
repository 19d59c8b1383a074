"""What the site holds when it starts: a database and a warm cache.

The database is migrated and seeded once, then copied (``template``, ``make_template``); the cache is as a day of
traffic leaves it (``steady_state``, ``warm_up``). Some of that runs as programs inside the site (``site_job``).
"""
