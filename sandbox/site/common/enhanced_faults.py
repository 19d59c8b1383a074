"""Failures of the enhanced cache alone: what a bad release would do to the callers who have it, and to nobody else."""

import random
import time

from rest_framework.exceptions import APIException

from common.callers import Caller
from common.faults import Fault, fault_parameters
from common.metrics.labels import Cohort


class BrokenOnPurpose(APIException):
    """The answer 500 of the fault ``enhanced_errors``."""

    default_detail = "The fault enhanced_errors is switched on."


def suffer(caller: Caller) -> None:
    """Delay or break this request as ``enhanced_slow`` and ``enhanced_errors`` say; legacy callers never notice.

    Raises:
        BrokenOnPurpose: this request is one of those that break.
    """
    if caller.cohort is not Cohort.ENHANCED:
        return
    slow = fault_parameters(Fault.ENHANCED_SLOW)
    if slow is not None and _strikes(slow.get("share", 0.1)):
        time.sleep(slow.get("seconds", 0.5))
    errors = fault_parameters(Fault.ENHANCED_ERRORS)
    if errors is not None and _strikes(errors.get("error_ratio", 0.05)):
        raise BrokenOnPurpose


def overlooks() -> bool:
    """Does this lookup of the enhanced cache overlook what is stored (fault ``enhanced_misses``)?"""
    parameters = fault_parameters(Fault.ENHANCED_MISSES)
    return parameters is not None and _strikes(parameters.get("share", 0.3))


def _strikes(share: float) -> bool:
    return random.random() < share
