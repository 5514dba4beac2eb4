// One Service: its ports with their endpoints and frontends, its connections and its events.

import {connectionTable, withByteRates} from './connection-table.js';
import {h} from './dom.js';
import {eventTable} from './event-table.js';
import {NONE, bytes, bytesPerSecond, duration, millis, number, perSecond} from './format.js';
import {isStale} from './live.js';
import {address, age, clock, facts, link, nothing, section} from './parts.js';
import {trafficRates} from './rates.js';
import {stateLabel} from './states.js';
import {table} from './table.js';
import {encodePath, href, presentEntries} from './url.js';

/** Number of connections, and of flows, that are listed. */
const MAX_CONNECTIONS = 100;
const FRONTEND_KINDS = {
  CLUSTER_IP: 'ClusterIP', NODE_PORT: 'NodePort', LOAD_BALANCER: 'LoadBalancer IP', EXTERNAL_IP: 'external IP',
};

/** The parameter by which the view of connections shows UDP flows. */
const protocolOf = (port) => (port.protocol === 'udp' ? 'udp' : '');

/** The Service in the path, as NAMESPACE/NAME. */
const serviceName = ({path}) => path.slice(1).join('/');

function policyText({balance, affinityTimeoutSeconds, ...others}) {
  return [
    balance ?? NONE,
    affinityTimeoutSeconds > 0 ? `session affinity ${duration(affinityTimeoutSeconds)}` : 'no session affinity',
    ...presentEntries(others)
      .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`),
  ].join(', ');
}

function routesText(routes) {
  const entries = Object.entries(routes ?? {});
  const verdicts = new Set(entries.map(([, verdict]) => verdict));
  return verdicts.size === 1 ? `${[...verdicts][0]} for all clients`
    : entries.map(([origin, verdict]) => `${origin}: ${verdict}`).join(', ') || NONE;
}

/** The path of connections from this node, and why they are not decided at the socket if others are. */
function pathText({path, pathReason}) {
  return pathReason && pathReason !== 'off' ? `${path} (${pathReason})` : path ?? NONE;
}

function frontendTable(id, {frontends: items, ...port}) {
  return table({
    id, caption: 'Frontends', items, key: (each) => `${each.address} ${each.kind}`,
    columns: [
      {label: 'Frontend', class: 'peer', head: true,
        cell: (each) => link(href(['connections'], {frontend: each.address, protocol: protocolOf(port)}),
          address(each.address))},
      {label: 'Kind', cell: (each) => FRONTEND_KINDS[each.kind] ?? each.kind},
      {label: 'State', class: 'kind', cell: (each) => stateLabel(each.state.toLowerCase())},
      {label: 'Since', class: 'number', cell: (each) => age(each.since)},
      {label: 'Path', cell: pathText},
      {label: 'Verdicts', class: 'text', cell: (each) => routesText(each.routes)},
      items.some((each) => each.sourceRanges?.length > 0) && {label: 'Source ranges', class: 'text',
        cell: (each) => each.sourceRanges?.join(', ') || 'all'},
      items.some((each) => each.reason) && {label: 'Reason', class: 'text', cell: (each) => each.reason || NONE},
    ],
  });
}

function endpointTable(id, {endpoints: items, ...port}) {
  return table({
    id, caption: 'Endpoints', items, key: (each) => each.address,
    columns: [
      {label: 'Endpoint', class: 'peer', head: true,
        cell: (each) => link(
          href(['connections'], {endpoint: each.address, service: each.service, protocol: protocolOf(port)}),
          address(each.address))},
      {label: 'State', class: 'kind', cell: (each) => [stateLabel(each.state),
        each.until && h('span.part', {}, ' until ', clock(each.until))]},
      {label: 'Since', class: 'number', cell: (each) => age(each.since)},
      {label: 'Open', class: 'number', cell: (each) => number(each.active)},
      {label: 'Total', class: 'number', cell: (each) => number(each.total)},
      {label: 'To clients', class: 'number', cell: (each) => bytes(each.bytesToClient)},
      {label: 'To endpoint', class: 'number', cell: (each) => bytes(each.bytesToEndpoint)},
      {label: 'Connect p50', class: 'number', cell: (each) => millis(each.connectMillis?.p50)},
      {label: 'p99', class: 'number', cell: (each) => millis(each.connectMillis?.p99)},
      {label: 'Failed', class: 'number', cell: (each) => [number(each.failed),
        each.failures > 0 && h('span.muted', {}, ` (${number(each.failures)} in a row)`)]},
      {label: 'Last error', class: 'text', cell: (each) => (each.lastError ? [each.lastError,
        each.lastErrorTime && h('span.muted', {}, ', ', age(each.lastErrorTime), ' ago')] : NONE)},
    ],
  });
}

function portSection(port, i) {
  const counters = Object.entries(port.counters ?? {});
  return section(`${port.name ? `Port ${port.name}` : 'Port'} · ${port.protocol.toUpperCase()}`,
    h('p.policy', {}, policyText(port.policy ?? {})),
    h('h3', {}, 'Endpoints'),
    port.endpoints.length === 0 ? nothing('No endpoints.') : endpointTable(`endpoints-${i}`, port),
    h('h3', {}, 'Frontends'),
    port.frontends.length === 0 ? nothing('No frontends.') : frontendTable(`frontends-${i}`, port),
    counters.length > 0 && h('details', {}, h('summary', {}, 'Counters'),
      facts(counters.map(([name, value]) => [name, number(value)]), 'counters')));
}

function connectionSection(title, {items, next}, current, udp = false) {
  return section(title,
    items.length === 0 ? nothing('None.')
      : connectionTable({id: udp ? 'flows' : 'connections', caption: title, items, udp}),
    next && h('p.muted', {}, `Only the first ${MAX_CONNECTIONS} are listed. `,
      h('a', {href: href(['connections'], {service: serviceName(current), protocol: udp ? 'udp' : ''})}, 'More')));
}

function serviceTotals(endpoints) {
  const totals = {active: 0, total: 0, failed: 0, bytesToClient: 0, bytesToEndpoint: 0};
  for (const each of endpoints) {
    for (const name of Object.keys(totals)) {
      totals[name] += each[name] ?? 0;
    }
  }
  return totals;
}

export const service = {
  title: serviceName,
  header: (current) => [
    h('p.trail', {}, h('a', {href: href(['services'])}, 'Services'), ' / ',
      h('a', {href: href(['services'], {namespace: current.path[1]})}, current.path[1])),
    h('div.title', {key: 'title'}, h('h1', {}, serviceName(current)),
      current.data && stateLabel(current.data.details.state)),
  ],
  async load(get, current) {
    const name = serviceName(current);
    const [details, connections, flows, events] = await Promise.all([
      get(encodePath(current.path)),
      get('connections', {service: name, limit: MAX_CONNECTIONS}),
      get('flows', {service: name, limit: MAX_CONNECTIONS}),
      get('events', {service: name, limit: 50}),
    ]);
    const totals = serviceTotals(details.ports.flatMap((port) => port.endpoints));
    return {
      details, totals, rates: trafficRates(`page ${name}`, totals),
      connections: withByteRates(connections), flows: withByteRates(flows), events: events.items.reverse(),
    };
  },
  render({details, totals, rates, connections, flows, events}, current) {
    const shown = isStale() ? null : rates;
    const hasPort = (protocol) => details.ports.some((port) => port.protocol === protocol);
    return [
      facts([
        ['Open', number(totals.active)], ['New', perSecond(shown?.total)],
        ['To clients', bytesPerSecond(shown?.bytesToClient)], ['To endpoints', bytesPerSecond(shown?.bytesToEndpoint)],
        ['Total', number(totals.total)], ['Failed attempts', number(totals.failed)],
      ], 'strip'),
      details.ports.map(portSection),
      hasPort('tcp') && connectionSection('Open connections', connections, current),
      hasPort('udp') && connectionSection('Open UDP flows', flows, current, true),
      section('Recent failures and changes', events.length === 0 ? nothing('None since the start.')
        : eventTable({id: 'service-events', caption: 'Recent failures and changes', items: events})),
    ];
  },
};
