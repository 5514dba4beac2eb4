// The status page: requests the admin API once a second and renders one of five views, selected by the URL's fragment.
//
// Strings from the API become text nodes and attribute values, never markup. All URLs are relative, so that the page
// works behind a proxy that adds a path prefix. Contract of the API: deploy/docs/admin-api.md.

const UPDATE_MILLIS = 1000;
const REQUEST_TIMEOUT_MILLIS = 5000;
/** Time without a response after which values no longer count as current. */
const STALE_MILLIS = 2500;
const HISTORY_SAMPLES = 60;
const SERVICES_PER_REQUEST = 1000;
const MAX_SERVICES = 20000;
const CONNECTIONS_PER_STEP = 500;
const MAX_CONNECTIONS = 5000;
const MAX_EVENTS = 1000;

// Elements

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'path', 'rect']);

/** Describes an element: h('td.number', {title: 'x'}, 'text', h('b', {}, 'y')). Null and false are skipped. */
function h(name, props, ...children) {
  const [tag, ...classes] = name.split('.');
  if (props.class) {
    classes.push(props.class);
  }
  return {
    tag,
    props: classes.length > 0 ? {...props, class: classes.join(' ')} : props,
    children: children.flat(Infinity).filter((child) => child != null && child !== false),
  };
}

/**
 * Makes the children of an element match their descriptions. Existing elements are changed, not replaced, so that
 * focus, selection and scroll positions survive an update. Children with the property 'key' are matched by it.
 */
function patch(parent, children) {
  const focused = document.activeElement;
  const old = new Map();
  for (const node of [...parent.childNodes]) {
    if (node.patchKey === undefined || old.has(node.patchKey)) {
      node.remove();
    } else {
      old.set(node.patchKey, node);
    }
  }
  const counts = new Map();
  const nodes = children.map((child) => {
    const tag = child.tag ?? '#text';
    const count = (counts.get(tag) ?? 0) + 1;
    counts.set(tag, count);
    const key = `${tag} ${child.props?.key ?? count}`;
    const node = old.get(key) ?? create(tag, key);
    old.delete(key);
    if (child.tag) {
      update(node, child);
    } else if (node.data !== String(child)) {
      node.data = String(child);
    }
    return node;
  });
  old.forEach((node) => node.remove());
  nodes.forEach((node, i) => {
    if (parent.childNodes[i] !== node) {
      parent.insertBefore(node, parent.childNodes[i] ?? null);
    }
  });
  if (focused !== document.activeElement && focused?.isConnected) {
    focused.focus({preventScroll: true});
  }
}

function create(tag, key) {
  const node = tag === '#text' ? document.createTextNode('')
    : SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  node.patchKey = key;
  node.patchProps = {};
  return node;
}

function update(node, {props, children}) {
  const before = node.patchProps;
  node.patchProps = props;
  for (const name of Object.keys(before)) {
    if (!(name in props)) {
      setProperty(node, name, null);
    }
  }
  for (const [name, value] of Object.entries(props)) {
    if (name !== 'value' && before[name] !== value) {
      setProperty(node, name, value);
    }
  }
  patch(node, children);
  // After the children, because the value of a select is one of its options. A field with the focus is being edited.
  if ('value' in props && node.value !== props.value && node !== document.activeElement) {
    node.value = props.value;
  }
}

function setProperty(node, name, value) {
  if (name === 'key') {
    return;
  }
  if (name.startsWith('on')) {
    node[name] = value;
  } else if (name === 'styleHeight') {
    node.style.height = value; // the Content Security Policy forbids the attribute 'style'
  } else if (value == null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? '' : value);
  }
}

const byId = (id) => document.getElementById(id);

// Formats

const NONE = '–';
const WHOLE = new Intl.NumberFormat('en-US', {maximumFractionDigits: 0});
const TENTHS = new Intl.NumberFormat('en-US', {minimumFractionDigits: 1, maximumFractionDigits: 1});
const CLOCK = new Intl.DateTimeFormat('en-GB', {hour: '2-digit', minute: '2-digit', second: '2-digit'});
const DATE = new Intl.DateTimeFormat('en-GB', {day: '2-digit', month: 'short'});

const number = (value) => (value == null ? NONE : WHOLE.format(value));
const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
const small = (value) => (value !== 0 && Math.abs(value) < 10 ? TENTHS : WHOLE).format(value);

function bytes(value) {
  if (value == null) {
    return NONE;
  }
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let unit = 0;
  let scaled = value;
  // 999.5 would be displayed as 1,000.
  for (; scaled >= 999.5 && unit < units.length - 1; unit++) {
    scaled /= 1000;
  }
  return `${unit === 0 ? WHOLE.format(scaled) : small(scaled)} ${units[unit]}`;
}

const perSecond = (rate) => (rate == null ? NONE : `${small(rate)}/s`);
const bytesPerSecond = (rate) => (rate == null ? NONE : `${bytes(rate)}/s`);

function duration(seconds) {
  if (seconds == null) {
    return NONE;
  }
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => whole >= size);
  if (first < 0) {
    return '0 s';
  }
  const [[size, unit], next] = parts.slice(first);
  const rest = next ? Math.floor((whole % size) / next[0]) : 0;
  return `${Math.floor(whole / size)} ${unit}${rest > 0 ? ` ${rest} ${next[1]}` : ''}`;
}

/** Seconds since a time, by the clock of the server. */
const secondsSince = (time) => (Date.now() + live.clockOffsetMillis - Date.parse(time)) / 1000;

