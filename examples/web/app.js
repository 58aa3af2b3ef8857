import { openStore, TideClient, TideSession } from 'pg-tide';
import 'pg-tide/status-element';

import { h, replace, toast } from './dom.js';
import { loginView } from './views/login.js';
import { syncView } from './views/sync.js';
import { todayView } from './views/today.js';
import { weightView } from './views/weight.js';

const VIEWS = { today: todayView, weight: weightView, sync: syncView };
const main = document.querySelector('main');
const indicator = document.querySelector('tide-status');
const tabs = document.querySelector('nav.tabs');
let leave = () => {};

async function start() {
	if ('serviceWorker' in navigator)
		navigator.serviceWorker.register('sw.js').catch(() => {});
	// browsers throw away what is not asked to stay when space is short
	navigator.storage?.persist?.();
	const config = await (await fetch('config.json')).json();
	const session = new TideSession({ url: config.gateway, storage: localStorage, name: 'liftlogger-session' });
	if (session.current)
		await open(config, session);
	else
		signIn(config, session);
}

function signIn(config, session) {
	tabs.hidden = indicator.hidden = true;
	replace(main, loginView({ config, session, done: () => open(config, session) }));
}

/* The user's own database, which is there at once, with or without a network. */
async function open(config, session) {
	const client = new TideClient({ url: config.gateway, session });
	const { userId } = session.current;
	const store = await openStore({ client, name: `liftlogger ${userId}` });
	const app = {
		store, session,
		signOut: async () => {
			await store.wipe();
			await store.close();
			await session.logout();
			location.reload();
		},
	};
	indicator.source = store;
	indicator.hidden = tabs.hidden = false;
	store.start();
	askForLogin(config, session, store, userId);
	addEventListener('hashchange', () => show(app));
	show(app);
	globalThis.liftlogger = app; // for the console
}

function askForLogin(config, session, store, userId) {
	let asked = false;
	// somebody else, here or in another tab: her own database is opened
	const isOther = () => session.current && session.current.userId !== userId;
	store.status.subscribe(({ state }) => {
		if (state !== 'signed_out' || asked)
			return;
		asked = true;
		if (isOther())
			return location.reload();
		toast('Please sign in again. Your changes are kept.');
		const dialog = h('dialog', { 'aria-label': 'Sign in' }, loginView({ config, session, done: () => {
			if (isOther())
				return location.reload();
			dialog.remove();
			asked = false;
			store.loop.signedIn();
		} }));
		document.body.append(dialog);
		dialog.showModal();
	});
}

function show(app) {
	const [name = 'today'] = location.hash.slice(1).split('/');
	const view = VIEWS[name] ?? todayView;
	for (const tab of tabs.querySelectorAll('a'))
		tab.toggleAttribute('aria-current', tab.hash === `#${name || 'today'}`);
	leave();
	leave = view(main, app);
	main.focus({ preventScroll: true });
	scrollTo(0, 0);
}

start().catch((error) => replace(main, h('div', { class: 'card' },
	h('h2', {}, 'LiftLogger did not start'), h('p', {}, error.message))));
