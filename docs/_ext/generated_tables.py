# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Directives that write tables from the code, so that pages cannot fall behind it.
"""

import argparse
import ast
import json
import re
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

import clustercnn
from clustercnn.cli import build_parser
from clustercnn.core.columns import CANDIDATE_COLUMNS, FINDER_COLUMNS, PREDICTION_COLUMNS
from clustercnn.core.flags import FLAG_DESCRIPTIONS, CandidateFlag
from clustercnn.io.missions import PSF_FWHM

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(clustercnn.__file__).parent


def table(heads, rows, *, widths):
    """
    Return a table as lines of reStructuredText.

    Parameters
    ----------
    heads : sequence of str
        Headings; none for a table without.
    rows : iterable of sequence of str
        Cells, reStructuredText of one paragraph each.
    widths : str
        Relative widths, such as ``'10 20'``.

    Returns
    -------
    lines : list of str
        A ``list-table``.
    """
    lines = ['.. list-table::', '   :class: generated', f'   :widths: {widths}']
    if heads:
        lines.append('   :header-rows: 1')
    lines.append('')
    for row in [heads, *rows] if heads else rows:
        for number, cell in enumerate(row):
            lines.append(f'   {"* -" if number == 0 else "  -"} {cell}'.rstrip())
    return [*lines, '']


class Generated(SphinxDirective):
    """
    A directive whose contents are reStructuredText made by `lines`.
    """

    depends_on = ()

    def run(self):
        """
        Parse the generated text in place.
        """
        for path in self.depends_on:
            self.env.note_dependency(str(path))
        text = '\n'.join(self.lines())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class CatalogueColumns(Generated):
    """
    The columns of the catalogue, of the finder or of the classifier.
    """

    required_arguments = 1
    depends_on = (PACKAGE / 'core' / 'columns.py',)

    def lines(self):
        """
        Return the table.
        """
        which = {
            'candidates': CANDIDATE_COLUMNS,
            'finder': FINDER_COLUMNS,
            'predictions': PREDICTION_COLUMNS,
        }
        rows = []
        for column in which[self.arguments[0]]:
            kind = 'str' if column.dtype is str else column.dtype.__name__
            unit = f'``{column.unit.to_string()}``' if column.unit else ''
            # the parts of a UCD may stand on lines of their own
            ucd = '; '.join(f'``{word}``' for word in column.ucd.split(';'))
            rows.append((f'``{column.name}``', kind, unit, ucd, column.description))
        return table(('name', 'type', 'unit', 'UCD', 'meaning'), rows, widths='19 11 13 25 32')


class CandidateFlags(Generated):
    """
    The bits of the ``flags`` column.
    """

    depends_on = (PACKAGE / 'core' / 'flags.py',)

    def lines(self):
        """
        Return the table.
        """
        rows = [
            (f'{int(flag)}', f'``{flag.name}``', FLAG_DESCRIPTIONS[flag]) for flag in CandidateFlag
        ]
        return table(('value', 'name', 'meaning'), rows, widths='10 28 62')


def _commands(parser):
    """
    Return the sub-parsers by name, and their one-line help.
    """
    (action,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001 - argparse has no public way to list what was added
    return action.choices, {choice.dest: choice.help for choice in action._choices_actions}  # noqa: SLF001


def _plain(text):
    """
    Escape a text for reStructuredText.
    """
    # two hyphens would become a dash
    return re.sub(r'([*`|_\\]|-(?=-))', r'\\\1', text or '')


def _help(action, parser):
    if not action.help:
        return ''
    text = action.help % {**vars(action), 'prog': parser.prog}
    return _plain(text)


def _name_of(action):
    """
    Return how an argument is written on the command line.
    """
    if not action.option_strings:
        return f'``{action.metavar or action.dest}``'
    value = ''
    if action.nargs != 0:
        if action.choices:
            value = ' ' + '|'.join(map(str, action.choices))
        else:
            value = f' {action.metavar or action.dest.upper()}'
    return ', '.join(f'``{option}{value}``' for option in action.option_strings)


class CommandSummary(Generated):
    """
    One line a command.
    """

    depends_on = tuple(sorted((PACKAGE / 'cli').glob('*.py')))

    def lines(self):
        """
        Return the table.
        """
        choices, helps = _commands(build_parser())
        rows = [(f':ref:`{name} <command-{name}>`', _plain(helps[name])) for name in choices]
        return table(('command', 'does'), rows, widths='20 80')


class CommandLine(Generated):
    """
    Every command with its usage and options, as argparse knows them.
    """

    depends_on = CommandSummary.depends_on

    def lines(self):
        """
        Return a section a command.
        """
        return _sections('clustercnn', build_parser(), '-')


def _sections(program, whole, underline):
    """
    Return a section for each command of a parser, with sections for the commands of that.
    """
    lines = []
    for name, parser in _commands(whole)[0].items():
        title = f'{program} {name}'
        lines += [f'.. _command-{title.split(maxsplit=1)[1].replace(" ", "-")}:', '']
        lines += [title, underline * len(title), '', _plain(parser.description or ''), '']
        if any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):  # noqa: SLF001
            lines += _sections(title, parser, '~')
            continue
        formatter = argparse.HelpFormatter(prog=parser.prog, width=68)
        formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)  # noqa: SLF001
        usage = formatter.format_help().strip().removeprefix('usage: ').splitlines()
        lines += [
            '.. code-block:: text',
            '',
            *(f'    {line.removeprefix(" " * 7)}' for line in usage),
            '',
        ]
        rows = []
        for group in parser._action_groups:  # noqa: SLF001
            for action in group._group_actions:  # noqa: SLF001
                if action.help == argparse.SUPPRESS or action.dest == 'help':
                    continue
                note = ' (required)' if action.option_strings and action.required else ''
                rows.append((_name_of(action), f'{_help(action, parser)}{note}'))
        lines += table(('argument', 'meaning'), rows, widths='40 60')
    return lines


class ModelCard(Generated):
    """
    The card of a shipped model, from its Markdown file.
    """

    required_arguments = 1

    def lines(self):
        """
        Return the card without its title.
        """
        path = PACKAGE / 'models' / f'{self.arguments[0]}.md'
        self.env.note_dependency(str(path))
        lines, rows = [], []
        for line in path.read_text(encoding='utf-8').splitlines():
            text = re.sub(r'`([^`]+)`', r'``\1``', line)
            if line.startswith('# '):
                continue
            if line.startswith('|'):
                cells = [cell.strip() for cell in text.strip('|').split('|')]
                if any(cells) and not set(''.join(cells)) <= {'-', ':'}:
                    rows.append(cells)
                continue
            if rows:
                two = len(rows[0]) == 2
                # the facts of the model have no heads
                heads, rows = ((), rows) if two else (rows[0], rows[1:])
                widths = '25 75' if two else ' '.join(['25'] * len(heads))
                lines += ['', *table(heads, rows, widths=widths)]
                rows = []
            lines.append(text)
        return lines


class MissionWidths(Generated):
    """
    The widths of the PSF that stand for missions.
    """

    depends_on = (PACKAGE / 'io' / 'missions.py',)

    def lines(self):
        """
        Return the table.
        """
        rows = [(name, f'{width:g}"') for name, width in PSF_FWHM.items()]
        return table(('mission', 'FWHM on axis'), rows, widths='50 50')


class ModelValidation(Generated):
    """
    What ``validation/model/score_fields.py`` measured, where it was run.
    """

    folder = ROOT / 'validation' / 'model' / 'results'

    def lines(self):
        """
        Return a table of the simulated fields and one of the real ones.
        """
        lines = [*self._simulated(), *self._real()]
        return lines or [
            'They have not been measured for this version yet: there is nothing in',
            '``validation/model/results``.',
        ]

    def _load(self, name):
        path = self.folder / name
        self.env.note_dependency(str(path))
        return json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}

    def _simulated(self):
        def interval(values):
            return '{:.3f} ({:.3f} to {:.3f})'.format(*values)

        rows = [
            (
                _plain(name),
                f'{entry["fields"]} fields, {entry["clusters"]} clusters among '
                f'{entry["detections"]} detections',
                interval(entry['auc_p_cluster']),
                interval(entry['auc_ext_like']),
                f'{entry["ece"]:.3f}',
            )
            for name, entry in self._load('simulated_fields.json').items()
        ]
        heads = ('*simulated* fields', 'sample', 'AUC of p_cluster', 'AUC of ext_like', 'ECE')
        if not rows:
            return []
        return [
            *table(heads, rows, widths='22 28 20 20 10'),
            'In brackets, 95 % intervals from resampling whole fields.',
            '',
        ]

    def _real(self):
        rows = []
        for name, entry in self._load('real_fields.json').items():
            rows += [
                (
                    _plain(name),
                    f'{source["rank"]} of {entry["candidates"]}',
                    f'{source["separation_arcsec"]:.1f}"',
                    f'{source["p_cluster"]:.2f}',
                    f'{source["extent_arcsec"]:.0f}"',
                )
                for source in entry['within_60_arcsec']
            ]
        heads = ('real field', 'rank of the known cluster', 'distance', 'p_cluster', 'extent')
        return table(heads, rows, widths='34 24 14 14 14') if rows else []


class FinderLists(Generated):
    """
    What ``validation/finder/compare_lists.py`` measured, where it was run.
    """

    path = ROOT / 'validation' / 'finder' / 'results' / 'lists.json'
    depends_on = (path,)

    def lines(self):
        """
        Return a row for each field and finder.
        """
        if not self.path.exists():
            return ['They have not been measured for this version yet.']
        rows = []
        for field, entry in json.loads(self.path.read_text(encoding='utf-8')).items():
            finders = {key: value for key, value in entry.items() if isinstance(value, dict)}
            for number, (finder, row) in enumerate(finders.items()):
                share, chance = row['recovered'], row['by_chance']['share']
                rows.append(
                    (
                        _plain(field) if number == 0 else '',
                        finder,
                        f'{row["sources"]} ({row["extended"]})',
                        f'{share["hits"]} of {share["n"]} [{share["from"]:.2f}, {share["to"]:.2f}]',
                        f'{chance:.2f}',
                    )
                )
        heads = ('field', 'finder', 'found (extended)', 'of the list', 'chance')
        return table(heads, rows, widths='27 22 16 23 12')


class FinderFalseAlarms(Generated):
    """
    How many false alarms ``validation/finder/measure_sources.py`` counted, where it was run.
    """

    path = ROOT / 'validation' / 'finder' / 'results' / 'sources.json'
    depends_on = (path,)

    def lines(self):
        """
        Return a row for each exposure and background.
        """
        if not self.path.exists():
            return ['They have not been measured for this version yet.']
        results = json.loads(self.path.read_text(encoding='utf-8'))['spurious']
        asked = sorted({row['asked'] for row in results})
        rows = []
        for exposure, factor in sorted({(row['exposure'], row['background']) for row in results}):
            made = {
                row['asked']: f'{row["made"]:.2f} ± {row["error"]:.2f}'
                for row in results
                if (row['exposure'], row['background']) == (exposure, factor)
            }
            rows.append(
                (f'{exposure / 1e3:g} ks', f'{factor:g}', *(made[number] for number in asked))
            )
        heads = ('exposure', 'level', *(f'{number:g} asked' for number in asked))
        return table(heads, rows, widths='19 15 22 22 22')


class FinderSources(Generated):
    """
    What ``validation/finder/measure_sources.py`` found of known sources, where it was run.
    """

    path = ROOT / 'validation' / 'finder' / 'results' / 'sources.json'
    depends_on = (path,)

    def lines(self):
        """
        Return a row for each figure, a column for each kind of field.
        """
        if not self.path.exists():
            return ['They have not been measured for this version yet.']
        results = json.loads(self.path.read_text(encoding='utf-8'))
        fields = {key: value for key, value in results.items() if isinstance(value, dict)}
        flat = {key: dict(self._flat(value)) for key, value in fields.items()}
        names = next(iter(flat.values()))
        rows = [(name, *(values[name] for values in flat.values())) for name in names]
        return table(('*simulated*', *fields), rows, widths='40 20 20 20')

    def _flat(self, values, of=''):
        for name, value in values.items():
            if not isinstance(value, dict):
                yield f'{of}{_plain(name)}', f'{value:g}'
            elif 'share' in value:
                interval = f'[{value["from"]:.2f}, {value["to"]:.2f}]'
                yield f'{of}{_plain(name)}', f'{value["share"]:.2f} {interval}'
            else:
                of_what = '' if name == 'pulls' else f'{_plain(name)}s: '
                yield from self._flat(value, of_what)


class Layers(Generated):
    """
    The layers of the package, as the test that keeps them says.
    """

    source = ROOT / 'tests' / 'test_architecture.py'
    depends_on = (source,)

    def lines(self):
        """
        Return the table from the top layer down.
        """
        values = {}
        for node in ast.parse(self.source.read_text(encoding='utf-8')).body:
            if isinstance(node, ast.Assign):
                values[ast.unparse(node.targets[0])] = node.value
        layers = ast.literal_eval(values['LAYERS'])
        present = {path.name.removesuffix('.py') for path in PACKAGE.iterdir()}
        rows = []
        for number in reversed(range(len(layers))):
            units = sorted(unit for unit in layers[number] if unit in present)
            if not units:
                continue
            for place, unit in enumerate(units):
                rows.append(
                    (
                        str(number) if place == 0 else '',
                        f'``{unit}``',
                        _plain(_summary(unit)),
                        ', '.join(_names(values, values['THIRD_PARTIES'], unit)) or 'none',
                        ', '.join(
                            name
                            for key in (
                                'THIRD_PARTIES_INSIDE_FUNCTIONS',
                                'THIRD_PARTIES_IN_KERNELS',
                            )
                            for name in _names(values, values[key], unit)
                        ),
                    )
                )
        heads = ('layer', 'unit', 'what it is', 'may import', 'in places')
        return table(heads, rows, widths='8 17 37 20 18')


def _summary(unit):
    """
    Return the first sentence of the docstring of a module, without importing it.
    """
    path = PACKAGE / unit
    path = path / '__init__.py' if path.is_dir() else PACKAGE / f'{unit}.py'
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    paragraph = ' '.join(text.split('\n\n')[0].split())
    # a command that ends a sentence is code, which says little here
    return re.sub(r':+ ``.*', '', paragraph).replace('``', '').removesuffix('.')


def _names(values, node, unit):
    """
    Return the packages that a table of third parties names for a unit.
    """

    def members(part):
        if isinstance(part, ast.BinOp):
            return members(part.left) | members(part.right)
        if isinstance(part, ast.Name):
            return members(values[part.id])
        if isinstance(part, ast.Set):
            return {element.value for element in part.elts}
        return set()

    for key, value in zip(node.keys, node.values, strict=True):
        if key.value == unit:
            return sorted(members(value))
    return []


def setup(app):
    """
    Register the directives.

    Parameters
    ----------
    app : `~sphinx.application.Sphinx`
        The application.

    Returns
    -------
    metadata : dict
        For Sphinx.
    """
    for name, directive in (
        ('catalogue-columns', CatalogueColumns),
        ('candidate-flags', CandidateFlags),
        ('command-summary', CommandSummary),
        ('command-line', CommandLine),
        ('model-card', ModelCard),
        ('mission-widths', MissionWidths),
        ('model-validation', ModelValidation),
        ('finder-false-alarms', FinderFalseAlarms),
        ('finder-lists', FinderLists),
        ('finder-sources', FinderSources),
        ('layers', Layers),
    ):
        app.add_directive(name, directive)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
