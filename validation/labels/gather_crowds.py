# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Bring public crowds with known truth into one form::

    python validation/labels/gather_crowds.py CLONES FOLDER

``CLONES`` holds clones of the repositories in ``SOURCES``, under the names of these; none of it is
shipped. ``FOLDER`` gets a folder for each crowd with ``answer.csv`` and ``truth.csv``.
"""

import argparse
import csv
import itertools
from pathlib import Path

SOURCES = {
    'crowd_truth_infer': 'https://github.com/zhydhkcws/crowd_truth_infer',
    'active-crowd-toolkit': 'https://github.com/orchidproject/active-crowd-toolkit',
    'bayesian_combination_tutorial2': (
        'https://github.com/edwinrobots/bayesian_combination_tutorial2'
    ),
    'Get-Another-Label': 'https://github.com/ipeirotis/Get-Another-Label',
}
# Zheng et al. (2017, VLDB 10, 541): question, worker, answer and question, truth
_ZHENG = {
    'product': 'datasets/d_jn-product',
    'dog': 'datasets/s4_Dog data',
    'weather': 'methods/l_BCC',
}
# Venanzi et al. (2015, HCOMP): worker, item, answer, truth
_VENANZI = {
    'weather, other people': 'CF',
    'music': 'MS',
    'sentiment': 'SP',
    'sentiment, other items': 'SP_amt',
    'entities, India': 'ZenCrowd_in',
    'entities, US': 'ZenCrowd_us',
}
# Snow et al. (2008, EMNLP): with headers
_SNOW = {'entailment': 'rte', 'order in time': 'temp'}
# Sheng, Provost & Ipeirotis (2008, KDD): worker, item, answer and item, truth
_IPEIROTIS = {
    'adult content': ('AdultContent2', 'gold.txt'),
    'spam': ('HITspam-UsingCrowdflower', 'gold.txt'),
    'binary': ('BarzanMozafari', 'evaluation.txt'),
}


def _rows(path, delimiter=','):
    with path.open(newline='', encoding='utf-8', errors='replace') as stream:
        return [[cell.strip() for cell in row] for row in csv.reader(stream, delimiter=delimiter)]


def crowds_in(clones):
    """
    Return answers (item, person, class) and truth (item, class) by name of the crowd.
    """
    found = {}
    for name, place in _ZHENG.items():
        folder = clones / 'crowd_truth_infer' / place
        answers, truth = (_rows(folder / part)[1:] for part in ('answer.csv', 'truth.csv'))
        found[name] = [row[:3] for row in answers], [row[:2] for row in truth]
    for name, part in _VENANZI.items():
        rows = _rows(clones / 'active-crowd-toolkit' / 'Data' / f'{part}.csv')
        found[name] = [[row[1], row[0], row[2]] for row in rows], [[row[1], row[3]] for row in rows]
    for name, part in _SNOW.items():
        folder = clones / 'bayesian_combination_tutorial2' / 'all_collected_data'
        rows = _rows(folder / f'{part}.standardized.tsv', '\t')[1:]
        found[name] = [[row[2], row[1], row[3]] for row in rows], [[row[2], row[4]] for row in rows]
    for name, (part, truth) in _IPEIROTIS.items():
        folder = clones / 'Get-Another-Label' / 'data' / part
        answers, known = (_rows(folder / one, '\t') for one in ('labels.txt', truth))
        found[name] = [[row[1], row[0], row[2]] for row in answers if row], known
    return found


def write_crowd(folder, answers, truth):
    """
    Write a crowd; numbers are made names, so that they are not read as such.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voted = {row[0] for row in answers}
    known = {row[0]: row[1] for row in truth if row and row[0] in voted}
    for name, head, rows in (
        ('answer.csv', ['question', 'worker', 'answer'], answers),
        ('truth.csv', ['question', 'truth'], known.items()),
    ):
        with (folder / name).open('w', newline='', encoding='utf-8') as stream:
            named = ([f'i{row[0]}', *row[1:-1], f'c{row[-1]}'] for row in rows)
            csv.writer(stream).writerows(itertools.chain([head], named))


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('clones', type=Path)
    parser.add_argument('folder', type=Path)
    options = parser.parse_args()
    for name, (answers, truth) in crowds_in(options.clones).items():
        write_crowd(options.folder / name, answers, truth)
        print(f'{name}: {len(answers)} votes')


if __name__ == '__main__':
    main()
