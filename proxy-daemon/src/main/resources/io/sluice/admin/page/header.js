// The header: navigation, health, the title of the window, and the banner when the connection to Sluice is lost.

import {byId, h, patch} from './dom.js';
import {plural, timeOfDay} from './format.js';
import {isLost, isStale, live} from './live.js';
import {page} from './page.js';
import {FAILING_ENDPOINT_STATES, icon, overallState, stateLabel} from './states.js';
import {MAIN_VIEWS, href} from './url.js';

/** The state in a few words, for the header and for screen readers. */
function summary(status) {
  const {endpoints, frontends} = status.counts;
  const failing = FAILING_ENDPOINT_STATES.reduce((sum, state) => sum + (endpoints[state] ?? 0), 0);
  const failed = frontends.failed ?? 0;
  return [
    failing > 0 && `${plural(failing, 'endpoint')} failing`,
    failed > 0 && `${plural(failed, 'frontend')} failed`,
    status.feed.stale && 'feed stale',
  ].filter(Boolean);
}

export function renderHeader() {
  const {status} = live;
  const stale = isStale();
  const lost = isLost();
  patch(byId('nav'), MAIN_VIEWS.map(({name, label, path}) => h('a', {
    'href': href(path),
    'aria-current': page.name === name ? 'page' : page.name === 'service' && name === 'services' ? 'true' : null,
  }, label)));
  patch(byId('health'), [
    status && !stale && stateLabel(overallState(status)),
    status && !stale && summary(status).map((each) => h('a.state', {href: '#/', class: 'bad'}, icon('failing'), each)),
    status && h('span.node', {title: 'Node'}, status.node ?? ''),
    h('span.pulse', {class: stale ? 'lost' : 'live'},
      lost ? 'not live' : stale ? 'connecting' : 'live'),
  ]);
  patch(byId('banner'), lost ? [h('div.alert', {}, icon('lost'), h('p', {}, lostMessage()))] : []);
  document.body.classList.toggle('stale', stale);
  announce(lost ? 'Connection to Sluice lost, retrying'
    : status ? [overallState(status), ...summary(status)].join(', ') : '');
  const title = page.view.title(page);
  document.title = `${lost ? '(not live) ' : ''}${title}${status?.node ? ` · ${status.node}` : ''} – Sluice`;
}

function lostMessage() {
  const since = Math.max(live.updatedAt, live.visibleSince);
  return [
    h('strong', {}, `Connection lost since ${timeOfDay(since)}, retrying`),
    `: ${live.failure ?? 'Sluice does not respond'}.`,
    live.updatedAt > 0 && ` The values below are from ${timeOfDay(live.updatedAt)}.`,
  ];
}

function announce(text) {
  const target = byId('announcement');
  if (target.textContent !== text) {
    target.textContent = text;
  }
}
