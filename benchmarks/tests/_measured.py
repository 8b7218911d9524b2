"""Measurements with known times, as a benchmark would have left them."""

from bodega.demo.project import Step
from bodega_bench.pipeline.measurements import Measurement, Measurements

NODES = ("read_houses", "drop_outliers", "log_price")
SETUP = {"python": "3.11", "packages": "bodega 1, kedro 1.7", "distance": "20 ms, 500 Mbit/s"}
SESSION = {
    "when": "2026-01-01T00:00:00+00:00",
    "command": "bodega bench pipeline --scales 1,10,100",
    "runs": ["MULTIPLIER=SCALE kedro run --env bodega --nodes NODE  # bodega"],
    "setup": SETUP,
    "machine": {"processors": 2, "load average": [0.1, 0.2, 0.3]},
}
MOVING = {"bodega": 0.00001, "memory": 0.00002, "csv": 0.02, "s3-csv": 0.04, "s3-csv-simulated": 0.08, "vineyard": 0.01}
"""Seconds that a node loads, and saves, for each 1,460 houses."""


def measurement(medium, scale, repeat=0, *, moving=None, start_up=1.0, private=100_000_000):
    """Each node starts up, and computes 1 ms for each 1,460 houses; later repeats take a little longer."""
    seconds = (MOVING[medium] if moving is None else moving) * scale * (1 + repeat / 10)
    nodes = ("all nodes",) if medium == "memory" else NODES
    steps = tuple(
        Step(
            node=node,
            load=seconds,
            compute=0.001 * scale * len(NODES) / len(nodes),
            save=seconds,
            process=start_up + 2 * seconds + 0.001 * scale * len(NODES) / len(nodes),
            shape=(1460 * scale, 81),
            peak=2 * private,
            private=private,
        )
        for node in nodes
    )
    return Measurement(medium, scale, repeat, steps, 0 if medium == "memory" else 5_000_000 * scale)


def journal_of(folder, measurements):
    """A folder with a session of these."""
    journal = Measurements(folder)
    journal.begin(SESSION)
    for each in measurements:
        journal.add(each)
    return journal


def full_journal(folder):
    """Six media at four scales, twice each, but for what did not fit."""
    journal = journal_of(
        folder,
        [
            measurement(medium, scale, repeat)
            for scale in (1, 10, 100, 1000)
            for repeat in range(2)
            for medium in MOVING
            if (medium, scale) != ("vineyard", 1000)
        ],
    )
    journal.leave_out("vineyard", 1000, "it would take about 30 GiB of memory, and 20 GiB are left")
    return journal
