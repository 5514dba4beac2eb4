// The log of events.

import {h} from './dom.js';
import {eventTable} from './event-table.js';
import {choice, filterBar, searchField, withAll} from './filters.js';
import {plural} from './format.js';
import {countLine, nothing} from './parts.js';

const MAX_EVENTS = 1000;

export const events = {
  title: () => 'Events',
  hasSearch: true,
  header: () => [
    h('h1', {}, 'Events'),
    filterBar(
      searchField('service', 'Service', 'NAMESPACE/NAME'),
      choice('kind', 'Kind', withAll(['failure', 'recovery', 'change']))),
  ],
  /** Requests only events that are newer than those already listed. */
  async load(get, {filters, data}) {
    const {service, kind} = filters;
    const known = data?.filters === filters ? data : {items: [], next: null};
    const list = await get('events', {service, kind, limit: MAX_EVENTS, after: known.next});
    const items = [...list.items.reverse(), ...known.items].slice(0, MAX_EVENTS);
    return {filters, items, next: list.next ?? known.next};
  },
  render: ({items}) => [
    countLine(plural(items.length, 'event')),
    items.length === 0 ? nothing('No events.')
      : eventTable({id: 'events', caption: 'Events, newest first', items, fixed: true, withService: true}),
  ],
};
