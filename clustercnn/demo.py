# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The whole chain on a simulated field: what a newcomer runs first.
"""

from pathlib import Path

import numpy as np

from clustercnn.pipeline import run_field
from clustercnn.simulate import SimulatedField, simulate_field

__all__ = ['compare_with_truth', 'run_demo']

# never used in training, whose seeds are listed in the model card
_DEMO_SEED = 20201


def run_demo(output, *, seed=_DEMO_SEED, overwrite=False, quiet=None):
    """
    Simulate a field, run the chain on it with the shipped model, compare with the truth.

    Parameters
    ----------
    output : str or path-like
        Folder to write to; the simulated images go to its subfolder ``field``.
    seed : int, optional
        Of the simulated sky.
    overwrite : bool, optional
        Whether files there may be replaced.
    quiet : bool, optional
        Whether to hide progress bars.

    Returns
    -------
    result : FieldResult
        What `~clustercnn.pipeline.run_field` returned.
    comparison : dict of str to int
        What `compare_with_truth` returned.
    """
    folder = Path(output) / 'field'
    field = simulate_field(seed=seed)
    field.write(folder, overwrite=overwrite)
    result = run_field(
        folder / 'xray.fits',
        exposure=folder / 'exposure.fits',
        optical=folder / 'optical.fits',
        output=output,
        overwrite=overwrite,
        seed=seed,
        quiet=quiet,
    )
    return result, compare_with_truth(SimulatedField.read(folder), result.catalog)


def compare_with_truth(field, catalog):
    """
    Count what became of the simulated clusters.

    Parameters
    ----------
    field : SimulatedField
        The simulated field.
    catalog : CandidateCatalog
        Ranked candidates.

    Returns
    -------
    comparison : dict of str to int
        ``clusters_found``, ``clusters_accepted`` (``p_cluster`` above 0.5),
        ``others_found`` and ``others_accepted``.
    """
    matched = field.match(catalog)
    is_cluster = np.asarray(matched['class']) == 'cluster'
    accepted = np.zeros(len(catalog), bool)
    if 'p_cluster' in catalog:
        accepted = np.asarray(catalog['p_cluster']) > 0.5
    return {
        'clusters_found': int(is_cluster.sum()),
        'clusters_accepted': int((is_cluster & accepted).sum()),
        'others_found': int((~is_cluster).sum()),
        'others_accepted': int((~is_cluster & accepted).sum()),
    }
