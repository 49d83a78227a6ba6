"""Records of a run: its directory, its checkpoints, its history on disk and in W&B."""