function age(time) {
  return time ? h('time', {datetime: time, title: time}, duration(secondsSince(time))) : NONE;
}

function clock(time) {
  const date = new Date(time);
  const today = new Date().toDateString() === date.toDateString();
  return h('time', {datetime: time, title: time}, `${today ? '' : `${DATE.format(date)} `}${CLOCK.format(date)}`);
}

// States: a tone, and a shape that distinguishes it without color

const SHAPES = {
  dot: 'M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8z',
  ring: 'M6 2.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7z',
  triangle: 'M6 1.5 11 10.5H1z',
  cross: 'M2.5 2.5l7 7M9.5 2.5l-7 7',
  bars: 'M4 2.5v7M8 2.5v7',
};
const STATES = {
  'ok': ['good', 'dot'], 'up': ['good', 'dot'], 'active': ['good', 'dot'], 'recovery': ['good', 'dot'],
  'ready': ['good', 'dot'], 'live': ['good', 'dot'], 'synced': ['good', 'dot'], 'open': ['good', 'dot'],
  'degraded': ['warn', 'triangle'], 'stale': ['warn', 'triangle'], 'no-endpoints': ['warn', 'ring'],
  'failing': ['bad', 'cross'], 'refusing': ['bad', 'cross'], 'silent': ['bad', 'cross'], 'ejected': ['bad', 'cross'],
  'failed': ['bad', 'cross'], 'failure': ['bad', 'cross'], 'not ready': ['bad', 'cross'], 'lost': ['bad', 'cross'],
  'draining': ['held', 'bars'], 'disabled': ['held', 'bars'],
};
const ENDPOINT_STATES = ['refusing', 'silent', 'ejected', 'disabled', 'draining', 'unknown', 'up'];
const FAILING_ENDPOINT_STATES = ['refusing', 'silent', 'ejected'];
const FRONTEND_STATES = ['failed', 'pending', 'draining', 'active'];
const SERVICE_STATES = ['failing', 'degraded', 'no-endpoints', 'unused', 'ok'];
const FRONTEND_KINDS = {
  CLUSTER_IP: 'ClusterIP', NODE_PORT: 'NodePort', LOAD_BALANCER: 'LoadBalancer IP', EXTERNAL_IP: 'external IP',
};

const toneOf = (state) => (STATES[state] ?? ['idle', 'ring'])[0];

function icon(state) {
  const [tone, shape] = STATES[state] ?? ['idle', 'ring'];
  return h('svg.icon', {'class': `${tone} ${shape}`, 'viewBox': '0 0 12 12', 'aria-hidden': 'true'},
    h('path', {d: SHAPES[shape]}));
}

function stateLabel(state, text = state) {
  return h('span.state', {class: toneOf(state)}, icon(state), text);
}

// Connection to the API

/** A request that failed: with a status of HTTP, or with 0 if there was no valid response. */
class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const live = {
  status: null,
  /** Rates of the totals in the status, and those of the last minute; null where there are none. */
  rates: null,
  history: [],
  /** Times of the last response, of the last complete update, and since when the page is visible. */
  respondedAt: 0,
  updatedAt: 0,
  visibleSince: Date.now(),
  /** Why the last update failed; null if it succeeded. */
  failure: null,
  clockOffsetMillis: 0,
};

const isStale = () => live.failure != null || Date.now() - live.respondedAt > STALE_MILLIS;
const isLost = () => live.failure != null
  || Date.now() - Math.max(live.respondedAt, live.visibleSince) > STALE_MILLIS;

async function request(signal, path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value != null && value !== ''));
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MILLIS);
  let response;
  let body;
  try {
    response = await fetch(`api/v1/${path}${query.size > 0 ? `?${query}` : ''}`,
      {signal: AbortSignal.any([signal, timeout]), cache: 'no-store'});
    body = await response.json().catch((e) => (e instanceof SyntaxError ? null : Promise.reject(e)));
  } catch {
    throw new ApiError(0, timeout.aborted ? 'Sluice does not respond' : 'Sluice cannot be reached');
  }
  signal.throwIfAborted();
  if (!response.ok) {
    throw new ApiError(response.status, `${body?.error ?? 'request failed'} (HTTP ${response.status})`);
  }
  if (body == null) {
    throw new ApiError(0, 'the response is not JSON');
  }
  live.respondedAt = Date.now();
  const skew = Date.parse(response.headers.get('Date') ?? '') - Date.now();
  // The header has whole seconds.
  live.clockOffsetMillis = Math.abs(skew) > 2000 ? skew : 0;
  return body;
}

/** Rates per second from the difference of counters. */
class Rates {
  #samples = new Map();

  /** Records counters and returns their rates; null if there is no earlier sample or a counter was reset. */
  sample(key, counters) {
    const at = performance.now();
    const last = this.#samples.get(key);
    const seconds = last ? (at - last.at) / 1000 : 0;
    if (last && seconds < 0.5) {
      return last.rates;
    }
    let rates = null;
    if (last && Object.keys(counters).every((name) => counters[name] >= last.counters[name])) {
      rates = Object.fromEntries(
        Object.keys(counters).map((name) => [name, (counters[name] - last.counters[name]) / seconds]));
    }
    this.#samples.set(key, {at, counters, rates});
    return rates;
  }

  /** Forgets samples that are too old to yield the current rate. */
  removeOld() {
    const oldest = performance.now() - 15000;
    this.#samples.forEach((sample, key) => sample.at < oldest && this.#samples.delete(key));
  }

  clear() {
    this.#samples.clear();
  }
}

const rates = new Rates();

