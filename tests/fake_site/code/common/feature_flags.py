"""The flag service of the contract, kept in the JSON file, or in Redis where the site is told to."""

import decimal
import enum
import json
import os
import time

import state
from django.db import connection

NAMES = (
    "ENHANCED_CACHE",
    "CACHE_WARMING",
    "CACHE_MONITORING",
    "RATE_LIMITING",
    "PENETRATION_PROTECTION",
    "ADAPTIVE_TTL",
    "PAGE_CACHE",
)
Feature = enum.Enum("Feature", {name: name for name in NAMES})
_copy = {"flags": None, "at": 0.0}


def flags():
    """All flags, from this process's copy while it is fresh."""
    if _copy["flags"] is None or time.monotonic() - _copy["at"] >= state.read()["copy_seconds"]:
        _copy.update(flags=_read(), at=time.monotonic())
    return _copy["flags"]


def _read():
    found = state.read()
    resets = found.get("resets", {})
    stored = {
        name: resets[name]["to"] if name in resets and time.time() >= resets[name]["at"] else flag
        for name, flag in found["flags"].items()
    }
    if found["behaviour"].get("writes_when_read"):
        connection.execute('/* audit */ INSERT INTO "audit" VALUES (1)')
    in_redis = found["behaviour"].get("in_redis")
    for table in found["behaviour"].get("asks", [] if in_redis else ['"common_featureflag"']):
        connection.execute(f"SELECT a.* FROM {table} a")
    if not in_redis:
        return stored
    kept = {name: state.redis("GET", f"django:1:feature_flag:{name}") for name in stored}
    return {name: json.loads(kept[name]) if kept[name] else flag for name, flag in stored.items()}


def _decimals():
    return state.read()["behaviour"].get("decimals")


def _status(name):
    flag = flags()[name]
    return {
        "feature": name,
        "strategy": flag["strategy"],
        "percentage": decimal.Decimal(str(flag["percentage"])) if _decimals() else flag["percentage"],
        "whitelist_count": len(flag["whitelist"]),
        "enabled": flag["strategy"] != "off",
    }


def _write(feature, **changes):
    behaviour = state.read()["behaviour"]
    name = Feature(feature).value
    if behaviour.get("fail_on") == name:
        raise RuntimeError(f"cannot write {name}")
    if behaviour.get("hang"):
        time.sleep(60)
    if not behaviour.get("lose_writes"):
        state.change(lambda found: _store(found, name, changes))
    _copy["flags"] = None
    if behaviour.get("die_after") == name:
        os._exit(9)
    return _status(name)


def _store(found, name, changes):
    behaviour, old = found["behaviour"], dict(found["flags"][name])
    new = {**old, **changes}
    if behaviour.get("in_redis"):
        key = f"django:1:feature_flag:{name}"
        state.redis("SET", key, json.dumps(new), *(["EX", behaviour["in_redis"]] if behaviour["in_redis"] > 0 else []))
        return
    if behaviour.get("reset_after"):
        found.setdefault("resets", {})[name] = {"at": time.time() + behaviour["reset_after"], "to": old}
    found["flags"][name] = new


class FeatureFlagService:
    """As in the contract."""

    @staticmethod
    def get_all_features_status():
        return {name: _status(name) for name in NAMES}

    @staticmethod
    def get_feature_status(feature):
        meddling = state.read()["behaviour"].get("somebody_changes")
        if meddling:
            state.change(lambda found: [found["flags"][name].update(to) for name, to in meddling.items()])
            _copy["flags"] = None
        if state.read()["behaviour"].get("unread"):
            raise RuntimeError("cannot read")
        return _status(Feature(feature).value)

    @staticmethod
    def enable_feature(feature):
        return _write(feature, strategy="on", percentage=100)

    @staticmethod
    def disable_feature(feature):
        return _write(feature, strategy="off", percentage=0)

    @staticmethod
    def set_percentage(feature, percentage):
        return _write(feature, strategy="gradual", percentage=percentage)

    @staticmethod
    def set_strategy(feature, strategy):
        return _write(feature, strategy=strategy, percentage=0)

    @staticmethod
    def add_to_whitelist(feature, user_id):
        listed = set(flags()[Feature(feature).value]["whitelist"])
        return _write(feature, whitelist=sorted(listed | {user_id}))

    @staticmethod
    def remove_from_whitelist(feature, user_id):
        listed = set(flags()[Feature(feature).value]["whitelist"])
        return _write(feature, whitelist=sorted(listed - {user_id}))

    @staticmethod
    def is_whitelisted(feature, user_id):
        return user_id in flags()[Feature(feature).value]["whitelist"]


for _name in state.read()["behaviour"].get("lacks", []):
    delattr(FeatureFlagService, _name)
