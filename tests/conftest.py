"""What every test shares: repeatable random numbers, no display, no deadline for a busy machine to miss."""

import os
import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import wengert as wg

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in what it starts with &
os.environ["MPLBACKEND"] = "Agg"  # pictures are written to files, here and in the commands that tests start

settings.register_profile(
    "wengert", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("wengert")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives every test the same numbers in every run."""
    return np.random.default_rng(20161230)


@pytest.fixture
def tape():
    """A new eager tape."""
    return wg.Tape()