function acceptStatus(status) {
  const before = live.status;
  if (before && (before.pid !== status.pid || before.startTime !== status.startTime)) {
    rates.clear();
    live.history = [];
    page.data = null;
  }
  live.status = status;
  const current = rates.sample('totals', status.totals);
  if (current !== live.rates) {
    live.rates = current;
    live.history = [...live.history, current].slice(-HISTORY_SAMPLES);
  }
}

/** Breaks the history, because the counters of a while ago do not yield current rates. */
function interruptRates() {
  rates.clear();
  live.rates = null;
  if (live.history.at(-1)) {
    live.history = [...live.history, null].slice(-HISTORY_SAMPLES);
  }
}

// Routes

const page = {name: '', view: null, path: [], filters: {}, data: null, problem: null};

function href(path, filters = {}) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value != null && value !== ''));
  return `#/${path.map(encodeURIComponent).join('/')}${query.size > 0 ? `?${query}` : ''}`;
}

/** The link to a Service, from NAMESPACE/NAME or NAMESPACE/NAME:PORT. */
const serviceHref = (name) => href(['services', ...name.replace(/:.*$/, '').split('/')]);

function parseRoute(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const filters = Object.fromEntries(new URLSearchParams(query));
  try {
    return {path: path.split('/').filter((segment) => segment !== '').map(decodeURIComponent), filters};
  } catch {
    return {path: ['?'], filters};
  }
}

function viewOf([first, ...rest]) {
  if (first === undefined) {
    return 'overview';
  }
  if (first === 'services' && rest.length === 2) {
    return 'service';
  }
  return rest.length === 0 && ['services', 'connections', 'events'].includes(first) ? first : 'unknown';
}

/** Scroll positions by fragment, so that going back from a Service finds the list where it was. */
const scrollPositions = new Map();

function openRoute() {
  const hash = location.hash || '#/';
  const {path, filters} = parseRoute(hash);
  const cameFrom = page.hash;
  Object.assign(page, {
    hash, path, filters, name: viewOf(path), data: null, problem: null, limit: CONNECTIONS_PER_STEP,
    scrollTo: page.previousHash === hash ? scrollPositions.get(hash) : 0, previousHash: cameFrom,
  });
  page.view = VIEWS[page.name];
  if (cameFrom !== undefined) {
    byId('view').focus({preventScroll: true});
  }
  // Usually the response arrives earlier, and the old view is replaced without a flash.
  setTimeout(() => page.hash === hash && page.data == null && render(), 150);
  refresh();
}

let filterTimer;

/** Changes a filter in the URL without a new entry in the browser's history. */
function setFilter(name, value, delayMillis = 0) {
  page.filters = {...page.filters, [name]: value};
  page.hash = href(page.path, page.filters);
  page.limit = CONNECTIONS_PER_STEP;
  history.replaceState(null, '', page.hash);
  clearTimeout(filterTimer);
  filterTimer = setTimeout(refresh, delayMillis);
}

// Update loop

let timer;
let running = null;

/** Updates now, instead of an update that is running or due. */
async function refresh() {
  clearTimeout(timer);
  running?.abort();
  if (document.hidden) {
    return;
  }
  const own = new AbortController();
  running = own;
  const start = performance.now();
  const get = (path, parameters) => request(own.signal, path, parameters);
  try {
    acceptStatus(await get('status'));
    const loaded = await loadView(get);
    own.signal.throwIfAborted();
    Object.assign(page, loaded);
    live.failure = null;
    live.updatedAt = Date.now();
    rates.removeOld();
    render();
  } catch (e) {
    if (own.signal.aborted) {
      return;
    }
    updateFailed(e);
  }
  // A large cluster is requested less often, so that Sluice is not busy with it.
  const elapsed = performance.now() - start;
  timer = setTimeout(refresh, Math.max(UPDATE_MILLIS - elapsed, elapsed, 100));
}

function updateFailed(e) {
  interruptRates();
  if (e instanceof ApiError) {
    live.failure = e.message;
    render();
  } else {
    // Rendering the view could fail again.
    live.failure = `internal error of this page: ${e.message}`;
    renderHeader();
    console.error(e);
  }
}

/** Loads the data of the current view. If the API rejects the request, the result is the problem, such as a 404. */
async function loadView(get) {
  try {
    return {data: await page.view.load(get, page), problem: null};
  } catch (e) {
    if (e instanceof ApiError && e.status >= 400 && e.status < 500) {
      return {data: null, problem: e.message};
    }
    throw e;
  }
}

/** Pauses updates while the page is hidden. */
function visibilityChanged() {
  if (document.hidden) {
    running?.abort();
    clearTimeout(timer);
    interruptRates();
  } else {
    live.visibleSince = Date.now();
    render();
    refresh();
  }
}

/** Marks values as stale when a response is overdue. */
function checkResponse() {
  if (document.hidden) {
    return;
  }
  if (isStale() && !document.body.classList.contains('stale')) {
    render();
  } else {
    renderHeader();
  }
}

// Header

const NAVIGATION = [['overview', 'Overview', []], ['services', 'Services', ['services']],
  ['connections', 'Connections', ['connections']], ['events', 'Events', ['events']]];

const countFailing = ({endpoints}) => FAILING_ENDPOINT_STATES.reduce((sum, each) => sum + (endpoints[each] ?? 0), 0);

function overallState(status) {
  return status.draining ? 'draining' : status.ready ? 'ready' : 'not ready';
}

