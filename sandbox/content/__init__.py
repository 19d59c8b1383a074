"""What the site holds when it starts: a seeded database, copied from a template, and a cache as a day of traffic leaves
it (``warm_up``, ``steady_state``). Some of it runs as programs inside the site (``site_job``)."""
