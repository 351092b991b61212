# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The page of results: self-contained HTML with tables and figures.
"""

import base64
import hashlib
import html
from pathlib import Path

from clustercnn._utils.files import atomic_path
from clustercnn.experiments.tables import TABLES, describe_sample
from clustercnn.report._style import STYLE

__all__ = ['write_page']

_CAPTIONS = {
    'roc': 'Completeness against false positives: mean over runs, with the middle 68 % of the '
    'runs as bands; experts and volunteers as points with 95 % intervals.',
    'accuracy': 'Accuracy: a stroke a run, the mean as a point with its 95 % sampling interval.',
    'bands': 'What each band is worth to each network.',
    'properties': 'Accuracy by counts, and completeness of clusters by redshift, with 95 % '
    'intervals.',
    'confusion': 'How often each class is taken for each.',
}


def write_page(path, results, pictures):
    """
    Write the page.

    Parameters
    ----------
    path : path-like
        HTML file; replaced if it exists.
    results : dict
        Of `~clustercnn.experiments.run_kosiba2020`.
    pictures : dict of str to path-like
        PNG file of each figure.
    """
    kind = results['kind']
    title = f'The comparison of Kosiba et al. (2020), on {kind} data'
    parts = [
        f'<h1>{html.escape(title)}</h1>',
        f'<p class="soft">Made by clustercnn {html.escape(results["version"])}. All numbers on '
        f'this page are <b>{kind}</b>.</p>',
        *(f'<p>{html.escape(line)}</p>' for line in describe_sample(results)),
    ]
    if kind == 'simulated':
        parts.append(
            '<div class="notes">Sky, experts and volunteers are simulated. The paper reports '
            '90 % for its custom network, averaged over ten runs, on 85 real clusters and 85 '
            'real others; 153 of 170 have a 95 % sampling interval of 84.6 to 93.7 %.</div>'
        )
    for name, picture in pictures.items():
        data = base64.b64encode(Path(picture).read_bytes()).decode('ascii')
        caption = f'{_CAPTIONS[name]} All {kind}.'
        parts.append(
            f'<figure><img class="chart" alt="{html.escape(caption)}" '
            f'src="data:image/png;base64,{data}"><figcaption>{html.escape(caption)}</figcaption>'
            '</figure>'
        )
    for words, make in TABLES.values():
        heads, rows = make(results)
        if rows:
            parts.append(f'<h2>{html.escape(words)} ({kind})</h2>{_table(heads, rows)}')
    settings = [(key, str(value)) for key, value in results['config'].items()]
    parts.append(f'<h2>Settings</h2>{_table(("setting", "value"), settings)}')
    digest = base64.b64encode(hashlib.sha256(STYLE.encode('utf-8')).digest()).decode('ascii')
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>'
        + '\n'.join(parts)
        + '</body></html>\n'
    )
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding='utf-8')


def _table(heads, rows):
    head = ''.join(f'<th>{html.escape(text)}</th>' for text in heads)
    body = ''.join(
        '<tr>' + ''.join(f'<td>{html.escape(text)}</td>' for text in row) + '</tr>' for row in rows
    )
    return (
        f'<div class="scroll"><table class="candidates"><thead><tr>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div>'
    )
