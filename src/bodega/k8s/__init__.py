"""Kubernetes objects as data: what runs the tasks of a plan on a cluster."""
