"""What the nodes do. Some of them change what they are given, as people do."""

import numpy as np
import pandas as pd


def record_rides(seed, days, rides_a_day, cities):
    """The rides of one day after the other."""
    random = np.random.default_rng(seed)
    for day in range(days):
        count = int(random.poisson(rides_a_day))
        yield pd.DataFrame(
            {
                "day": np.full(count, day),
                "city": random.choice(cities, count),
                "minutes": random.gamma(2.0, 7.0 + day % 7, count),
                "station": [f"S{number:02}" for number in random.integers(0, 12, count)],
            }
        )


def split_week(rides):
    """Each day's rides on working days, and at weekends; one of the two is empty."""
    for _, day in rides.groupby("day"):
        weekend = day["day"] % 7 >= 5
        yield {"work": day[~weekend].reset_index(drop=True), "leisure": day[weekend].reset_index(drop=True)}


def count_week(work, leisure):
    """How many rides, and for how long."""
    return {kind: [len(rides), float(rides["minutes"].sum())] for kind, rides in (("work", work), ("leisure", leisure))}


def sum_up(rides, slope, bounds, city):
    """Minutes a day in one city, without the shortest and the longest rides."""
    rides = rides.loc[rides["city"] == city]
    low, high = rides["minutes"].quantile(bounds[0]), rides["minutes"].quantile(bounds[1])
    rides = rides[rides["minutes"].between(low, high)]
    daily = rides.groupby("day")["minutes"].sum().to_frame()
    daily["minutes"] *= slope
    return daily


def fit(daily, degree):
    """A curve through the days; smooths the input in place first."""
    daily.iloc[1:-1, 0] = np.convolve(daily["minutes"].to_numpy(), [0.25, 0.5, 0.25], "valid")
    return {"coefficients": np.polyfit(daily.index.to_numpy(), daily["minutes"].to_numpy(), degree)}


def look_ahead(daily, forecast):
    """The raw last day, and what the curve says of the next."""
    return [float(daily["minutes"].iloc[-2]), float(np.polyval(forecast["coefficients"], len(daily)))]


def find_busiest(rides):
    """The three stations with most rides; written with polars."""
    import polars as pl

    counts = rides.group_by("station").agg(pl.len().alias("rides")).sort(["rides", "station"], descending=[True, False])
    return counts.head(3).rows()


def write_report(north, south, busiest, week, parameters):
    """Everything that came out."""
    return {
        "north": north,
        "south": south,
        "busiest": [list(row) for row in busiest],
        "week": week,
        "degree": parameters["model"]["degree"],
    }