/** The state in a few words, for the header and for screen readers. */
function summary(status) {
  const failing = countFailing(status.counts);
  const failed = status.counts.frontends.failed ?? 0;
  return [
    failing > 0 && `${plural(failing, 'endpoint')} failing`,
    failed > 0 && `${plural(failed, 'frontend')} failed`,
    status.feed.stale && 'feed stale',
  ].filter(Boolean);
}

function renderHeader() {
  const {status} = live;
  const stale = isStale();
  const lost = isLost();
  patch(byId('nav'), NAVIGATION.map(([name, label, path]) => h('a', {
    'href': href(path),
    'aria-current': page.name === name ? 'page' : page.name === 'service' && name === 'services' ? 'true' : null,
  }, label)));
  patch(byId('health'), [
    status && !stale && stateLabel(overallState(status)),
    status && !stale && summary(status).map((each) => h('a.state', {href: '#/', class: 'bad'}, icon('failing'),
      each)),
    status && h('span.node', {title: 'Node'}, status.node ?? ''),
    h('span.pulse', {class: stale ? 'lost' : 'live'},
      lost ? 'not live' : stale ? 'connecting' : 'live'),
  ].flat().filter(Boolean));
  patch(byId('banner'), lost ? [h('div.alert', {}, icon('lost'), h('p', {}, lostMessage()))] : []);
  document.body.classList.toggle('stale', stale);
  announce(lost ? 'Connection to Sluice lost, retrying'
    : status ? [overallState(status), ...summary(status)].join(', ') : '');
  const name = page.view?.title(page) ?? '';
  document.title = `${lost ? '(not live) ' : ''}${name}${status?.node ? ` · ${status.node}` : ''} – Sluice`;
}

function lostMessage() {
  const since = Math.max(live.updatedAt, live.visibleSince);
  return [
    h('strong', {}, `Connection lost since ${CLOCK.format(since)}, retrying`),
    `: ${live.failure ?? 'Sluice does not respond'}.`,
    live.updatedAt > 0 && ` The values below are from ${CLOCK.format(live.updatedAt)}.`,
  ];
}

function announce(text) {
  const target = byId('announcement');
  if (target.textContent !== text) {
    target.textContent = text;
  }
}

function render() {
  renderHeader();
  renderView();
  let again = measureRows();
  if (page.scrollTo != null && page.data != null) {
    window.scrollTo(0, page.scrollTo);
    page.scrollTo = null;
    again = true;
  }
  if (again) {
    renderView();
  }
  focusSearch();
}

function renderView() {
  const {view} = page;
  const content = page.problem ? h('p.notice', {class: 'bad', role: 'alert'}, icon('failed'), page.problem)
    : page.data != null && live.status ? view.render(page.data, page, live.status)
    : h('p.notice', {}, isLost() ? 'No data yet.' : 'Loading…');
  patch(byId('view'), [view.header(page), content].flat(Infinity).filter(Boolean));
  page.rendered = page.name;
}

// Tables

/** Rows above this number are rendered only near the visible part of the page. */
const WINDOWED_ROWS = 150;
const ROW_SLACK = 12;
const rowHeights = new Map();

/**
 * Describes a table. A column is {label, cell, class, head, sort}: 'cell' returns the content for an item, 'head' marks
 * the column that names the row, 'sort' is the name of a sort order.
 */
function table({id, caption, columns, items, key, sort, fixed}) {
  const windowed = items.length > WINDOWED_ROWS;
  const [first, last] = windowed ? rowsInView(id, items.length) : [0, items.length];
  const spacer = (name, rows) => rows > 0 && h('tr.spacer', {'key': name, 'aria-hidden': 'true'},
    h('td', {colspan: columns.length, styleHeight: `${rows * rowHeights.get(id)}px`}));
  const row = (item, i) => h('tr', {'key': `:${key(item)}`, 'role': 'row', 'aria-rowindex': windowed ? i + 2 : null},
    columns.map((column) => {
      const content = column.cell(item);
      return h(column.head ? 'th' : 'td', {
        'class': `${column.class ?? ''}${content === NONE ? ' empty' : ''}`,
        'role': column.head ? 'rowheader' : 'cell',
        'scope': column.head ? 'row' : null,
        'data-label': column.label,
      }, content);
    }));
  return h('div.table', {key: id},
    h('table', {
      id, 'class': fixed ? 'fixed' : null, 'role': 'table', 'aria-rowcount': windowed ? items.length + 1 : null,
    },
      h('caption.unseen', {}, caption),
      h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'}, columns.map((column) => heading(column, sort)))),
      h('tbody', {role: 'rowgroup'},
        spacer('above', first),
        items.slice(first, last).map((item, i) => row(item, first + i)),
        spacer('below', items.length - last))));
}

function heading(column, sort) {
  const current = sort !== undefined && column.sort !== undefined && column.sort === sort;
  return h('th', {
    'class': column.class,
    'role': 'columnheader',
    'scope': 'col',
    'aria-sort': current ? (column.sort === '' ? 'ascending' : 'descending') : null,
  }, column.sort === undefined ? column.label
    : h('button', {type: 'button', title: `Sort by ${column.label.toLowerCase()}`,
      onclick: () => setFilter('sort', column.sort)}, column.label, current && (column.sort === '' ? ' ↑' : ' ↓')));
}

function rowsInView(id, count) {
  const rowHeight = rowHeights.get(id) ?? 34;
  rowHeights.set(id, rowHeight);
  const above = Math.max(0, -(byId(id)?.tBodies[0].getBoundingClientRect().top ?? 0));
  const first = Math.floor(above / rowHeight) - ROW_SLACK;
  const rows = Math.ceil(window.innerHeight / rowHeight) + 2 * ROW_SLACK;
  const start = Math.max(0, Math.min(first, count - rows));
  return [start, Math.min(count, start + rows)];
}

