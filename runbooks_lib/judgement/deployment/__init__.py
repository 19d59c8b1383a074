"""Is an item of the deployment checklist done? Pure: facts in, one ``ItemResult`` out; ``standing`` puts them together.

============  =====================================================================================
``before``    before it: backup, flag, baseline
``during``    at it: does the site answer with the new version, do its tests pass
``metrics``   at it: is ``/metrics`` complete and sane
``errors``    after it: the error rate for one hour, against the day before
``warming``   after it: startup warming
``headers``   after it: the headers of the cache
``result``    what a judgement says about one item
``standing``  the whole checklist at one moment: what counts, how old it is, what is still open
============  =====================================================================================
"""
