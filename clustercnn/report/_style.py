# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Style sheet and script of the report; both are named by hash in its security policy.
"""

__all__ = ['SCRIPT', 'STYLE']

STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --panel: #f5f6f8; --text: #1b1f24;
  --soft: #59636e; --line: #d5dae0; --accent: #0b5cad; --bar: #2f7fc4; --good: #1a7f37;
  --contour: #c2185b; }
@media (prefers-color-scheme: dark) { :root { --back: #11151a; --panel: #1a2027;
  --text: #e6e9ed; --soft: #9ba6b2; --line: #323b46; --accent: #6cb2ff; --bar: #4c94d8;
  --good: #57c06d; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; padding: 1.5rem 2rem 4rem; max-width: 1500px; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans",
  sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .7rem; padding-bottom: .25rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: .98rem; margin: 0; }
p { margin: .4rem 0; }
a { color: var(--accent); }
.soft { color: var(--soft); }
nav a { margin-right: 1.1rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.1rem 0 0; }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .55rem 1rem; min-width: 8.5rem; }
.tile b { display: block; font-size: 1.45rem; line-height: 1.3; }
.tile span { color: var(--soft); font-size: .85rem; }
.notes { border-left: 4px solid #c98a00; background: var(--panel); padding: .5rem 1rem;
  margin: 1rem 0 0; }
.notes ul { margin: .2rem 0; padding-left: 1.2rem; }
.overview { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1.6rem;
  align-items: start; }
@media (max-width: 900px) { .overview { grid-template-columns: minmax(0, 1fr); }
  body { padding: 1rem; } }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: .87rem; margin: .35rem 0 1rem; }
.picture { position: relative; line-height: 0; }
.picture img { width: 100%; height: auto; display: block; image-rendering: auto;
  border-radius: 4px; }
.picture svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.chart { width: 100%; height: auto; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%;
  border: 2px solid #3ddc6b; margin: 0 .25em 0 .6em; vertical-align: -1px; background: #333; }
.key.point { border: 2px dashed #ff5a5a; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-size: .85rem; }
.candidates { width: 100%; }
th, td { padding: .3rem .45rem; text-align: left; vertical-align: top; }
thead th { background: var(--panel); white-space: nowrap; border-bottom: 1px solid var(--line);
  vertical-align: bottom; }
tbody tr + tr td, tbody tr + tr th { border-top: 1px solid var(--line); }
tbody tr:target { outline: 2px solid var(--accent); outline-offset: -2px; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.name, td.place, td.look { white-space: nowrap; }
td.look { font-size: .8rem; }
.candidates td.flags { min-width: 7.5rem; }
.candidates th, .candidates td { padding: .3rem .3rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0;
  font-size: .87rem; }
dt { font-weight: 600; }
dd { margin: 0; color: var(--soft); }
thead button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: 0; cursor: pointer; text-align: inherit; }
thead button::after { content: " \\2195"; color: var(--soft); font-weight: 400; }
th[aria-sort="ascending"] button::after { content: " \\25B2"; color: var(--accent); }
th[aria-sort="descending"] button::after { content: " \\25BC"; color: var(--accent); }
button:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(430px, 1fr));
  gap: 1rem; }
@media (max-width: 520px) { .gallery { grid-template-columns: minmax(0, 1fr); } }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .7rem .8rem .8rem; scroll-margin-top: 1rem; break-inside: avoid; }
.card:target { outline: 2px solid var(--accent); }
.head { display: flex; justify-content: space-between; gap: .6rem; align-items: baseline; }
.score { font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.score.high { color: var(--good); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; margin: .5rem 0 .4rem; }
.absent { display: flex; align-items: center; justify-content: center; aspect-ratio: 1;
  border: 1px dashed var(--line); border-radius: 4px; color: var(--soft); font-size: .85rem;
  text-align: center; padding: 1rem; line-height: 1.4; }
.facts { font-size: .85rem; margin: 0; }
.contour { fill: none; stroke: var(--contour); stroke-width: .9; }
.bar { fill: var(--bar); }
.axis { stroke: var(--soft); stroke-width: 1; fill: none; }
.label { fill: var(--text); font-size: 12px; font-family: inherit; }
.provenance { width: 100%; }
.provenance th { white-space: nowrap; font-weight: 600; width: 14rem; }
.provenance td { overflow-wrap: anywhere; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em; }
details { margin: .7rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .2rem 0; }
@media print { :root { color-scheme: light; --back: #ffffff; --panel: #ffffff;
  --text: #000000; --soft: #444444; --line: #bbbbbb; --accent: #000000; }
  body { padding: 0; max-width: none; font-size: 10pt; } nav { display: none; }
  thead button::after { content: ""; } .scroll { overflow: visible; border: 0; }
  .gallery { grid-template-columns: 1fr 1fr; }
  .picture img, .bar { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

SCRIPT = """
document.querySelectorAll('table.candidates thead th').forEach(function (head, column) {
  var button = head.querySelector('button');
  if (!button) { return; }
  button.addEventListener('click', function () {
    var body = head.closest('table').tBodies[0];
    var first = head.classList.contains('number') && head.dataset.first !== 'ascending'
      ? 'descending' : 'ascending';
    var now = head.getAttribute('aria-sort');
    var order = now === first ? (first === 'ascending' ? 'descending' : 'ascending') : first;
    head.parentNode.querySelectorAll('th').forEach(function (other) {
      other.removeAttribute('aria-sort');
    });
    head.setAttribute('aria-sort', order);
    var sign = order === 'ascending' ? 1 : -1;
    function key(row) { return row.cells[column].dataset.sort || ''; }
    var rows = Array.from(body.rows);
    rows.sort(function (a, b) {
      var one = key(a), other = key(b);
      if (one === '' || other === '') { return (one === '') - (other === ''); }
      if (head.classList.contains('number')) { return sign * (Number(one) - Number(other)); }
      return sign * one.localeCompare(other);
    });
    rows.forEach(function (row) { body.appendChild(row); });
  });
});
"""
