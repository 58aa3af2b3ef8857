/*
 * Keeps the page itself for when there is no network. Its data is not in here:
 * that is in IndexedDB, by pg-tide.
 *
 * All files are kept as one set. Each visit with a network fetches the set
 * anew and puts it in the old one's place as a whole, so versions never mix.
 */
const CACHE = 'liftlogger';
const FILES = [
	'./', 'style.css', 'app.js', 'data.js', 'dom.js', 'manifest.webmanifest',
	'icon.svg', 'icon-192.png', 'icon-512.png', 'config.json',
	'views/login.js', 'views/today.js', 'views/weight.js', 'views/sync.js',
	'lib/index.js', 'lib/backoff.js', 'lib/client.js', 'lib/errors.js', 'lib/json.js', 'lib/keys.js',
	'lib/listeners.js', 'lib/live.js', 'lib/locks.js', 'lib/loop.js', 'lib/pull.js', 'lib/push.js', 'lib/record.js',
	'lib/session.js', 'lib/stamps.js', 'lib/status.js', 'lib/status-element.js',
	'lib/storage-indexeddb.js', 'lib/storage-memory.js', 'lib/store.js',
];

async function keepAll() {
	const responses = await Promise.all(FILES.map(async (file) => {
		const response = await fetch(file, { cache: 'no-cache' });
		if (!response.ok)
			throw new Error(`${file}: ${response.status}`);
		return [file, response];
	}));
	const cache = await caches.open(CACHE);
	await Promise.all(responses.map(([file, response]) => cache.put(file, response)));
}

self.addEventListener('install', (event) => {
	event.waitUntil(keepAll().then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
	event.waitUntil(self.clients.claim());
});

self.addEventListener('fetch', (event) => {
	const { request } = event;
	const url = new URL(request.url);
	if (request.method !== 'GET' || url.origin !== self.location.origin || url.pathname.includes('/api/'))
		return;
	const isPage = request.mode === 'navigate';
	if (isPage)
		event.waitUntil(keepAll().catch(() => {}));
	event.respondWith(url.pathname.endsWith('/config.json') ? newest(request) : kept(isPage ? './' : request));
});

/* Which server, and who: as it is now, else as it was. */
async function newest(request) {
	try {
		const response = await fetch(request);
		if (response.ok) {
			const cache = await caches.open(CACHE);
			await cache.put(request, response.clone());
		}
		return response;
	} catch {
		return kept(request);
	}
}

async function kept(request) {
	const cache = await caches.open(CACHE);
	return await cache.match(request, { ignoreSearch: true }) ?? fetch(request);
}
