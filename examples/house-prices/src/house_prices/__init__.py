"""Prepares the Ames house prices for a model."""

__version__ = "0.1.0"
