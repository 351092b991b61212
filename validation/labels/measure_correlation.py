# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure with which correlation the votes of real crowds have to count::

    python validation/labels/measure_correlation.py FOLDER

``FOLDER`` holds the crowds of ``gather_crowds.py``, none of which is in the shared data. Writes
``results/correlation.json``: for each crowd what its truth says and what its votes say, and the
median and the scatter of both, which ``clustercnn.labels`` starts from.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from crowds import coded, real_crowds

from clustercnn import evaluation, labels
from clustercnn.labels._confidence import (
    Correlation,
    effective_votes,
    soften,
    vote_correlation,
)

HERE = Path(__file__).resolve().parent
CORRELATIONS = np.geomspace(0.05, 20, 121)
# of a normal distribution, in units of its median absolute deviation
_SIGMA = 1.4826


def softened(probability, votes, prior, value):
    """
    Return the probabilities with one correlation.
    """
    one = Correlation(values=np.array([value]), weight=np.ones(1))
    return soften(probability, votes, one, prior=prior)


def losses(probability, votes, prior, truth):
    """
    Return the mean of -ln of the probability of the truth for each correlation.
    """
    rows = np.arange(len(truth))
    made = (softened(probability, votes, prior, value)[rows, truth] for value in CORRELATIONS)
    return np.array([-np.log(np.maximum(found, 1e-300)).mean() for found in made])


def measure(truth, item, who, said, n_classes):
    """
    Return what truth and votes say of the correlation of one crowd.
    """
    result = labels.dawid_skene(item, who, said, n_classes=n_classes, n_items=len(truth))
    left, error = vote_correlation(item, who, said, result)
    votes = np.maximum(effective_votes(item, who, result, n_items=len(truth)), 1)
    known = (truth >= 0) & np.isfinite(result.probability).all(axis=1)
    probability, votes, truth = result.probability[known], votes[known], truth[known]
    loss = losses(probability, votes, result.prior, truth)
    right = probability.argmax(axis=1) == truth
    return {
        'items': int(known.sum()),
        'effective_votes': float(votes.mean()),
        'right': float(right.mean()),
        'left': left,
        'left_error': error,
        'needed': float(CORRELATIONS[loss.argmin()]),
        'ece_if_independent': float(
            evaluation.expected_calibration_error(probability.max(axis=1), right)
        ),
    }, (probability, votes, result.prior, truth)


def middle(values):
    """
    Return the median and the scatter of the logarithm, both hardly moved by single crowds.
    """
    logarithm = np.log(values)
    centre = np.median(logarithm)
    return float(np.exp(centre)), float(_SIGMA * np.median(np.abs(logarithm - centre)))


def softened_error(probability, votes, prior, truth, value):
    """
    Return the calibration error with a correlation.
    """
    soft = softened(probability, votes, prior, value)
    right = soft.argmax(axis=1) == truth
    return float(evaluation.expected_calibration_error(soft.max(axis=1), right))


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('-o', '--output', type=Path, default=HERE / 'results' / 'correlation.json')
    options = parser.parse_args()
    found, kept = {}, {}
    for name, (truth, votes) in real_crowds(None, options.folder).items():
        found[name], kept[name] = measure(*coded(truth, votes))
        print(name, json.dumps(found[name]), flush=True)
    needed = {name: entry['needed'] for name, entry in found.items()}
    for name, parts in kept.items():
        others, _ = middle([value for other, value in needed.items() if other != name])
        found[name]['ece_from_the_others'] = softened_error(*parts, others)
    typical, scatter = middle(list(needed.values()))
    left, left_scatter = middle([e['left'] for e in found.values() if e['left'] > 0])
    results = {
        'typical': typical,
        'scatter': scatter,
        'typical_left': left,
        'scatter_left': left_scatter,
        'crowds': found,
    }
    options.output.write_text(json.dumps(results, indent=2) + '\n')
    print(json.dumps({key: value for key, value in results.items() if key != 'crowds'}, indent=2))


if __name__ == '__main__':
    main()
