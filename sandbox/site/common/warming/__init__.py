"""Warming: have an answer in the cache before somebody has to wait for it.

Three occasions: at startup the plan of the site, on demand a stale answer, scheduled what is asked for often.
"""
