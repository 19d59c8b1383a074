"""One scene for each action: a real system on which the tests that every action must pass are carried out."""
