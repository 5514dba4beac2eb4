// The update loop: loads the status and the data of the open view once a second.

import {ApiError, request} from './api.js';
import {renderHeader} from './header.js';
import {acceptStatus, interruptRates, isStale, live} from './live.js';
import {page} from './page.js';
import {rates} from './rates.js';
import {render} from './render.js';

const UPDATE_MILLIS = 1000;

let timer;
let running = null;

/** Updates now, instead of an update that is running or due. */
export async function refresh() {
  clearTimeout(timer);
  running?.abort();
  if (document.hidden) {
    return;
  }
  const own = new AbortController();
  running = own;
  const start = performance.now();
  const get = (path, parameters) => request(own.signal, path, parameters);
  try {
    if (acceptStatus(await get('status'))) {
      page.data = null;
    }
    const loaded = await loadView(get);
    own.signal.throwIfAborted();
    Object.assign(page, loaded);
    live.failure = null;
    live.updatedAt = Date.now();
    rates.removeOld();
    render();
  } catch (e) {
    if (own.signal.aborted) {
      return;
    }
    updateFailed(e);
  }
  // A large cluster is requested less often, so that Sluice is not busy with it.
  const elapsed = performance.now() - start;
  timer = setTimeout(refresh, Math.max(UPDATE_MILLIS - elapsed, elapsed, 100));
}

function updateFailed(e) {
  interruptRates();
  if (e instanceof ApiError) {
    live.failure = e.message;
    render();
  } else {
    // Rendering the view could fail again.
    live.failure = `internal error of this page: ${e.message}`;
    renderHeader();
    console.error(e);
  }
}

/** Loads the data of the current view. If the API rejects the request, the result is the problem, such as a 404. */
async function loadView(get) {
  try {
    return {data: await page.view.load(get, page), problem: null};
  } catch (e) {
    if (e instanceof ApiError && e.status >= 400 && e.status < 500) {
      return {data: null, problem: e.message};
    }
    throw e;
  }
}

/** Pauses updates while the page is hidden. */
export function visibilityChanged() {
  if (document.hidden) {
    running?.abort();
    clearTimeout(timer);
    interruptRates();
  } else {
    live.visibleSince = Date.now();
    render();
    refresh();
  }
}

/** Marks values as stale when a response is overdue. */
export function checkResponse() {
  if (document.hidden) {
    return;
  }
  if (isStale() && !document.body.classList.contains('stale')) {
    render();
  } else {
    renderHeader();
  }
}
