"""Composing a config and checking it: schema, signatures, and what a config may name."""
