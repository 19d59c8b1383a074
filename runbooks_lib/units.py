"""Numbers as people read them: value, unit, and no more digits than they carry. Times are UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_NO_VALUE = "no value"
_REDIS_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1024,
    "m": 1000**2,
    "mb": 1024**2,
    "g": 1000**3,
    "gb": 1024**3,
}
#: At most nine digits: more is no time that anybody looks back, and overflows what times are computed with.
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_LONGEST_SECONDS = 10 * 365 * 86_400
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def now() -> datetime:
    """The present moment, aware UTC."""
    return datetime.now(UTC)


def percent(ratio: float | None) -> str:
    """A ratio 0..1 as a percentage: ``0.542`` → ``54.2 %``; never rounded to 0 % or 100 % when it is not."""
    if ratio is None:
        return _NO_VALUE
    value = ratio * 100
    if 0 < value < 0.05:
        return "< 0.1 %"
    if 99.95 <= value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %"


def threshold_percent(ratio: float) -> str:
    """A threshold 0..1 without digits it does not need: ``0.8`` → ``80 %``."""
    return f"{ratio * 100:g} %"


def seconds(value: float | None) -> str:
    """A measured time: ``0.0004`` → ``0.4 ms``, ``74`` → ``74 s``."""
    if value is None:
        return _NO_VALUE
    if abs(value) < 1:
        return f"{value * 1000:.{1 if abs(value) < 0.0995 else 0}f} ms"
    return f"{value:.1f} s" if abs(value) < 10 else duration(value)


def duration(value: float | None) -> str:
    """A stretch of time in the two largest units that matter: ``2460`` → ``41 min``, ``62400`` → ``17 h 20 min``."""
    if value is None:
        return _NO_VALUE
    whole = round(value)
    if whole < 120:
        return f"{whole} s" if value >= 10 or value == whole else f"{value:.1f} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{round(value / 60)} min"
    minutes = round(value / 60)
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(value / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def size(value_bytes: float | None) -> str:
    """Bytes in binary units: ``4294967296`` → ``4.0 GiB``."""
    if value_bytes is None:
        return _NO_VALUE
    value, unit = float(value_bytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"


def count(value: float | None) -> str:
    """A number of things: ``1240000`` → ``1.24 M``, ``41212`` → ``41,212``."""
    if value is None:
        return _NO_VALUE
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:.2f} M"
    if value != int(value) and abs(value) < 10:
        return f"{value:.1f}"
    return f"{round(value):,}"


def things(value: float | None, one: str) -> str:
    """A number with its noun: ``1 lookup``, ``14 lookups``."""
    shown = count(value)
    return f"{shown} {one}" if shown == "1" else f"{shown} {one}s"


def exactly(value: int, one: str) -> str:
    """The same to the last one, for accounts: ``1240001`` → ``1,240,001 keys``."""
    return f"{value:,} {one}" if value == 1 else f"{value:,} {one}s"


def per_second(value: float | None) -> str:
    """A rate: ``38.2`` → ``38/s``."""
    if value is None:
        return _NO_VALUE
    return f"{value:.1f}/s" if 0 < abs(value) < 10 else f"{value:,.0f}/s"


def clock(moment: datetime | None) -> str:
    """A UTC time of day: ``02:14:07Z``."""
    return "not known" if moment is None else f"{moment.astimezone(UTC):%H:%M:%S}Z"


def timestamp(moment: datetime | None) -> str:
    """A UTC moment to the second: ``2026-11-22 02:14:07Z``."""
    return "not known" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def parse_redis_size(text: str) -> int | None:
    """Bytes of a size as Redis reads it: ``4gb`` is 4 × 1024³, ``4g`` is 4 × 1000³; None for what is no size.

    Redis itself would also take a blank for 0 and a number beyond 2⁶⁴ for 2⁶⁴ - 1; neither is meant.
    """
    number = text.lower().rstrip("bgkm")
    unit = text.lower()[len(number) :]
    if not (number.isascii() and number.isdecimal()) or unit not in _REDIS_UNITS:
        return None
    value = int(number[:20]) * _REDIS_UNITS[unit]
    return value if value < 2**63 else None


def parse_duration(text: str) -> float | None:
    """``90s``, ``15m``, ``2h``, ``7d`` → seconds; None for what is none, is not over 0, or is over ten years."""
    match = _DURATION.fullmatch(text.strip())
    value = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    return float(value) if 0 < value <= _LONGEST_SECONDS else None
