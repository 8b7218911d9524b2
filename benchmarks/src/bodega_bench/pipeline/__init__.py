"""``bodega bench pipeline``: the house-prices example through every medium, at growing scales.

`media` names what is compared, `places` holds what a medium needs while it is measured (`distance` makes a server seem
far away), `measurements` keeps what was measured, `guard` says what would not fit, `running` takes the turns. `summary` makes
figures of it, `published` has those that others published, `plots`, `tables` and `page` show them, `report` writes the
three reports. `command` has the command lines. `runners` compares Kedro's runners with bodega's.
"""
