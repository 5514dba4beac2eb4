// Fields above a list that filter it. Their values are the filters in the URL.

import {h} from './dom.js';
import {page, setFilter} from './page.js';

export const filterBar = (...fields) => h('div.filters', {key: 'filters', role: 'search'}, fields);

export function searchField(name, label, placeholder) {
  return h('label.field', {key: name}, h('span', {}, label), h('input', {
    type: 'search', name, placeholder, autocomplete: 'off', spellcheck: 'false', value: page.filters[name] ?? '',
    oninput: (event) => setFilter(name, event.target.value.trim(), 100),
  }));
}

export function choice(name, label, options) {
  return h('label.field', {key: name}, h('span', {}, label), h('select', {
    name, value: page.filters[name] ?? '', onchange: (event) => setFilter(name, event.target.value),
  }, options.map(([value, text]) => h('option', {key: value, value}, text))));
}

/** The options of a choice between values, and one for no filter. */
export const withAll = (values) => [['', 'All'], ...values.map((each) => [each, each])];
