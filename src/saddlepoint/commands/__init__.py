"""The commands: compose a config, check it, build its parts, run."""
