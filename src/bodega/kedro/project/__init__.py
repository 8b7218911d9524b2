"""A Kedro project as bodega sees it: its ``bodega.yml``, its root and run, its pipelines and catalog."""
