"""``bodega bench``: what sharing costs, beside other ways to share, measured on the machine at hand.

Nothing is imported here: parts of this package also run in the environments of peers, which have little installed.
"""
