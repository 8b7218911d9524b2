"""What single operations cost, against the least that the same machine can do: `arrays`, `values`, `scale`, `tiers`."""
