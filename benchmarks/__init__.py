"""Measurements; each compares within one run."""
