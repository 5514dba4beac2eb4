// URLs: query strings, and the fragments that select a view. All URLs are relative, so that the page works behind a
// proxy that adds a path prefix.

/** The views in the header, each with the key that opens it after 'g'. */
export const MAIN_VIEWS = [
  {name: 'overview', label: 'Overview', path: [], key: 'o'},
  {name: 'services', label: 'Services', path: ['services'], key: 's'},
  {name: 'connections', label: 'Connections', path: ['connections'], key: 'c'},
  {name: 'events', label: 'Events', path: ['events'], key: 'e'},
];

/** The entries of an object that have a value. */
export const presentEntries = (object) => Object.entries(object).filter(([, value]) => value != null && value !== '');

/** A query string with the parameters that have a value; empty if none has. */
export function queryString(parameters) {
  const query = new URLSearchParams(presentEntries(parameters));
  return query.size > 0 ? `?${query}` : '';
}

export const encodePath = (segments) => segments.map(encodeURIComponent).join('/');

export const href = (path, filters = {}) => `#/${encodePath(path)}${queryString(filters)}`;

/** The link to a Service, from NAMESPACE/NAME or NAMESPACE/NAME:PORT. */
export const serviceHref = (name) => href(['services', ...name.replace(/:.*$/, '').split('/')]);

/** Returns the path, the filters and the name of the view that a fragment selects. */
export function parseRoute(hash) {
  const [encoded, query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const path = decodePath(encoded);
  return {path, filters: Object.fromEntries(new URLSearchParams(query)), name: viewOf(path)};
}

function decodePath(encoded) {
  try {
    return encoded.split('/').filter((segment) => segment !== '').map(decodeURIComponent);
  } catch {
    return ['?']; // the path of no view
  }
}

function viewOf(path) {
  if (path[0] === 'services' && path.length === 3) {
    return 'service';
  }
  return MAIN_VIEWS.find((each) => each.path.length === path.length && each.path[0] === path[0])?.name ?? 'unknown';
}
