"""The names of the keys: looked at in small steps, grouped by what they are."""
