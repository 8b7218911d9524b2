"""``python -m bodega`` is the command ``bodega``."""

from bodega.cli import main

main(prog_name="bodega")
