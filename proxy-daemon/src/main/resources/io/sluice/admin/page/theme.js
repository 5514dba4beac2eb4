// The color scheme, which the browser stores.

import {byId} from './dom.js';

const THEMES = {
  auto: {symbol: '◐', label: 'Theme: as the system'},
  light: {symbol: '☀', label: 'Theme: light'},
  dark: {symbol: '☾', label: 'Theme: dark'},
};

export function storedTheme() {
  try {
    return localStorage.getItem('sluice-theme') ?? 'auto';
  } catch {
    return 'auto'; // storage is disabled
  }
}

export function setTheme(theme) {
  const known = theme in THEMES ? theme : 'auto';
  const {symbol, label} = THEMES[known];
  document.documentElement.dataset.theme = known;
  const button = byId('theme');
  button.textContent = symbol;
  button.title = label;
  button.setAttribute('aria-label', label);
}

export function nextTheme() {
  const names = Object.keys(THEMES);
  const theme = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  setTheme(theme);
  try {
    localStorage.setItem('sluice-theme', theme);
  } catch {
    // Storage is disabled: the theme lasts until the page is closed.
  }
}
