# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Settings of Sphinx: ``tox -e docs``, or ``sphinx-build -W --keep-going -b html . _build/html``
in this folder.
"""

import os
import sys
import time
from pathlib import Path

import clustercnn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / '_ext'))

project = 'clustercnn'
author = 'The clustercnn developers'
project_copyright = f'{time.gmtime().tm_year}, {author}'
release = clustercnn.__version__
version = '.'.join(release.split('.')[:2])

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.doctest',
    'sphinx.ext.intersphinx',
    'matplotlib.sphinxext.plot_directive',
    'numpydoc',
    'sphinx_automodapi.automodapi',
    'sphinx_copybutton',
    'sphinx_design',
    'field_docs',
    'benchmark_tables',
    'experiment_tables',
    'generated_tables',
    'label_tables',
    'model_tables',
    'network_tables',
    'realism_tables',
    'one_place_a_name',
]

exclude_patterns = ['_build', '_generated', '_ext', 'figures']
default_role = 'obj'
templates_path = []
suppress_warnings = []

# Broken links to names of this package are errors. Names of other packages become links only
# where their inventories may be fetched, so that the documentation builds without a network.
nitpicky = True
# other packages' names, and bases that are nobody's business but ours
nitpick_ignore_regex = [(r'py:.*', r'(?!~?clustercnn\b).*'), (r'py:.*', r'clustercnn\.(.*\.)?_.*')]
intersphinx_mapping = {}
if os.environ.get('CLUSTERCNN_DOCS_INTERSPHINX'):
    intersphinx_mapping = {
        'python': ('https://docs.python.org/3', None),
        'numpy': ('https://numpy.org/doc/stable', None),
        'astropy': ('https://docs.astropy.org/en/stable', None),
        'matplotlib': ('https://matplotlib.org/stable', None),
    }

# reference pages, one a name
automodapi_toctreedirnm = 'reference/api'
automodapi_inheritance_diagram = False
automodsumm_inherited_members = False
autodoc_default_options = {'no-value': True}
autodoc_typehints = 'none'
autodoc_member_order = 'bysource'
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# figures are made by the scripts in figures/ when the documentation is built
plot_basedir = str(HERE / 'figures')
plot_formats = [('png', 120)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_rcparams = {'figure.autolayout': False, 'font.size': 10, 'savefig.bbox': 'tight'}
plot_apply_rcparams = True

copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True
copybutton_exclude = '.linenos, .gp, .go'

html_theme = 'pydata_sphinx_theme'
html_title = f'clustercnn {version}'
html_static_path = ['_static']
html_css_files = ['clustercnn.css']
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    'logo': {'text': 'clustercnn'},
    'navbar_align': 'left',
    'header_links_before_dropdown': 7,
    'navigation_with_keys': False,
    'show_nav_level': 1,
    'show_toc_level': 2,
    'secondary_sidebar_items': ['page-toc'],
    'footer_start': ['copyright'],
    'footer_end': ['theme-version'],
    'pygments_light_style': 'tango',
}
html_sidebars = {
    'index': [],
    'installation': [],
    'quickstart': [],
    'changes': [],
    'citing': [],
}
html_context = {'default_mode': 'auto'}
