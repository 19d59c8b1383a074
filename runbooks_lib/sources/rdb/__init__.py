"""What Redis saved to disk, and a scratch server of our own that loads it."""
