// State of the process: the last status, the history of its rates, and whether it is current.

import {rates} from './rates.js';

/** Time without a response after which values no longer count as current. */
const STALE_MILLIS = 2500;
export const HISTORY_SAMPLES = 60;

export const live = {
  status: null,
  /** Rates of the totals in the status, and those of the last minute; null where there are none. */
  rates: null,
  history: [],
  /** Times of the last response, of the last complete update, and since when the page is visible. */
  respondedAt: 0,
  updatedAt: 0,
  visibleSince: Date.now(),
  /** Why the last update failed; null if it succeeded. */
  failure: null,
  clockOffsetMillis: 0,
};

const isOverdue = (since) => live.failure != null || Date.now() - since > STALE_MILLIS;

export const isStale = () => isOverdue(live.respondedAt);
/** Unlike a stale page, one that has just become visible is not lost. */
export const isLost = () => isOverdue(Math.max(live.respondedAt, live.visibleSince));

/** Seconds since a time, by the clock of the server. */
export const secondsSince = (time) => (Date.now() + live.clockOffsetMillis - Date.parse(time)) / 1000;

/** Accepts a new status. Returns whether another process sent it than the one before. */
export function acceptStatus(status) {
  const before = live.status;
  const restarted = before != null && (before.pid !== status.pid || before.startTime !== status.startTime);
  if (restarted) {
    rates.clear();
    live.history = [];
  }
  live.status = status;
  const current = rates.sample('totals', status.totals);
  if (current !== live.rates) {
    live.rates = current;
    addToHistory(current);
  }
  return restarted;
}

/** Breaks the history, because the counters of a while ago do not yield current rates. */
export function interruptRates() {
  rates.clear();
  live.rates = null;
  if (live.history.at(-1)) {
    addToHistory(null);
  }
}

function addToHistory(sample) {
  live.history = [...live.history, sample].slice(-HISTORY_SAMPLES);
}
