// The overview: health of the process, traffic, failures, and the numbers of objects in each state.

import {h} from './dom.js';
import {eventTable} from './event-table.js';
import {NONE, bytes, bytesPerSecond, duration, noun, number, perSecond, plural} from './format.js';
import {HISTORY_SAMPLES, isStale, live} from './live.js';
import {address, age, endpointSummary, facts, nothing, section, serviceLink} from './parts.js';
import {ENDPOINT_STATES, FAILING_ENDPOINT_STATES, icon, overallState, stateLabel, toneOf} from './states.js';
import {table} from './table.js';
import {href, serviceHref} from './url.js';

/** Number of failing objects that are listed for each state. */
const MAX_FAILING = 50;
const FRONTEND_STATES = ['failed', 'pending', 'draining', 'active'];
const TRAFFIC = [
  ['New connections', 'connectionsOpened', perSecond],
  ['Failed connections', 'connectionsFailed', perSecond],
  ['New UDP flows', 'flowsOpened', perSecond],
  ['To clients', 'bytesToClient', bytesPerSecond],
  ['To endpoints', 'bytesToEndpoint', bytesPerSecond],
];

function sparkline(name, format) {
  const values = live.history.map((each) => each?.[name] ?? null);
  const peak = Math.max(0, ...values);
  const offset = HISTORY_SAMPLES - values.length;
  const line = values.map((value, i) => {
    if (value == null) {
      return '';
    }
    const point = `${offset + i} ${(18.5 - (peak > 0 ? (value / peak) * 16 : 0)).toFixed(1)}`;
    // A line of no length makes a single sample a dot.
    return values[i - 1] == null ? `M${point}L${point}` : `L${point}`;
  }).join('');
  return [
    h('svg.spark', {'viewBox': `0 0 ${HISTORY_SAMPLES - 1} 20`, 'preserveAspectRatio': 'none', 'aria-hidden': 'true'},
      h('path.base', {d: `M0 19.5H${HISTORY_SAMPLES}`}), h('path.line', {d: line || 'M0 30'})),
    h('p.peak', {}, `peak ${format(peak)}`),
  ];
}

function trafficTiles({counts}) {
  const stale = isStale();
  return h('div.tiles', {},
    TRAFFIC.map(([label, name, format]) => h('div.tile', {key: name},
      h('h3', {}, label),
      h('p.value', {}, format(stale ? null : live.rates?.[name])),
      sparkline(name, format))),
    h('div.tile', {key: 'open'}, h('h3', {}, 'Open now'),
      h('p.value', {}, stale ? NONE : number(counts.connections)),
      h('p.peak', {}, noun(counts.connections, 'connection'), `, ${plural(counts.flows, 'UDP flow')}`),
      h('p.peak', {}, `${bytes(counts.bufferedBytes)} buffered`)));
}

function healthCard(status) {
  const overall = overallState(status);
  return h('section.hero', {'key': 'health', 'class': toneOf(overall), 'aria-label': 'Health'},
    h('div.verdict', {}, icon(overall), h('div', {},
      h('p.verdict-text', {}, {'ready': 'Ready', 'not ready': 'Not ready', 'draining': 'Draining'}[overall]),
      h('p.reason', {}, status.reason.replace(/^(not )?ready: /, '')))),
    facts([
      ['Node', status.node ?? NONE], ['Mode', status.mode], ['Phase', status.phase ?? NONE],
      ['Version', status.version], ['Uptime', age(status.startTime)], ['PID', status.pid],
      ['Log level', status.logLevel ?? NONE],
    ]),
    status.failedThreads?.length > 0 && h('p.notice', {class: 'bad'}, icon('failed'),
      `Failed threads: ${status.failedThreads.map(({thread, error}) => `${thread}: ${error}`).join(', ')}`));
}

function countSection({counts}) {
  return section('Endpoints and frontends',
    h('h3', {}, plural(sum(counts.endpoints), 'endpoint'), ' of ', plural(counts.services, 'Service'),
      ' with ', plural(counts.servicePorts, 'port')),
    breakdown(counts.endpoints, ENDPOINT_STATES),
    h('h3', {}, plural(sum(counts.frontends), 'frontend')),
    breakdown(counts.frontends, FRONTEND_STATES));
}

const sum = (counts) => Object.values(counts).reduce((total, each) => total + each, 0);

/** The numbers of objects in each state, as a bar and as a list. */
function breakdown(counts, order) {
  const present = order.filter((state) => counts[state] > 0);
  const total = sum(present.map((state) => counts[state]));
  let x = 0;
  return [
    h('svg.share', {'viewBox': '0 0 100 4', 'preserveAspectRatio': 'none', 'aria-hidden': 'true'},
      [...present].reverse().map((state) => {
        const width = (100 * counts[state]) / total;
        x += width;
        return h('rect', {key: state, class: toneOf(state), x: x - width, width: Math.max(0, width - 0.4), height: 4});
      })),
    h('ul.states', {}, present.map((state) => h('li', {key: state},
      stateLabel(state), h('b', {}, number(counts[state]))))),
  ];
}

