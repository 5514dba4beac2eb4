// Tables, of which only the rows near the visible part of the page are rendered if there are many.

import {byId, h} from './dom.js';
import {NONE} from './format.js';
import {setFilter} from './page.js';

/** Rows above this number are rendered only near the visible part of the page. */
const WINDOWED_ROWS = 150;
const ROW_SLACK = 12;
const rowHeights = new Map();

/**
 * Describes a table. A column is {label, cell, class, head, sort}: 'cell' returns the content for an item, 'head' marks
 * the column that names the row, 'sort' is the name of a sort order. Columns that are false are skipped.
 */
export function table({id, caption, columns: optionalColumns, items, key, sort, fixed}) {
  const columns = optionalColumns.filter(Boolean);
  const windowed = items.length > WINDOWED_ROWS;
  const [first, last] = windowed ? rowsInView(id, items.length) : [0, items.length];
  const spacer = (name, rows) => rows > 0 && h('tr.spacer', {'key': name, 'aria-hidden': 'true'},
    h('td', {colspan: columns.length, styleHeight: `${rows * rowHeights.get(id)}px`}));
  const row = (item, i) => h('tr', {'key': `:${key(item)}`, 'role': 'row', 'aria-rowindex': windowed ? i + 2 : null},
    columns.map((column) => {
      const content = column.cell(item);
      return h(column.head ? 'th' : 'td', {
        'class': `${column.class ?? ''}${content === NONE ? ' empty' : ''}`,
        'role': column.head ? 'rowheader' : 'cell',
        'scope': column.head ? 'row' : null,
        'data-label': column.label,
      }, content);
    }));
  return h('div.table', {key: id},
    h('table', {
      id, 'class': fixed ? 'fixed' : null, 'role': 'table', 'aria-rowcount': windowed ? items.length + 1 : null,
    },
      h('caption.unseen', {}, caption),
      h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'}, columns.map((column) => heading(column, sort)))),
      h('tbody', {role: 'rowgroup'},
        spacer('above', first),
        items.slice(first, last).map((item, i) => row(item, first + i)),
        spacer('below', items.length - last))));
}

function heading(column, sort) {
  const current = sort !== undefined && column.sort === sort;
  return h('th', {
    'class': column.class,
    'role': 'columnheader',
    'scope': 'col',
    'aria-sort': current ? (column.sort === '' ? 'ascending' : 'descending') : null,
  }, column.sort === undefined ? column.label
    : h('button', {type: 'button', title: `Sort by ${column.label.toLowerCase()}`,
      onclick: () => setFilter('sort', column.sort)}, column.label, current && (column.sort === '' ? ' ↑' : ' ↓')));
}

function rowsInView(id, count) {
  const rowHeight = rowHeights.get(id) ?? 34;
  rowHeights.set(id, rowHeight);
  const above = Math.max(0, -(byId(id)?.tBodies[0].getBoundingClientRect().top ?? 0));
  const first = Math.floor(above / rowHeight) - ROW_SLACK;
  const rows = Math.ceil(window.innerHeight / rowHeight) + 2 * ROW_SLACK;
  const start = Math.max(0, Math.min(first, count - rows));
  return [start, Math.min(count, start + rows)];
}

/** Returns whether the height of rows has changed, for example because rows have become cards. */
export function measureRows() {
  let changed = false;
  for (const body of document.querySelectorAll('tbody:has(> .spacer)')) {
    const rows = [...body.rows].filter((row) => row.className !== 'spacer');
    const height = (rows.at(-1).getBoundingClientRect().bottom - rows[0].getBoundingClientRect().top) / rows.length;
    const {id} = body.parentElement;
    changed ||= Math.abs(height - rowHeights.get(id)) > 0.1;
    rowHeights.set(id, height);
  }
  return changed;
}
