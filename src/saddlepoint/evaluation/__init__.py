"""Scores of a system or of files: who judges what, and who draws the samples."""
