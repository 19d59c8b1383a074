"""The sandbox: the reference site with its servers, its traffic and its faults, on loopback.

``python -m sandbox up`` starts it; ``Sandbox`` is the same for tests and demos.
"""

from sandbox.errors import (
    AlreadyRunning,
    FaultAlreadyActive,
    MissingServer,
    NotRunning,
    PartFailed,
    PortInUse,
    SandboxError,
    UsageError,
)
from sandbox.processes.orders import Step
from sandbox.sandbox import Sandbox
from sandbox.settings import Catalogue, Settings, default_settings
from sandbox.status import PartStatus, Status

__all__ = [
    "AlreadyRunning",
    "Catalogue",
    "FaultAlreadyActive",
    "MissingServer",
    "NotRunning",
    "PartFailed",
    "PartStatus",
    "PortInUse",
    "Sandbox",
    "SandboxError",
    "Settings",
    "Status",
    "Step",
    "UsageError",
    "default_settings",
]
