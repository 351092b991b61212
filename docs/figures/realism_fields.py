# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Wavelet power of real and simulated fields, over that of Poisson noise.
"""

import matplotlib.pyplot as plt
import numpy as np
from _realism import REAL, SIMULATED, bar, results

fields = results('xray')['fields']
figure, axes = plt.subplots(
    2, len(fields), figsize=(3.4 * len(fields), 5.6), sharey='row', squeeze=False
)
for column, (name, entry) in enumerate(fields.items()):
    for row, sources in enumerate(('with sources', 'without sources')):
        panel = axes[row, column]
        real = entry['real'][sources]['wavelet power']
        simulated = entry['simulated'][sources]['wavelet power']
        scale = np.array([float(key.split()[0]) for key in real])
        by_others = 'by others' in name
        bar(
            panel,
            scale * 0.96,
            list(real.values()),
            colour='#7a5195' if by_others else REAL,
            label='simulated by others (SIXTE)' if by_others else 'real',
        )
        bar(
            panel,
            scale * 1.04,
            list(simulated.values()),
            colour=SIMULATED,
            marker='s',
            label='simulated (clustercnn)',
        )
        panel.axhline(1, color='grey', lw=0.8)
        panel.set_xscale('log', base=2)
        if row == 0:
            # one bright source makes most of the power: the means scatter by factors
            panel.set_yscale('log')
            panel.set_ylim(0.5, 300)
        else:
            panel.set_ylim(0.8, 3)
        panel.set_xticks(scale, [f'{value:.0f}' for value in scale])
        panel.minorticks_off()
        panel.grid(alpha=0.25)
        if row == 0:
            panel.set_title(name.split(' (')[0], fontsize=10)
            panel.legend(fontsize=8, loc='upper left')
        else:
            panel.set_xlabel('scale [arcsec]')
        if column == 0:
            panel.set_ylabel(f'power over Poisson noise\n{sources}')
figure.tight_layout()
