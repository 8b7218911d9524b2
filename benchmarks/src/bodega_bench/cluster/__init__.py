"""``bodega bench argo-manifests`` and ``argo-report``: the pipeline's benchmark as workflows of a cluster, and their times."""
