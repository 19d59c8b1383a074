"""Whether a gradual rollout holds, promotes or rolls back: ``decide``, a pure function, and its gates."""
