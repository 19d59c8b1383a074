"""The people of the platform."""
