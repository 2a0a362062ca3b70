"""Wall time of several calls, interleaved in one run, so that a disturbance hits all of them alike."""

import statistics
import time
from collections.abc import Callable
from typing import Any

Times = dict[Any, list[float]]


def interleaved(calls: dict[Any, Callable[[], Any]], repeats: int) -> Times:
    """Seconds of each call, A B C A B C ..., after one round that is not counted."""
    seconds: Times = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_and_spread(values: list[float]) -> tuple[float, float]:
    """Median and half the distance between the quartiles."""
    low, _, high = statistics.quantiles(values, n=4)
    return statistics.median(values), (high - low) / 2


def median_ratio(values: list[float], others: list[float]) -> float:
    """Median of values / others, round by round: what slows the machine for a while slows both."""
    return statistics.median(value / other for value, other in zip(values, others, strict=True))
