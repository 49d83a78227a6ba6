"""The output of a run: its directory, checkpoints, history, score cards and pictures, and W&B."""
