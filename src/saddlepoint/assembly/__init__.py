"""From a checked config to parts, systems and trainers, and from a checkpoint back to them."""
