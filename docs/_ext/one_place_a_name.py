# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Each public object has one page; the other names that it can be imported by lead there.
"""

import importlib

from sphinx.util.nodes import make_refnode


def _object_of(name):
    """
    Return what a dotted name stands for, None if it stands for nothing.
    """
    parts = name.split('.')
    for n_module in range(len(parts), 0, -1):
        try:
            found = importlib.import_module('.'.join(parts[:n_module]))
        except ImportError:
            continue
        for part in parts[n_module:]:
            found = getattr(found, part, None)
        return found
    return None


def _resolve(app, env, node, contnode):
    """
    Link a name without a page of its own to the page of the same object.
    """
    if node.get('refdomain') != 'py':
        return None
    domain = env.get_domain('py')
    target = node.get('reftarget', '').lstrip('~')
    # a page is written for `clustercnn.Classifier`, while a docstring may say
    # `clustercnn.classifier.Classifier` or, inside its module, `Classifier`
    inside = [node.get('py:module') or '', 'clustercnn']
    for name in [target, *(f'{module}.{target}' for module in inside if module)]:
        if not name.startswith('clustercnn'):
            continue
        wanted = _object_of(name)
        if wanted is None or isinstance(wanted, (bool, int, float, str)):
            continue
        last = name.rpartition('.')[2]
        for known, entry in domain.objects.items():
            if known.rpartition('.')[2] == last and _object_of(known) is wanted:
                return make_refnode(
                    app.builder, node['refdoc'], entry.docname, entry.node_id, contnode, known
                )
    return None


def setup(app):
    """
    Register the resolver.

    Parameters
    ----------
    app : `~sphinx.application.Sphinx`
        The application.

    Returns
    -------
    metadata : dict
        For Sphinx.
    """
    app.connect('missing-reference', _resolve)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
