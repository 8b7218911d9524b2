"""``bodega demo``: the house-prices example through CSV files and through bodega, timed side by side.

Every Kedro node runs in a process of its own, as it would as a task of a workflow: what one hands to the next
leaves its memory. `project` and `worker` run and time those processes, `measure` names what is compared, `report` and
`chart` show the result, `command` is the command line.
"""
