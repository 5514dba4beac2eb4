// The list of TCP connections or UDP flows.

import {connectionTable, withByteRates} from './connection-table.js';
import {h} from './dom.js';
import {choice, filterBar, searchField} from './filters.js';
import {plural} from './format.js';
import {showMore} from './page.js';
import {countLine, nothing} from './parts.js';

const CONNECTIONS_PER_STEP = 500;
const MAX_CONNECTIONS = 5000;

const isUdp = ({protocol}) => protocol === 'udp';
const limitOf = (steps) => steps * CONNECTIONS_PER_STEP;

export const connections = {
  title: () => 'Connections',
  hasSearch: true,
  header: () => [
    h('h1', {}, 'Connections'),
    filterBar(
      choice('protocol', 'Protocol', [['', 'TCP connections'], ['udp', 'UDP flows']]),
      searchField('service', 'Service', 'NAMESPACE/NAME'),
      searchField('client', 'Client', 'Address'),
      searchField('endpoint', 'Endpoint', 'Address'),
      searchField('frontend', 'Frontend', 'ADDRESS:PORT/tcp')),
  ],
  async load(get, {filters, steps}) {
    const {service, client, endpoint, frontend} = filters;
    const parameters = {service, client, endpoint, frontend, limit: limitOf(steps)};
    return withByteRates(await get(isUdp(filters) ? 'flows' : 'connections', parameters));
  },
  render({items, next}, {filters, steps}) {
    const udp = isUdp(filters);
    const shown = plural(items.length, udp ? 'UDP flow' : 'connection');
    return [
      countLine(next ? `The first ${shown}; there are more` : shown),
      items.length === 0 ? nothing(`No open ${udp ? 'UDP flows' : 'connections'}.`)
        : connectionTable({id: 'connections', caption: udp ? 'UDP flows' : 'Connections', items, fixed: true, udp,
          withService: true}),
      next && limitOf(steps) < MAX_CONNECTIONS && h('button.more-button', {type: 'button', onclick: showMore},
        `Show ${CONNECTIONS_PER_STEP} more`),
    ];
  },
};
