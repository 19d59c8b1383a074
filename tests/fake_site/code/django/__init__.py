"""As much of Django as is asked for."""
