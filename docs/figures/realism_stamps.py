# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
How well classifiers tell real stamps from simulated ones, by field.
"""

import matplotlib.pyplot as plt
from _realism import bar, results

LOOKS = {
    'boosted trees': ('#1f6f4a', 'o'),
    'logistic regression': ('#2b6cb0', 's'),
    'cn network': ('#c8372d', '^'),
}

parts = {}
for field, entry in results('stamps').items():
    if isinstance(entry, dict):
        parts['pooled, real' if field == 'pooled' else field] = entry['all']
        if 'candidate' in entry and (field == 'pooled' or field.startswith('control')):
            name = field.removeprefix('control: ').replace('pooled', 'pooled, real')
            parts[f'{name}, candidates'] = entry['candidate']
figure, panel = plt.subplots(figsize=(9.5, 3.6))
for number, (name, (colour, marker)) in enumerate(LOOKS.items()):
    known = [i for i, part in enumerate(parts.values()) if name in part['auc']]
    if not known:
        continue
    values = [list(parts.values())[i]['auc'][name] for i in known]
    places = [i + 0.15 * (number - 1) for i in known]
    bar(panel, places, values, colour=colour, marker=marker, label=name)
panel.axhline(0.5, color='grey', lw=0.8)
panel.axhline(0.75, color='black', lw=0.8, ls='--')
panel.text(3, 0.755, 'wanted: below', fontsize=8, va='bottom', ha='center')
labels = [name.removeprefix('control: ').replace(', ', '\n') for name in parts]
panel.set_xticks(range(len(parts)), labels, fontsize=8)
panel.set(ylabel='AUC, real against simulated', ylim=(0.22, 1.02), xlim=(-0.5, len(parts) - 0.5))
panel.legend(fontsize=8, loc='upper left')
panel.grid(axis='y', alpha=0.25)
figure.tight_layout()