function feedSection({feed}) {
  const {error = 0, warning = 0, note = 0} = feed.problems ?? {};
  return section('Feed',
    facts([
      ['Source', address(feed.source)],
      ['Freshness', feed.stale ? stateLabel('stale') : stateLabel('synced', 'up to date')],
      ['Last change', age(feed.lastChange), feed.lastChange ? ' ago' : ''],
      ['Problems', error + warning + note === 0 ? 'none'
        : [plural(error, 'error'), plural(warning, 'warning'), plural(note, 'note')].join(', ')],
    ]),
    feed.watches?.length > 0 && table({
      id: 'watches', caption: 'Watches', items: feed.watches, key: (each) => each.resource,
      columns: [
        {label: 'Watch', head: true, cell: (each) => each.resource},
        {label: 'State', class: 'kind', cell: (each) => (each.trouble ? stateLabel('failing', each.trouble)
          : stateLabel(each.synced ? 'synced' : 'pending', each.synced ? 'synced' : 'not synced'))},
        {label: 'Last event', class: 'number', cell: (each) => duration(each.lastEventAgeSeconds)},
        {label: 'Reconnects', class: 'number', cell: (each) => number(each.reconnects)},
        {label: 'Relists', class: 'number', cell: (each) => number(each.relists)},
      ],
    }));
}

function failingSection({services, endpoints, withoutEndpoints, truncated}) {
  return section('Failing now',
    services.length + endpoints.length === 0
      && h('p.nothing', {}, icon('ok'), 'Nothing. No endpoint failed at the last attempt, and no frontend failed.'),
    services.length > 0 && table({
      id: 'failing-services', caption: 'Services that fail', items: services, key: (each) => each.service,
      columns: [
        {label: 'State', class: 'kind', cell: (each) => stateLabel(each.state)},
        {label: 'Service', class: 'name', head: true, cell: (each) => serviceLink(each.service)},
        {label: 'Endpoints', class: 'health', cell: (each) => endpointSummary(each.endpoints)},
        {label: 'Failed frontends', class: 'number', cell: (each) => number(each.failedFrontends)},
        {label: 'Open', class: 'number', cell: (each) => number(each.active)},
        {label: 'Failed connections', class: 'number', cell: (each) => number(each.failed)},
      ],
    }),
    endpoints.length > 0 && table({
      id: 'failing-endpoints', caption: 'Endpoints that fail', items: endpoints,
      key: (each) => `${each.service} ${each.address}`,
      columns: [
        {label: 'State', class: 'kind', cell: (each) => stateLabel(each.state)},
        {label: 'Endpoint', class: 'peer', head: true, cell: (each) => address(each.address)},
        {label: 'Service', class: 'name', cell: (each) => serviceLink(each.service)},
        {label: 'Since', class: 'number', cell: (each) => age(each.since)},
        {label: 'Failures in a row', class: 'number', cell: (each) => number(each.failures)},
        {label: 'Last error', class: 'text', cell: (each) => each.lastError || NONE},
      ],
    }),
    truncated && h('p.muted', {}, `Only the first ${MAX_FAILING} of each state are listed. `,
      h('a', {href: href(['services'], {state: 'failing'})}, 'All failing Services')),
    withoutEndpoints.items.length > 0 && h('p.aside', {}, stateLabel('no-endpoints', 'Without endpoints:'), ' ',
      withoutEndpoints.items.map((each) => h('span.listed', {key: each.service},
        h('a', {href: serviceHref(each.service)}, each.service))),
      withoutEndpoints.next && h('a', {href: href(['services'], {state: 'no-endpoints'})}, 'all')));
}

export const overview = {
  title: () => 'Overview',
  header: () => h('h1', {class: 'unseen'}, 'Overview'),
  async load(get) {
    const {counts} = live.status;
    const failingStates = FAILING_ENDPOINT_STATES.filter((state) => counts.endpoints[state] > 0);
    const serviceStates = failingStates.length > 0 || counts.frontends.failed > 0 ? ['failing', 'degraded'] : [];
    const [failures, withoutEndpoints, services, endpoints] = await Promise.all([
      get('events', {kind: 'failure', limit: 15}),
      get('services', {state: 'no-endpoints', limit: 10}),
      Promise.all(serviceStates.map((state) => get('services', {state, limit: MAX_FAILING}))),
      Promise.all(failingStates.map((state) => get('endpoints', {state, limit: MAX_FAILING}))),
    ]);
    return {
      failures: failures.items.reverse(), withoutEndpoints,
      services: services.flatMap((list) => list.items), endpoints: endpoints.flatMap((list) => list.items),
      truncated: [...services, ...endpoints].some((list) => list.next),
    };
  },
  render: (data) => [
    healthCard(live.status),
    h('section', {'key': 'traffic', 'aria-label': 'Traffic now'}, h('h2', {}, 'Traffic now'),
      trafficTiles(live.status)),
    failingSection(data),
    h('div.columns', {key: 'columns'}, countSection(live.status), feedSection(live.status)),
    section('Recent failures', data.failures.length === 0 ? nothing('No failures since the start.')
      : eventTable({id: 'failures', caption: 'Recent failures', items: data.failures, withService: true})),
  ],
};
