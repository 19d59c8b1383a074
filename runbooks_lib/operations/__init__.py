"""What the operating notebooks read, choose and show: each module serves one of them, or all.

=============  ====================================================================================
``choice``     from a notebook's parameters to the one change that they ask for, applied or planned
``verdict``    the verdict of a notebook that looks and may change something
``reading``    one read that may fail, as a fact or as ``Unreadable``
``effect``     hit rate, errors and latency now, to look at after a change
``flags``      what the flags say, what the site serves, and whether a change would last
``keyspace``   how large the database is and what lives in it
``rollout``    one execution of a gradual rollout: judge, then hold, go a stage up or down (``rollout_*``)
``recovery``   the hit rate after something was cleared, watched for a bounded time
``warming``    statistics, locks and workers of cache warming (``warming_history``: durations as a figure)
``incident``   the guide's response to a severity, and the incident in the ledger
``deployment`` the checklist (``_before``, ``_during``, ``_after``: its items; ``_shown``: how they look)
=============  ====================================================================================
"""
