"""Argo workflows of plans. No other part of bodega imports hera, whose models take half a second to load.

`manifest` makes a workflow of `templates`, `finish` is what happens when a workflow ends, `lint` finds what is wrong with a
manifest, whoever wrote it, `submit` sends one to a cluster, and `watch` shows what becomes of it. What every pod gets is
decided in `bodega.kubernetes.pods`.
"""
