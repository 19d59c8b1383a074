"""A backup and its proof, and a restore into a scratch server."""
