"""Evaluation of systems and of images in files: judges, and the sampling that several processes share."""