/** Returns whether the height of rows has changed, for example because rows have become cards. */
function measureRows() {
  let changed = false;
  for (const body of document.querySelectorAll('tbody:has(> .spacer)')) {
    const rows = [...body.rows].filter((row) => row.className !== 'spacer');
    const height = (rows.at(-1).getBoundingClientRect().bottom - rows[0].getBoundingClientRect().top) / rows.length;
    const {id} = body.parentElement;
    changed ||= Math.abs(height - rowHeights.get(id)) > 0.1;
    rowHeights.set(id, height);
  }
  return changed;
}

let scrollFrame = 0;

function scrolled() {
  scrollPositions.set(page.hash, window.scrollY);
  if (scrollFrame === 0 && document.querySelector('.spacer')) {
    scrollFrame = requestAnimationFrame(() => {
      scrollFrame = 0;
      render();
    });
  }
}

// Parts of views

const link = (target, ...children) => h('a.open', {href: target}, children);
const address = (value) => (value ? h('span.address', {title: value}, value) : NONE);

function facts(entries, kind = '') {
  return h('dl.facts', {class: kind}, entries.filter(Boolean).map(([name, ...value]) =>
    h('div', {key: name}, h('dt', {}, name), h('dd', {}, value))));
}

function section(title, ...content) {
  return h('section', {key: title}, h('h2', {}, title), content);
}

const nothing = (text) => h('p.nothing', {}, text);

function searchField(name, label, placeholder) {
  return h('label.field', {key: name}, h('span', {}, label), h('input', {
    type: 'search', name, placeholder, autocomplete: 'off', spellcheck: 'false', value: page.filters[name] ?? '',
    oninput: (event) => setFilter(name, event.target.value.trim(), 100),
  }));
}

function choice(name, label, options) {
  return h('label.field', {key: name}, h('span', {}, label), h('select', {
    name, value: page.filters[name] ?? '', onchange: (event) => setFilter(name, event.target.value),
  }, options.map(([value, text]) => h('option', {key: value, value}, text))));
}

const countLine = (text) => h('p.count', {role: 'status'}, text);

/** The numbers of objects in each state, as a bar and as a list. */
function breakdown(counts, order) {
  const present = order.filter((state) => counts[state] > 0);
  const total = present.reduce((sum, state) => sum + counts[state], 0);
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

function endpointSummary({total = 0, ...states}) {
  if (total === 0) {
    return h('span.muted', {}, 'none');
  }
  const others = ENDPOINT_STATES.filter((state) => state !== 'up' && states[state] > 0);
  return [`${number(states.up ?? 0)}/${number(total)} up`, others.map((state) => h('span.part', {key: state},
    stateLabel(state, `${number(states[state])} ${state}`)))];
}

function eventColumns(withService) {
  return [
    {label: 'Time', class: 'when', cell: (each) => clock(each.time)},
    {label: 'Kind', class: 'kind', cell: (each) => stateLabel(each.kind)},
    withService && {label: 'Service', class: 'name', head: true,
      cell: (each) => (each.service ? link(serviceHref(each.service), each.service) : NONE)},
    {label: 'Endpoint', class: 'peer', head: !withService, cell: (each) => address(each.endpoint)},
    {label: 'Reason', class: 'text', cell: (each) => each.reason || NONE},
  ].filter(Boolean);
}

function connectionColumns(udp) {
  return [
    {label: 'Client', class: 'peer', head: true, cell: (each) => address(each.client)},
    {label: 'Service', class: 'name', cell: (each) => link(serviceHref(each.service), each.service)},
    {label: 'Frontend', class: 'peer', cell: (each) => address(each.frontend)},
    {label: 'Endpoint', class: 'peer', cell: (each) => address(each.endpoint)},
    !udp && {label: 'State', class: 'kind', cell: (each) => stateLabel(each.state)},
    {label: 'Age', class: 'number', cell: (each) => duration(each.ageSeconds)},
    {label: 'To client', class: 'number', cell: (each) => bytes(each.bytesToClient)},
    {label: 'To endpoint', class: 'number', cell: (each) => bytes(each.bytesToEndpoint)},
    {label: 'Rate', class: 'number', cell: (each) => bytesPerSecond(isStale() ? null : each.rate)},
  ].filter(Boolean);
}

const connectionKey = (each) => `${each.client} ${each.frontend}`;

/** Adds the current rate, of both directions together, to each connection or flow. */
function withByteRates(list) {
  list.items.forEach((each) => {
    const total = each.bytesToClient + each.bytesToEndpoint;
    each.rate = rates.sample(`connection ${connectionKey(each)} ${each.endpoint}`, {total})?.total;
  });
  return list;
}

// Overview

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
  let pen = 'M';
  const line = values.map((value, i) => {
    if (value == null) {
      pen = 'M';
      return '';
    }
    const point = `${offset + i} ${(18.5 - (peak > 0 ? (value / peak) * 16 : 0)).toFixed(1)}`;
    // A line of no length makes a single sample a dot.
    const drawn = pen === 'M' ? `M${point}L${point}` : `L${point}`;
    pen = 'L';
    return drawn;
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
      h('p.peak', {}, plural(counts.connections, 'connection').replace(/^\S+ /, ''),
        `, ${plural(counts.flows, 'UDP flow')}`),
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
        {label: 'Service', class: 'name', head: true, cell: (each) => link(serviceHref(each.service), each.service)},
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
        {label: 'Service', class: 'name', cell: (each) => link(serviceHref(each.service), each.service)},
        {label: 'Since', class: 'number', cell: (each) => age(each.since)},
        {label: 'Failures in a row', class: 'number', cell: (each) => number(each.failures)},
        {label: 'Last error', class: 'text', cell: (each) => each.lastError || NONE},
      ],
    }),
    truncated && h('p.muted', {}, 'Only the first 50 of each state are listed. ',
      h('a', {href: href(['services'], {state: 'failing'})}, 'All failing Services')),
    withoutEndpoints.items.length > 0 && h('p.aside', {}, stateLabel('no-endpoints', 'Without endpoints:'), ' ',
      withoutEndpoints.items.map((each) => h('span.listed', {key: each.service},
        h('a', {href: serviceHref(each.service)}, each.service))),
      withoutEndpoints.next && h('a', {href: href(['services'], {state: 'no-endpoints'})}, 'all')));
}

