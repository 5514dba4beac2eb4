// States: those of endpoints and of the process, and how any state is displayed. A state has a tone, and a shape that
// distinguishes it without color.

import {h} from './dom.js';

const SHAPES = {
  dot: 'M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8z',
  ring: 'M6 2.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7z',
  triangle: 'M6 1.5 11 10.5H1z',
  cross: 'M2.5 2.5l7 7M9.5 2.5l-7 7',
  bars: 'M4 2.5v7M8 2.5v7',
};
const STATES = {
  'ok': ['good', 'dot'], 'up': ['good', 'dot'], 'active': ['good', 'dot'], 'recovery': ['good', 'dot'],
  'ready': ['good', 'dot'], 'synced': ['good', 'dot'], 'open': ['good', 'dot'],
  'degraded': ['warn', 'triangle'], 'stale': ['warn', 'triangle'], 'no-endpoints': ['warn', 'ring'],
  'failing': ['bad', 'cross'], 'refusing': ['bad', 'cross'], 'silent': ['bad', 'cross'], 'ejected': ['bad', 'cross'],
  'failed': ['bad', 'cross'], 'failure': ['bad', 'cross'], 'not ready': ['bad', 'cross'], 'lost': ['bad', 'cross'],
  'draining': ['held', 'bars'], 'disabled': ['held', 'bars'],
};
export const ENDPOINT_STATES = ['refusing', 'silent', 'ejected', 'disabled', 'draining', 'unknown', 'up'];
export const FAILING_ENDPOINT_STATES = ['refusing', 'silent', 'ejected'];

const appearance = (state) => STATES[state] ?? ['idle', 'ring'];

export const toneOf = (state) => appearance(state)[0];

export function icon(state) {
  const [tone, shape] = appearance(state);
  return h('svg.icon', {'class': `${tone} ${shape}`, 'viewBox': '0 0 12 12', 'aria-hidden': 'true'},
    h('path', {d: SHAPES[shape]}));
}

export function stateLabel(state, text = state) {
  return h('span.state', {class: toneOf(state)}, icon(state), text);
}

/** The state of the process as a whole. */
export function overallState(status) {
  return status.draining ? 'draining' : status.ready ? 'ready' : 'not ready';
}
