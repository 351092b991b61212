# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fields of data classes are described once, where their parameters are; pages show it at both.
"""

import dataclasses
import importlib
import inspect
import pkgutil

from numpydoc.docscrape import NumpyDocString
from sphinx.pycode import ModuleAnalyzer

import clustercnn


def _descriptions(cls):
    """
    Yield name and description of the fields of a data class.
    """
    parameters = {}
    for parameter in NumpyDocString(inspect.getdoc(cls))['Parameters']:
        for name in parameter.name.split(','):
            parameters[name.strip()] = parameter.desc
    for field in dataclasses.fields(cls):
        if field.name in parameters:
            yield field.name, parameters[field.name]


def _describe(app):
    """
    Give the fields of all public data classes the descriptions of their parameters.
    """
    seen = set()
    for module in pkgutil.iter_modules(clustercnn.__path__):
        if module.name.startswith('_') or module.name == 'cli':
            continue
        found = importlib.import_module(f'clustercnn.{module.name}')
        for name in found.__all__:
            cls = getattr(found, name)
            if not inspect.isclass(cls) or not dataclasses.is_dataclass(cls) or cls in seen:
                continue
            seen.add(cls)
            # as if a comment stood beside each field in the source
            analyzer = ModuleAnalyzer.for_module(cls.__module__)
            analyzer.analyze()
            for field, text in _descriptions(cls):
                analyzer.attr_docs.setdefault((cls.__qualname__, field), [*text, ''])


def setup(app):
    """
    Register the hook.

    Parameters
    ----------
    app : `~sphinx.application.Sphinx`
        The application.

    Returns
    -------
    metadata : dict
        For Sphinx.
    """
    app.connect('builder-inited', _describe)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