const overview = {
  title: () => 'Overview',
  header: () => h('h1', {class: 'unseen'}, 'Overview'),
  async load(get) {
    const {counts} = live.status;
    const failingStates = FAILING_ENDPOINT_STATES.filter((state) => counts.endpoints[state] > 0);
    const serviceStates = failingStates.length > 0 || counts.frontends.failed > 0 ? ['failing', 'degraded'] : [];
    const [failures, withoutEndpoints, services, endpoints] = await Promise.all([
      get('events', {kind: 'failure', limit: 15}),
      get('services', {state: 'no-endpoints', limit: 10}),
      Promise.all(serviceStates.map((state) => get('services', {state, limit: 50}))),
      Promise.all(failingStates.map((state) => get('endpoints', {state, limit: 50}))),
    ]);
    return {
      failures: failures.items.reverse(), withoutEndpoints,
      services: services.flatMap((list) => list.items), endpoints: endpoints.flatMap((list) => list.items),
      truncated: [...services, ...endpoints].some((list) => list.next),
    };
  },
  render: (data, _, status) => [
    healthCard(status),
    h('section', {'key': 'traffic', 'aria-label': 'Traffic now'}, h('h2', {}, 'Traffic now'), trafficTiles(status)),
    failingSection(data),
    h('div.columns', {key: 'columns'},
      section('Endpoints and frontends',
        h('h3', {}, plural(sum(status.counts.endpoints), 'endpoint'), ' of ', plural(status.counts.services, 'Service'),
          ' with ', plural(status.counts.servicePorts, 'port')),
        breakdown(status.counts.endpoints, ENDPOINT_STATES),
        h('h3', {}, plural(sum(status.counts.frontends), 'frontend')),
        breakdown(status.counts.frontends, FRONTEND_STATES)),
      feedSection(status)),
    section('Recent failures', data.failures.length === 0 ? nothing('No failures since the start.')
      : table({id: 'failures', caption: 'Recent failures', items: data.failures, key: (each) => each.id,
        columns: eventColumns(true)})),
  ],
};

const sum = (counts) => Object.values(counts).reduce((total, each) => total + each, 0);

// Services

const namespaces = new Set();
const SORT_ORDERS = {
  state: (each) => -SERVICE_STATES.indexOf(each.state),
  active: (each) => each.active,
  rate: (each) => each.rates?.total ?? 0,
  client: (each) => each.rates?.bytesToClient ?? 0,
  endpoint: (each) => each.rates?.bytesToEndpoint ?? 0,
  failed: (each) => each.failed,
};

async function loadServices(get, filters) {
  const items = [];
  let after = null;
  do {
    const {q, state, namespace} = filters;
    const list = await get('services', {q, state, namespace, limit: SERVICES_PER_REQUEST, after});
    items.push(...list.items);
    after = list.items.length > 0 ? list.next : null;
  } while (after != null && items.length < MAX_SERVICES);
  return {items, more: after != null};
}

