// State of the page: the open view, its filters and its data.

import {href} from './url.js';

export const page = {
  /** The fragments of the open view and of the one before; null if there is none. */
  hash: null,
  previousHash: null,
  /** The name and the segments of the path in the fragment. */
  name: '',
  path: [],
  filters: {},
  view: null,
  /** Number of steps in which a long list is extended. */
  steps: 1,
  /** What the view has loaded; null until then, or if the API rejected the request because of the problem. */
  data: null,
  problem: null,
  /** Name of the view in the document, which is replaced when the data of the next one has arrived. */
  rendered: '',
  /** Actions for the next time that the view is rendered. */
  scrollTo: null,
  searchNext: false,
};

let load = () => {};

/** Sets the function that loads the data again. A callback, because the update loop depends on this module. */
export function onChange(listener) {
  load = listener;
}

let filterTimer;

/** Changes a filter in the URL without a new entry in the browser's history. */
export function setFilter(name, value, delayMillis = 0) {
  page.filters = {...page.filters, [name]: value};
  page.hash = href(page.path, page.filters);
  page.steps = 1;
  history.replaceState(null, '', page.hash);
  clearTimeout(filterTimer);
  filterTimer = setTimeout(load, delayMillis);
}

/** Extends a long list by a step. */
export function showMore() {
  page.steps++;
  load();
}
