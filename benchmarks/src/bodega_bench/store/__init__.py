"""``bodega bench store``: put and get beside other systems, in one run.

`peers` says who is compared, `plan` what is measured, and `peer_process` starts a process that measures one system
(`peer_worker`, with `peer_systems`, `peer_servers` and `peer_reading`, which run in the environment of that system).
`results` makes rows of what was measured, `report` and `plot` show them, `command` has the command line.

Nothing is imported here: parts of this package run in the environments of peers, which have little installed.
"""
