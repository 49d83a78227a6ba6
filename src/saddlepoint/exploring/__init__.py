"""Samples of a trained model, arranged to show what it has learned: interpolations, directions, neighbours."""
