"""The command ``warm_cache``, whose run is over at once."""

import time

import state


def get_commands():
    return {} if state.read()["behaviour"].get("no_warm_cache") else {"warm_cache": "common"}


def call_command(name, strategy, *options):
    """A run of the task worker: what it did stands in ``cache_warming_stats`` when this returns."""
    run = state.read()["warming_run"]
    state.change(lambda found: found["queued"].append([name, strategy, *options]))
    if run is None:
        return
    key = "cache_warming_stats"
    state.redis("HINCRBY", key, f"{strategy}_count", run["items"])
    state.redis("HINCRBY", key, f"{strategy}_tasks", run.get("runs", 1))
    state.redis("HINCRBY", key, f"{strategy}_failures", run.get("failures", 0))
    state.redis("HINCRBYFLOAT", key, f"{strategy}_duration", run["seconds"])
    state.redis("HSET", key, f"{strategy}_last_run", round(time.time() - run.get("clock_behind", 0), 3))
