// Keyboard shortcuts. index.html lists them.

import {byId} from './dom.js';
import {page} from './page.js';
import {focusSearch} from './render.js';
import {MAIN_VIEWS, href} from './url.js';

const ROW_LINKS = '#view tbody a.open';

export const showShortcuts = () => byId('shortcuts').showModal();

function search() {
  page.searchNext = true;
  if (page.view.hasSearch) {
    focusSearch();
  } else {
    location.hash = href(['services']);
  }
}

/** Moves the focus by a number of rows, from the focused row or the first visible one. */
function moveRow(step) {
  const links = [...document.querySelectorAll(ROW_LINKS)];
  const row = document.activeElement.closest('tbody tr');
  const current = links.findIndex((each) => each.closest('tr') === row);
  const headerBottom = byId('header').getBoundingClientRect().bottom;
  const target = current >= 0 ? links[current + step]
    : links.find((each) => each.getBoundingClientRect().top >= headerBottom);
  target?.focus();
}

let prefixUntil = 0;

export function keyPressed(event) {
  const {target, key} = event;
  if (event.ctrlKey || event.altKey || event.metaKey || byId('shortcuts').open) {
    return;
  }
  if (target.matches('input, select, textarea')) {
    if (key === 'Escape') {
      target.blur();
    } else if (target.type === 'search' && (key === 'Enter' || key === 'ArrowDown')) {
      event.preventDefault();
      document.querySelector(ROW_LINKS)?.focus();
    }
    return;
  }
  const view = MAIN_VIEWS.find((each) => each.key === key);
  if (performance.now() < prefixUntil && view) {
    location.hash = href(view.path);
    prefixUntil = 0;
    return;
  }
  prefixUntil = key === 'g' ? performance.now() + 1500 : 0;
  const actions = {
    '/': search, '?': showShortcuts, 'j': () => moveRow(1), 'k': () => moveRow(-1),
    ...(target.closest('tbody') ? {ArrowDown: () => moveRow(1), ArrowUp: () => moveRow(-1)} : {}),
  };
  if (key in actions) {
    event.preventDefault();
    actions[key]();
  }
}
