// The list of Services.

import {h} from './dom.js';
import {choice, filterBar, searchField, withAll} from './filters.js';
import {bytesPerSecond, number, perSecond, plural} from './format.js';
import {isStale} from './live.js';
import {address, countLine, endpointSummary, link, nothing} from './parts.js';
import {trafficRates} from './rates.js';
import {stateLabel} from './states.js';
import {table} from './table.js';
import {serviceHref} from './url.js';

const SERVICES_PER_REQUEST = 1000;
const MAX_SERVICES = 20000;
const SERVICE_STATES = ['failing', 'degraded', 'no-endpoints', 'unused', 'ok'];

/** The namespaces found so far, because a filtered list does not have all of them. */
const namespaces = new Set();
const SORT_ORDERS = {
  state: (each) => -SERVICE_STATES.indexOf(each.state),
  active: (each) => each.active,
  rate: (each) => each.rates?.total ?? 0,
  client: (each) => each.rates?.bytesToClient ?? 0,
  endpoint: (each) => each.rates?.bytesToEndpoint ?? 0,
  failed: (each) => each.failed,
};

async function loadServices(get, {q, state, namespace}) {
  const items = [];
  let after = null;
  do {
    const list = await get('services', {q, state, namespace, limit: SERVICES_PER_REQUEST, after});
    items.push(...list.items);
    after = list.items.length > 0 ? list.next : null;
  } while (after != null && items.length < MAX_SERVICES);
  return {items, more: after != null};
}

export const services = {
  title: () => 'Services',
  hasSearch: true,
  header: (current) => [
    h('h1', {}, 'Services'),
    filterBar(
      searchField('q', 'Search', 'Name or address'),
      choice('namespace', 'Namespace', withAll([...new Set([...namespaces, current.filters.namespace ?? ''])]
        .filter((each) => each !== '').sort())),
      choice('state', 'State', withAll(SERVICE_STATES))),
  ],
  async load(get, {filters}) {
    const list = await loadServices(get, filters);
    for (const each of list.items) {
      namespaces.add(each.namespace);
      each.rates = trafficRates(`service ${each.service}`, each);
    }
    const order = SORT_ORDERS[filters.sort];
    return order ? {...list, items: list.items.sort((a, b) => order(b) - order(a))} : list;
  },
  render({items, more}, {filters}) {
    const stale = isStale();
    const filtered = filters.q || filters.state || filters.namespace;
    return [
      countLine(`${plural(items.length, 'Service')}${filtered ? ' found' : ''}${more ? '; more are not listed' : ''}`),
      items.length === 0 ? nothing(filtered ? 'No Service matches the filters.' : 'No Services.') : table({
        id: 'services', caption: 'Services', items, key: (each) => each.service, sort: filters.sort ?? '', fixed: true,
        columns: [
          {label: 'State', class: 'kind', sort: 'state', cell: (each) => stateLabel(each.state)},
          {label: 'Service', class: 'name', sort: '', head: true,
            cell: (each) => link(serviceHref(each.service), h('span.muted', {}, `${each.namespace}/`), each.name)},
          {label: 'Frontends', class: 'peer', cell: (each) => [
            address(each.frontends[0]),
            each.frontends.length > 1 && h('span.more', {title: each.frontends.join('\n')},
              `+${each.frontends.length - 1}`),
            each.failedFrontends > 0 && stateLabel('failed', `${number(each.failedFrontends)} failed`)]},
          {label: 'Endpoints', class: 'health', cell: (each) => endpointSummary(each.endpoints)},
          {label: 'Open', class: 'number', sort: 'active', cell: (each) => number(each.active)},
          {label: 'New', class: 'number', sort: 'rate', cell: (each) => perSecond(stale ? null : each.rates?.total)},
          {label: 'To clients', class: 'number', sort: 'client',
            cell: (each) => bytesPerSecond(stale ? null : each.rates?.bytesToClient)},
          {label: 'To endpoints', class: 'number', sort: 'endpoint',
            cell: (each) => bytesPerSecond(stale ? null : each.rates?.bytesToEndpoint)},
          {label: 'Failed', class: 'number', sort: 'failed', cell: (each) => number(each.failed)},
        ],
      }),
    ];
  },
};
