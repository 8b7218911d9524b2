"""What stands between a machine and a store that is fast and safe, and the command that mends each thing.

`checks` are functions of facts (texts of ``/proc`` and ``/sys``, numbers), so that each can be tried on the facts of
any machine; `machine` gathers the facts of this one.
"""

from bodega.doctor.machine import check

__all__ = ["check"]
