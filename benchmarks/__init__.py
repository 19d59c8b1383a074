"""What this project promises about speed, measured: ``make bench``."""
