"""Courses, their chapters, and the problems in these."""
