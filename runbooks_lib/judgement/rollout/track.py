"""How one gate stood at each look of a stage."""

from __future__ import annotations

from dataclasses import dataclass

from runbooks_lib.judgement.rollout.model import Gate, Stand


@dataclass(frozen=True, slots=True)
class Track:
    """One gate over a stage.

    Attributes:
        gate: at the newest look.
        stands: at each look, oldest first, the newest included.
        at_once: a FAIL needs no second look: it is far beyond, or the test may be looked at every time.
        blocks: a WAIT that has to end before the stage can: it is cold, or there are too few requests yet.
    """

    gate: Gate
    stands: tuple[Stand, ...]
    at_once: bool = False
    blocks: bool = False

    def confirmed(self, looks: int) -> bool:
        """Does it roll back?"""
        if self.gate.stand is not Stand.FAIL:
            return False
        recent = self.stands[-looks:]
        return self.at_once or (len(recent) == looks and all(stand is Stand.FAIL for stand in recent))
