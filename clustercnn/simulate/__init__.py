# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A simulated X-ray and optical sky with truth: to train on, to validate with,
and to show. Everything here is simulated and says so in its headers.
"""

from clustercnn.simulate.bands import OPTICAL_SURVEYS, OpticalBand
from clustercnn.simulate.clusters import cluster_number_counts
from clustercnn.simulate.config import RANDOMISED_RANGES, SimulationConfig
from clustercnn.simulate.crowd import (
    EXPERTS,
    VOLUNTEERS,
    People,
    SimulatedCrowd,
    simulate_crowd,
    simulate_votes,
)
from clustercnn.simulate.field import PhotonOrigin, SimulatedField, simulate_field
from clustercnn.simulate.inject import Injection, inject
from clustercnn.simulate.missions import (
    MISSIONS,
    Camera,
    Mission,
    PointSpread,
    get_mission,
)
from clustercnn.simulate.optical import (
    characteristic_magnitude,
    galaxy_number_counts,
    star_number_counts,
)
from clustercnn.simulate.populations import agn_number_counts
from clustercnn.simulate.training_set import (
    TrainingSet,
    field_seed,
    simulate_fields,
    simulate_training_set,
)

__all__ = [
    'EXPERTS',
    'MISSIONS',
    'OPTICAL_SURVEYS',
    'RANDOMISED_RANGES',
    'VOLUNTEERS',
    'Camera',
    'Injection',
    'Mission',
    'OpticalBand',
    'People',
    'PhotonOrigin',
    'PointSpread',
    'SimulatedCrowd',
    'SimulatedField',
    'SimulationConfig',
    'TrainingSet',
    'agn_number_counts',
    'characteristic_magnitude',
    'cluster_number_counts',
    'field_seed',
    'galaxy_number_counts',
    'get_mission',
    'inject',
    'simulate_crowd',
    'simulate_field',
    'simulate_fields',
    'simulate_training_set',
    'simulate_votes',
    'star_number_counts',
]
