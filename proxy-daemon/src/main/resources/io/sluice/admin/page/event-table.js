// The table of events of all Services or of one.

import {NONE} from './format.js';
import {address, clock, serviceLink} from './parts.js';
import {stateLabel} from './states.js';
import {table} from './table.js';

export function eventTable({withService, ...properties}) {
  return table({
    ...properties,
    key: (each) => each.id,
    columns: [
      {label: 'Time', class: 'when', cell: (each) => clock(each.time)},
      {label: 'Kind', class: 'kind', cell: (each) => stateLabel(each.kind)},
      withService && {label: 'Service', class: 'name', head: true,
        cell: (each) => (each.service ? serviceLink(each.service) : NONE)},
      {label: 'Endpoint', class: 'peer', head: !withService, cell: (each) => address(each.endpoint)},
      {label: 'Reason', class: 'text', cell: (each) => each.reason || NONE},
    ],
  });
}
