# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Purity against completeness and the calibration of simulated scores.
"""

import numpy as np

rng = np.random.default_rng(3)
truth = rng.random(20_000) < 0.2
# calibrated by construction: the odds are those of the two normal densities
evidence = rng.normal(np.where(truth, 1.2, -1.2), 1.0)
score = 1 / (1 + np.exp(-2.4 * evidence - np.log(0.2 / 0.8)))
