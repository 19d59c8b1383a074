"""On demand warming: refresh the one answer that was served stale."""

from common.cache.key_names import parse_key
from common.metrics.labels import WarmingType
from common.warming.runs import WarmingOutcome, release_quietly, skipped, warm
from common.warming.switches import warming_is_enabled


def refresh_answer(*, name: str, token: str) -> WarmingOutcome:
    """Load and store the answer called ``name``, and release the lock that the web process took with ``token``."""
    try:
        if not warming_is_enabled():
            return skipped(warming_type=WarmingType.ON_DEMAND, reason="warming is switched off")
        parsed = parse_key(name)
        if parsed is None:
            return skipped(
                warming_type=WarmingType.ON_DEMAND, reason=f"no such answer in this version: {name}"
            )
        return warm(warming_type=WarmingType.ON_DEMAND, keys=[parsed[1]])
    finally:
        release_quietly(warming_type=WarmingType.ON_DEMAND, identifier=name, token=token)
