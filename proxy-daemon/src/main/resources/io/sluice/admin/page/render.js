// Rendering of the page, from its state to the document.

import {byId, h, patch} from './dom.js';
import {renderHeader} from './header.js';
import {isLost} from './live.js';
import {page} from './page.js';
import {icon} from './states.js';
import {measureRows} from './table.js';

export function render() {
  renderHeader();
  renderView();
  let again = measureRows();
  if (page.scrollTo != null && page.data != null) {
    window.scrollTo(0, page.scrollTo);
    page.scrollTo = null;
    again = true;
  }
  if (again) {
    renderView();
  }
  focusSearch();
}

function renderView() {
  const {view} = page;
  const content = page.problem ? h('p.notice', {class: 'bad', role: 'alert'}, icon('failed'), page.problem)
    : page.data != null ? view.render(page.data, page)
    : h('p.notice', {}, isLost() ? 'No data yet.' : 'Loading…');
  patch(byId('view'), [view.header(page), content]);
  page.rendered = page.name;
}

/** Focuses the search field if it is requested and the view that has it is rendered. */
export function focusSearch() {
  const field = page.searchNext && page.rendered === page.name
    && document.querySelector('#view input[type=search]');
  if (field) {
    page.searchNext = false;
    field.focus();
    field.select();
  }
}
