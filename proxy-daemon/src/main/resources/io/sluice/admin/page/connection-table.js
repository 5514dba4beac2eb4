// The table of TCP connections or UDP flows, and their rates.

import {bytes, bytesPerSecond, duration} from './format.js';
import {isStale} from './live.js';
import {address, serviceLink} from './parts.js';
import {rates} from './rates.js';
import {stateLabel} from './states.js';
import {table} from './table.js';

const keyOf = (each) => `${each.client} ${each.frontend}`;

/** Adds the current rate, of both directions together, to each connection or flow. */
export function withByteRates(list) {
  list.items.forEach((each) => {
    const total = each.bytesToClient + each.bytesToEndpoint;
    each.rate = rates.sample(`connection ${keyOf(each)} ${each.endpoint}`, {total})?.total;
  });
  return list;
}

export function connectionTable({udp, withService, ...properties}) {
  return table({
    ...properties,
    key: keyOf,
    columns: [
      {label: 'Client', class: 'peer', head: true, cell: (each) => address(each.client)},
      withService && {label: 'Service', class: 'name', cell: (each) => serviceLink(each.service)},
      {label: 'Frontend', class: 'peer', cell: (each) => address(each.frontend)},
      {label: 'Endpoint', class: 'peer', cell: (each) => address(each.endpoint)},
      !udp && {label: 'State', class: 'kind', cell: (each) => stateLabel(each.state)},
      {label: 'Age', class: 'number', cell: (each) => duration(each.ageSeconds)},
      {label: 'To client', class: 'number', cell: (each) => bytes(each.bytesToClient)},
      {label: 'To endpoint', class: 'number', cell: (each) => bytes(each.bytesToEndpoint)},
      {label: 'Rate', class: 'number', cell: (each) => bytesPerSecond(isStale() ? null : each.rate)},
    ],
  });
}
