// Requests to the admin API.

import {live} from './live.js';
import {queryString} from './url.js';

const REQUEST_TIMEOUT_MILLIS = 5000;

/** A request that failed: with a status of HTTP, or with 0 if there was no valid response. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function request(signal, path, parameters = {}) {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MILLIS);
  let response;
  let body;
  try {
    response = await fetch(`api/v1/${path}${queryString(parameters)}`,
      {signal: AbortSignal.any([signal, timeout]), cache: 'no-store'});
    body = await response.json().catch((e) => (e instanceof SyntaxError ? null : Promise.reject(e)));
  } catch {
    throw new ApiError(0, timeout.aborted ? 'Sluice does not respond' : 'Sluice cannot be reached');
  }
  signal.throwIfAborted();
  if (!response.ok) {
    throw new ApiError(response.status, `${body?.error ?? 'request failed'} (HTTP ${response.status})`);
  }
  if (body == null) {
    throw new ApiError(0, 'the response is not JSON');
  }
  live.respondedAt = Date.now();
  const skew = Date.parse(response.headers.get('Date') ?? '') - Date.now();
  // The header has whole seconds.
  live.clockOffsetMillis = Math.abs(skew) > 2000 ? skew : 0;
  return body;
}
