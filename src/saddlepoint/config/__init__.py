"""Composing and validating configs."""
