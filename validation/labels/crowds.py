# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Real crowds whose truth is known, and families of simulated ones.
"""

import re

import numpy as np
from astropy.table import Table

N_ITEMS, N_PEOPLE, N_VOTES, N_CLASSES = 400, 60, 9, 3
# a row of votes and one of truth, as the collections of Zheng et al. (2017, VLDB 10, 541) have them
_ANSWERS, _TRUTH = 'answer.csv', 'truth.csv'


def bluebirds(data):
    """
    Return truth by item and votes of Welinder et al. 2010: 108 pictures, 39 people, two classes.
    """
    folder = data / 'crowd'
    text = (folder / 'welinder_bluebirds_gt.yaml').read_text()
    truth = dict(re.findall(r'(\d+): (true|false)', text))
    text = (folder / 'welinder_bluebirds_labels.yaml').read_text()
    rows = []
    for person, body in re.findall(r'(\d+): \{([^}]*)\}', text):
        rows += [(item, person, said) for item, said in re.findall(r'(\d+): (true|false)', body)]
    return truth, Table(rows=rows, names=['item', 'annotator', 'label'])


def _from_tables(answers, truth):
    votes = Table.read(answers, format='ascii.csv')
    votes.rename_columns(['question', 'worker', 'answer'], ['item', 'annotator', 'label'])
    table = Table.read(truth, format='ascii.csv')
    return {str(row['question']): str(row['truth']) for row in table}, votes


def faces(data):
    """
    Return truth by item and votes of Mozafari et al. 2014: 584 pictures, 27 people, four classes.
    """
    folder = data / 'crowd'
    return _from_tables(folder / 'faces4_answer.csv', folder / 'faces4_truth.csv')


def real_crowds(data, more=None):
    """
    Return truth and votes of the two crowds of the shared data, if any, and of those in another
    folder.

    That has a folder for each crowd, with ``answer.csv`` (question, worker, answer) and
    ``truth.csv`` (question, truth).
    """
    found = {} if data is None else {'bluebirds': bluebirds(data), 'faces': faces(data)}
    for path in sorted(more.iterdir()) if more else ():
        if (path / _ANSWERS).exists():
            found[path.name] = _from_tables(path / _ANSWERS, path / _TRUTH)
    return found


def coded(truth, votes):
    """
    Return the class of each item, -1 where not known, item, person and class of each vote, and the
    number of classes; of several votes of a person on an item the last counts.
    """
    items, item = np.unique(np.asarray(votes['item'], str), return_inverse=True)
    _, who = np.unique(np.asarray(votes['annotator'], str), return_inverse=True)
    classes = sorted({*truth.values(), *map(str, votes['label'])})
    code = {name: number for number, name in enumerate(classes)}
    said = np.array([code[str(name)] for name in votes['label']])
    pair = item * (who.max() + 1) + who
    last = np.sort(len(pair) - 1 - np.unique(pair[::-1], return_index=True)[1])
    known = np.array([code[truth[name]] if name in truth else -1 for name in items])
    return known, item[last], who[last], said[last], len(classes)


def _matrices(error, wrong):
    """
    Return matrices from errors, (n_people, n_classes), and shares of the wrong classes.
    """
    n_people, n_classes = error.shape
    matrices = np.empty((n_people, n_classes, n_classes))
    for person in range(n_people):
        for true in range(n_classes):
            own = error[person, true]
            matrices[person, true] = np.insert(own * wrong[person, true], true, 1 - own)
    return matrices


def _one_error(rng, mean):
    return np.repeat(rng.beta(6 * mean, 6 * (1 - mean), N_PEOPLE)[:, None], N_CLASSES, axis=1)


def _people(rng, family):
    """
    Return the matrices of the people of a family.
    """
    even = np.full((N_PEOPLE, N_CLASSES, N_CLASSES - 1), 1 / (N_CLASSES - 1))
    if family == 'by class':
        error = rng.beta(6 * 0.35, 6 * 0.65, (N_PEOPLE, N_CLASSES))
        return _matrices(error, rng.dirichlet(np.ones(N_CLASSES - 1), (N_PEOPLE, N_CLASSES)))
    if family == 'spammers':
        matrices = _matrices(_one_error(rng, 0.2), even)
        idle = rng.random(N_PEOPLE) < 0.4
        # they always say the same
        matrices[idle] = np.eye(N_CLASSES)[rng.integers(0, N_CLASSES, idle.sum())][:, None]
        return matrices
    if family == 'few votes':
        return _matrices(np.full((N_PEOPLE, N_CLASSES), 0.3), even)
    return _matrices(_one_error(rng, 0.4 if family == 'one coin' else 0.25), even)


FAMILIES = {
    'one coin': 'one error rate each, 40 % on average, wrong votes even',
    'by class': 'errors of 35 % on average, drawn anew for each class, wrong votes uneven',
    'spammers': '40 % of the people always say the same, the others err in 20 %',
    'few votes': 'three votes an item, all err in 30 %',
    'rare class': 'one item in twenty of the third class, errors of 25 %',
    'hard items': 'errors of 25 %, odds of all votes on an item shifted by a normal deviate of 1.5',
    'misled': 'errors of 25 %, a fifth of the items looks like another class to 70 %',
    'no doubt': 'errors of 25 %, a fifth of the items looks to all as another class does',
}


def simulate_family(family, *, seed):
    """
    Return truth and votes (item, person, class) of a *simulated* crowd of a family.
    """
    rng = np.random.default_rng([seed, list(FAMILIES).index(family)])
    share = [0.6, 0.35, 0.05] if family == 'rare class' else np.full(N_CLASSES, 1 / N_CLASSES)
    truth = rng.choice(N_CLASSES, N_ITEMS, p=share)
    matrices = _people(rng, family)
    n_votes = 3 if family == 'few votes' else N_VOTES
    item = np.repeat(np.arange(N_ITEMS), n_votes)
    who = np.concatenate([rng.choice(N_PEOPLE, n_votes, replace=False) for _ in range(N_ITEMS)])
    looks = truth.copy()
    odd = rng.random(N_ITEMS) < 0.2
    other = (truth + rng.integers(1, N_CLASSES, N_ITEMS)) % N_CLASSES
    if family == 'no doubt':
        looks[odd] = other[odd]
    seen = looks[item]
    if family == 'misled':
        seen = np.where(odd[item] & (rng.random(len(item)) < 0.7), other[item], seen)
    probability = matrices[who, seen]
    if family == 'hard items':
        shift = rng.normal(0, 1.5, (N_ITEMS, N_CLASSES))
        probability = probability * np.exp(shift[item])
        probability /= probability.sum(axis=1, keepdims=True)
    edges = np.cumsum(probability, axis=1)[:, :-1]
    return truth, item, who, (rng.random(len(item))[:, None] > edges).sum(axis=1)