const services = {
  title: () => 'Services',
  header: (current) => [
    h('h1', {}, 'Services'),
    h('div.filters', {key: 'filters', role: 'search'},
      searchField('q', 'Search', 'Name or address'),
      choice('namespace', 'Namespace', [['', 'All'], ...[...new Set([...namespaces, current.filters.namespace ?? ''])]
        .filter((each) => each !== '').sort().map((each) => [each, each])]),
      choice('state', 'State', [['', 'All'], ...SERVICE_STATES.map((each) => [each, each])])),
  ],
  async load(get, {filters}) {
    const list = await loadServices(get, filters);
    for (const each of list.items) {
      namespaces.add(each.namespace);
      const {total, bytesToClient, bytesToEndpoint} = each;
      each.rates = rates.sample(`service ${each.service}`, {total, bytesToClient, bytesToEndpoint});
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

// One Service

function policyText({balance, affinityTimeoutSeconds, ...others}) {
  return [
    balance ?? NONE,
    affinityTimeoutSeconds > 0 ? `session affinity ${duration(affinityTimeoutSeconds)}` : 'no session affinity',
    ...Object.entries(others).filter(([, value]) => value != null && value !== '')
      .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`),
  ].join(', ');
}

function routesText(routes) {
  const entries = Object.entries(routes ?? {});
  const verdicts = new Set(entries.map(([, verdict]) => verdict));
  return verdicts.size === 1 ? `${[...verdicts][0]} for all clients`
    : entries.map(([origin, verdict]) => `${origin}: ${verdict}`).join(', ') || NONE;
}

function millis(value) {
  return value == null ? NONE : `${small(value)} ms`;
}

function frontendTable(id, items) {
  return table({
    id, caption: 'Frontends', items, key: (each) => `${each.address} ${each.kind}`,
    columns: [
      {label: 'Frontend', class: 'peer', head: true,
        cell: (each) => link(href(['connections'], {frontend: each.address}), address(each.address))},
      {label: 'Kind', cell: (each) => FRONTEND_KINDS[each.kind] ?? each.kind},
      {label: 'State', class: 'kind', cell: (each) => stateLabel(each.state.toLowerCase())},
      {label: 'Since', class: 'number', cell: (each) => age(each.since)},
      {label: 'Path', cell: (each) => each.path ?? NONE},
      {label: 'Verdicts', class: 'text', cell: (each) => routesText(each.routes)},
      items.some((each) => each.sourceRanges?.length > 0) && {label: 'Source ranges', class: 'text',
        cell: (each) => each.sourceRanges?.join(', ') || 'all'},
      items.some((each) => each.reason) && {label: 'Reason', class: 'text', cell: (each) => each.reason || NONE},
    ].filter(Boolean),
  });
}

function endpointTable(id, items) {
  return table({
    id, caption: 'Endpoints', items, key: (each) => each.address,
    columns: [
      {label: 'Endpoint', class: 'peer', head: true,
        cell: (each) => link(href(['connections'], {endpoint: each.address, service: each.service}),
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
    port.endpoints.length === 0 ? nothing('No endpoints.') : endpointTable(`endpoints-${i}`, port.endpoints),
    h('h3', {}, 'Frontends'),
    port.frontends.length === 0 ? nothing('No frontends.') : frontendTable(`frontends-${i}`, port.frontends),
    counters.length > 0 && h('details', {}, h('summary', {}, 'Counters'),
      facts(counters.map(([name, value]) => [name, number(value)]), 'counters')));
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

const service = {
  title: ({path}) => path.slice(1).join('/'),
  header: ({path, data}) => [
    h('p.trail', {}, h('a', {href: href(['services'])}, 'Services'), ' / ',
      h('a', {href: href(['services'], {namespace: path[1]})}, path[1])),
    h('div.title', {key: 'title'}, h('h1', {}, `${path[1]}/${path[2]}`), data && stateLabel(data.details.state)),
  ],
  async load(get, {path}) {
    const name = `${path[1]}/${path[2]}`;
    const [details, connections, flows, events] = await Promise.all([
      get(`services/${encodeURIComponent(path[1])}/${encodeURIComponent(path[2])}`),
      get('connections', {service: name, limit: 100}),
      get('flows', {service: name, limit: 100}),
      get('events', {service: name, limit: 50}),
    ]);
    const totals = serviceTotals(details.ports.flatMap((port) => port.endpoints));
    const {total, bytesToClient, bytesToEndpoint} = totals;
    return {
      details, totals, rates: rates.sample(`page ${name}`, {total, bytesToClient, bytesToEndpoint}),
      connections: withByteRates(connections), flows: withByteRates(flows), events: events.items.reverse(),
    };
  },
  render({details, totals, rates: current, connections, flows, events}, {path}) {
    const shown = isStale() ? null : current;
    const udp = details.ports.some((port) => port.protocol === 'udp');
    const tcp = details.ports.some((port) => port.protocol === 'tcp');
    const list = (title, {items, next}, isUdp) => section(title,
      items.length === 0 ? nothing('None.')
        : table({id: isUdp ? 'flows' : 'connections', caption: title, items, key: connectionKey,
          columns: connectionColumns(isUdp).filter((column) => column.label !== 'Service')}),
      next && h('p.muted', {}, 'Only the first 100 are listed. ', h('a', {href: href(['connections'],
        {service: path.slice(1).join('/'), protocol: isUdp ? 'udp' : ''})}, 'More')));
    return [
      facts([
        ['Open', number(totals.active)], ['New', perSecond(shown?.total)],
        ['To clients', bytesPerSecond(shown?.bytesToClient)], ['To endpoints', bytesPerSecond(shown?.bytesToEndpoint)],
        ['Total', number(totals.total)], ['Failed attempts', number(totals.failed)],
      ], 'strip'),
      details.ports.map(portSection),
      tcp && list('Open connections', connections, false),
      udp && list('Open UDP flows', flows, true),
      section('Recent failures and changes', events.length === 0 ? nothing('None since the start.')
        : table({id: 'service-events', caption: 'Recent failures and changes', items: events, key: (each) => each.id,
          columns: eventColumns(false)})),
    ];
  },
};

// Connections

const connections = {
  title: () => 'Connections',
  header: () => [
    h('h1', {}, 'Connections'),
    h('div.filters', {key: 'filters', role: 'search'},
      choice('protocol', 'Protocol', [['', 'TCP connections'], ['udp', 'UDP flows']]),
      searchField('service', 'Service', 'NAMESPACE/NAME'),
      searchField('client', 'Client', 'Address'),
      searchField('endpoint', 'Endpoint', 'Address'),
      searchField('frontend', 'Frontend', 'ADDRESS:PORT/tcp')),
  ],
  async load(get, {filters, limit}) {
    const {protocol, service: name, client, endpoint, frontend} = filters;
    const parameters = {service: name, client, endpoint, frontend, limit};
    return withByteRates(await get(protocol === 'udp' ? 'flows' : 'connections', parameters));
  },
  render({items, next}, {filters, limit}) {
    const udp = filters.protocol === 'udp';
    const shown = plural(items.length, udp ? 'UDP flow' : 'connection');
    return [
      countLine(next ? `The first ${shown}; there are more` : shown),
      items.length === 0 ? nothing(`No open ${udp ? 'UDP flows' : 'connections'}.`)
        : table({id: 'connections', caption: udp ? 'UDP flows' : 'Connections', items, key: connectionKey, fixed: true,
          columns: connectionColumns(udp)}),
      next && limit < MAX_CONNECTIONS && h('button.more-button', {type: 'button', onclick: () => {
        page.limit += CONNECTIONS_PER_STEP;
        refresh();
      }}, `Show ${CONNECTIONS_PER_STEP} more`),
    ];
  },
};

// Events

const events = {
  title: () => 'Events',
  header: () => [
    h('h1', {}, 'Events'),
    h('div.filters', {key: 'filters', role: 'search'},
      searchField('service', 'Service', 'NAMESPACE/NAME'),
      choice('kind', 'Kind', [['', 'All'], ['failure', 'failure'], ['recovery', 'recovery'], ['change', 'change']])),
  ],
  /** Requests only events that are newer than those already listed. */
  async load(get, {filters, data}) {
    const {service: name, kind} = filters;
    const known = data?.filters === filters ? data : {items: [], next: null};
    const list = await get('events', {service: name, kind, limit: MAX_EVENTS, after: known.next});
    const items = [...list.items.reverse(), ...known.items].slice(0, MAX_EVENTS);
    return {filters, items, next: list.next ?? known.next};
  },
  render: ({items}) => [
    countLine(plural(items.length, 'event')),
    items.length === 0 ? nothing('No events.')
      : table({id: 'events', caption: 'Events, newest first', items, key: (each) => each.id, fixed: true,
        columns: eventColumns(true)}),
  ],
};

const unknown = {
  title: () => 'Not found',
  header: () => h('h1', {}, 'Not found'),
  load: async () => ({}),
  render: () => h('p.notice', {}, 'There is no such view. ', h('a', {href: '#/'}, 'Overview')),
};

const VIEWS = {overview, services, service, connections, events, unknown};

// Theme and keyboard

const THEMES = {auto: 'Theme: as the system', light: 'Theme: light', dark: 'Theme: dark'};

function storedTheme() {
  try {
    return localStorage.getItem('sluice-theme') ?? 'auto';
  } catch {
    return 'auto'; // storage is disabled
  }
}

function setTheme(theme) {
  const known = theme in THEMES ? theme : 'auto';
  document.documentElement.dataset.theme = known;
  const button = byId('theme');
  button.textContent = {auto: '◐', light: '☀', dark: '☾'}[known];
  button.title = THEMES[known];
  button.setAttribute('aria-label', THEMES[known]);
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const theme = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  setTheme(theme);
  try {
    localStorage.setItem('sluice-theme', theme);
  } catch {
    // Storage is disabled: the theme lasts until the page is closed.
  }
}

function search() {
  page.searchNext = true;
  if (['services', 'connections', 'events'].includes(page.name)) {
    focusSearch();
  } else {
    location.hash = '#/services';
  }
}

/** Focuses the search field if it is requested and the view that has it is rendered. */
function focusSearch() {
  const field = page.searchNext && page.rendered === page.name
    && document.querySelector('#view input[type=search]');
  if (field) {
    page.searchNext = false;
    field.focus();
    field.select();
  }
}

/** Moves the focus by a number of rows, from the focused row or the first visible one. */
function moveRow(step) {
  const links = [...document.querySelectorAll('#view tbody a.open')];
  const row = document.activeElement.closest('tbody tr');
  const current = links.findIndex((each) => each.closest('tr') === row);
  const headerBottom = byId('header').getBoundingClientRect().bottom;
  const target = current >= 0 ? links[current + step]
    : links.find((each) => each.getBoundingClientRect().top >= headerBottom);
  target?.focus();
}

let prefixUntil = 0;

function keyPressed(event) {
  const {target, key} = event;
  const inField = target.matches('input, select, textarea');
  if (event.ctrlKey || event.altKey || event.metaKey || byId('shortcuts').open) {
    return;
  }
  if (inField) {
    if (key === 'Escape') {
      target.blur();
    } else if (target.type === 'search' && (key === 'Enter' || key === 'ArrowDown')) {
      event.preventDefault();
      document.querySelector('#view tbody a.open')?.focus();
    }
    return;
  }
  const views = {o: '#/', s: '#/services', c: '#/connections', e: '#/events'};
  if (performance.now() < prefixUntil && key in views) {
    location.hash = views[key];
    prefixUntil = 0;
    return;
  }
  prefixUntil = key === 'g' ? performance.now() + 1500 : 0;
  const actions = {
    '/': search, '?': () => byId('shortcuts').showModal(), 'j': () => moveRow(1), 'k': () => moveRow(-1),
    ...(target.closest('tbody') ? {ArrowDown: () => moveRow(1), ArrowUp: () => moveRow(-1)} : {}),
  };
  if (key in actions) {
    event.preventDefault();
    actions[key]();
  }
}

setTheme(storedTheme());
byId('theme').onclick = nextTheme;
byId('help').onclick = () => byId('shortcuts').showModal();
byId('skip').onclick = (event) => {
  event.preventDefault();
  byId('view').focus();
};
addEventListener('hashchange', openRoute);
addEventListener('keydown', keyPressed);
addEventListener('scroll', scrolled, {passive: true});
addEventListener('resize', scrolled);
document.addEventListener('visibilitychange', visibilityChanged);
setInterval(checkResponse, 500);
history.scrollRestoration = 'manual';
openRoute();
