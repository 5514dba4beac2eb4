// The router: opens the view that the fragment of the URL selects, at the position to which it was scrolled before.

import {connections} from './connections.js';
import {byId, h} from './dom.js';
import {events} from './events.js';
import {overview} from './overview.js';
import {page} from './page.js';
import {render} from './render.js';
import {service} from './service.js';
import {services} from './services.js';
import {refresh} from './update.js';
import {parseRoute} from './url.js';

const unknown = {
  title: () => 'Not found',
  header: () => h('h1', {}, 'Not found'),
  load: async () => ({}),
  render: () => h('p.notice', {}, 'There is no such view. ', h('a', {href: '#/'}, 'Overview')),
};

const VIEWS = {overview, services, service, connections, events, unknown};

/** Scroll positions by fragment, so that going back from a Service finds the list where it was. */
const scrollPositions = new Map();

export function openRoute() {
  const hash = location.hash || '#/';
  const cameFrom = page.hash;
  const route = parseRoute(hash);
  Object.assign(page, route, {
    hash, view: VIEWS[route.name], steps: 1, data: null, problem: null,
    scrollTo: page.previousHash === hash ? scrollPositions.get(hash) : 0, previousHash: cameFrom,
  });
  if (cameFrom != null) {
    byId('view').focus({preventScroll: true});
  }
  // Usually the response arrives earlier, and the old view is replaced without a flash.
  setTimeout(() => page.hash === hash && page.data == null && render(), 150);
  refresh();
}

let scrollFrame = 0;

/** Remembers the position, and renders the rows that have become visible. */
export function scrolled() {
  scrollPositions.set(page.hash, window.scrollY);
  if (scrollFrame === 0 && document.querySelector('.spacer')) {
    scrollFrame = requestAnimationFrame(() => {
      scrollFrame = 0;
      render();
    });
  }
}
