// The status page: requests the admin API once a second and renders one of five views, selected by the URL's fragment.
// This file starts it and connects it to the events of the browser. Contract of the API: deploy/docs/admin-api.md.

import {byId} from './dom.js';
import {keyPressed, showShortcuts} from './keyboard.js';
import {onChange} from './page.js';
import {openRoute, scrolled} from './router.js';
import {nextTheme, setTheme, storedTheme} from './theme.js';
import {checkResponse, refresh, visibilityChanged} from './update.js';

setTheme(storedTheme());
byId('theme').onclick = nextTheme;
byId('help').onclick = showShortcuts;
byId('skip').onclick = (event) => {
  event.preventDefault();
  byId('view').focus();
};
onChange(refresh);
addEventListener('hashchange', openRoute);
addEventListener('keydown', keyPressed);
addEventListener('scroll', scrolled, {passive: true});
addEventListener('resize', scrolled);
document.addEventListener('visibilitychange', visibilityChanged);
setInterval(checkResponse, 500);
history.scrollRestoration = 'manual';
openRoute();
