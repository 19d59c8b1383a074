"""Tests that may be looked at again and again, and Kayenta's judge as a second opinion. Pure functions of numbers."""
