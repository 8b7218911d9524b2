"""Argo workflows of plans. No other part of bodega imports hera, whose models take half a second to load.

`manifest` makes a workflow, `pods` decides what every pod gets, `finish` is what happens when a workflow ends, `lint`
finds what is wrong with a manifest, whoever wrote it, `submit` sends one to a cluster, and `watch` shows what becomes of it.
"""
