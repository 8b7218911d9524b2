"""Argo workflows of plans. No other part of bodega imports hera, whose models take half a second to load.

`manifest` makes a workflow, `pods` decides what every pod gets, `finish` is what happens when a workflow ends, and `lint`
finds what is wrong with a manifest, whoever wrote it.
"""
