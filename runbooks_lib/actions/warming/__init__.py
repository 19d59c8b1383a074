"""Warming: a run, a stuck lock, old statistics."""
