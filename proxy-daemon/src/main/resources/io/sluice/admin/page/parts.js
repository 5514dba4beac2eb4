// Small elements that more than one view has.

import {h} from './dom.js';
import {NONE, duration, number, shortTime} from './format.js';
import {secondsSince} from './live.js';
import {ENDPOINT_STATES, stateLabel} from './states.js';
import {serviceHref} from './url.js';

export const link = (target, ...children) => h('a.open', {href: target}, children);
/** The link to a Service, from NAMESPACE/NAME or NAMESPACE/NAME:PORT. */
export const serviceLink = (name) => link(serviceHref(name), name);
export const address = (value) => (value ? h('span.address', {title: value}, value) : NONE);

/** The time since a time. */
export function age(time) {
  return time ? timeElement(time, duration(secondsSince(time))) : NONE;
}

export const clock = (time) => timeElement(time, shortTime(new Date(time)));

const timeElement = (time, text) => h('time', {datetime: time, title: time}, text);

export function facts(entries, kind = '') {
  return h('dl.facts', {class: kind}, entries.map(([name, ...value]) =>
    h('div', {key: name}, h('dt', {}, name), h('dd', {}, value))));
}

export function section(title, ...content) {
  return h('section', {key: title}, h('h2', {}, title), content);
}

export const nothing = (text) => h('p.nothing', {}, text);

export const countLine = (text) => h('p.count', {role: 'status'}, text);

export function endpointSummary({total = 0, ...states}) {
  if (total === 0) {
    return h('span.muted', {}, 'none');
  }
  const others = ENDPOINT_STATES.filter((state) => state !== 'up' && states[state] > 0);
  return [`${number(states.up ?? 0)}/${number(total)} up`, others.map((state) => h('span.part', {key: state},
    stateLabel(state, `${number(states[state])} ${state}`)))];
}
