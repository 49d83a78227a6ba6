"""Builds data, parts, systems and trainers from a checked config, and restores systems from checkpoints."""
