/* The story of lib/scenario.mjs with TanStack DB, on the package's own store. */
import { isDeepStrictEqual } from 'node:util';

import { createCollection } from '@tanstack/db';
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';
import { IndexedDbStorage, openStore, TideClient } from 'pg-tide';
import { tideCollectionOptions } from 'pg-tide/tanstack';

import { scenario } from './lib/scenario.mjs';
import { waitFor } from './lib/world.mjs';

/* rows of a collection have members of TanStack's besides, such as $synced */
function same(stored, shown) {
	return stored !== undefined
		&& Object.entries(stored).every(([name, value]) => isDeepStrictEqual(value, shown[name]));
}

async function open(given) {
	const indexedDB = given.indexedDB ?? new IDBFactory();
	const client = new TideClient({
		url: given.url, fetch: given.network.fetch, clientId: given.name,
		token: given.getToken, refresh: given.refresh,
	});
	const store = await openStore({ client, name: given.name, retry: { base: 50 }, pollSeconds: 5,
		storage: new IndexedDbStorage('tide', { indexedDB, IDBKeyRange }) });
	const collections = {};
	for (const type of ['projects', 'tasks']) {
		collections[type] = createCollection(tideCollectionOptions({ store, type }));
		await collections[type].preload();
	}

	return {
		network: given.network,
		sync: () => store.sync(),
		rows: async (table) => {
			// what the store holds is in the collection a moment later
			const stored = new Map((await store.all(table)).map((row) => [row.id, row]));
			return waitFor(`the collection shows the store's ${table}`, () => {
				const rows = collections[table].toArray;
				return rows.length === stored.size
					&& rows.every((row) => same(stored.get(row.id), row)) && rows;
			}, 5);
		},
		insert: (table, row) => collections[table].insert(row).isPersisted.promise,
		update: (table, id, columns) => collections[table]
			.update(id, (draft) => Object.assign(draft, columns)).isPersisted.promise,
		remove: (table, id) => collections[table].delete(id).isPersisted.promise,
		refused: async () => (await store.pending()).filter(({ state }) => state !== 'pending')
			.map(({ type, key, errors }) => ({ type, key, code: errors[0].code })),
		giveUp: async () => {
			for (const { type, key, state } of await store.pending()) {
				if (state !== 'pending')
					await store.discard(type, key);
			}
		},
		live: () => store.start(),
		isLive: () => store.status.value.live && store.status.value.state === 'synced',
		close: async () => {
			await store.close();
			await Promise.all(Object.values(collections).map((collection) => collection.cleanup()));
		},
		reopen: () => open({ ...given, indexedDB }),
	};
}

const policy = process.argv[2] ?? 'last_write_wins';
scenario(`TanStack DB, ${policy}`, { policy, open });
