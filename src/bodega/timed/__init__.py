"""Nodes of a Kedro project, timed in fresh processes: what the demo and the benchmark of pipelines share.

`worker` is such a process, which needs nothing but Kedro; `project` starts it and reads what it wrote down. Nothing is
imported here, since the worker also runs where bodega is not installed.
"""
