"""The site itself: its pages, and its own code through ``manage.py shell``."""
