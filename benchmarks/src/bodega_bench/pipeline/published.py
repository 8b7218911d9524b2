"""What was published of Vineyard: the figures that many chose it by.

The seconds that a house-prices pipeline took on a Kubernetes cluster, as the sum of its pods' run times, by how many times
the data, as the Vineyard project gave them for its Kedro plugin.
"""

from __future__ import annotations

SCALES = (1, 10, 100, 500, 1000, 2000)
SECONDS = {
    "Vineyard": (4.2, 4.9, 13.2, 53.6, 109.8, 231.6),
    "MinIO": (4.3, 5.5, 20.3, 84.5, 164.2, 335.9),
    "cloudpickle + zstd on S3": (22.5, 28.6, 64.4, 173.2, 322.7, 632.8),
    "AWS S3": (16.9, 23.3, 74.0, 267.9, 510.6, 1069.7),
}
COUNTERPARTS = {
    "Vineyard": ("vineyard",),
    "MinIO": ("s3-csv",),
    "cloudpickle + zstd on S3": ("s3-cloudpickle-zstd-simulated", "s3-cloudpickle-zstd"),
    "AWS S3": ("s3-csv-simulated",),
}
"""The media measured here that come next to each, the nearest first."""


def published(column: str, scale: int) -> float | None:
    """The seconds of a column at a scale, if published."""
    return SECONDS[column][SCALES.index(scale)] if scale in SCALES else None
