/* The story of lib/scenario.mjs with RxDB, on Dexie over IndexedDB. */
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';
import { TideClient } from 'pg-tide';
import { replicateTide } from 'pg-tide/rxdb';
import { createRxDatabase } from 'rxdb';
import { getRxStorageDexie } from 'rxdb/plugins/storage-dexie';
import { wrappedValidateAjvStorage } from 'rxdb/plugins/validate-ajv';

import { scenario } from './lib/scenario.mjs';

const text = { type: ['string', 'null'] };
const SCHEMAS = {
	projects: {
		version: 0, primaryKey: 'id', type: 'object',
		properties: {
			id: { type: 'string', maxLength: 36 }, team: { type: 'string' }, name: { type: 'string' },
			updated_at: text, client_id: text,
		},
		required: ['id', 'team', 'name'],
	},
	tasks: {
		version: 0, primaryKey: 'id', type: 'object',
		properties: {
			id: { type: 'string', maxLength: 36 }, team: { type: 'string' },
			project_id: { type: 'string' }, title: { type: 'string' },
			priority: { type: 'integer' }, hours: { type: ['number', 'null'] },
			due: text, done: { type: 'boolean' }, note: text, colour: text,
			version: { type: 'integer' }, updated_at: text, client_id: text,
		},
		required: ['id', 'team', 'project_id', 'title'],
	},
};

async function open(given) {
	const indexedDB = given.indexedDB ?? new IDBFactory();
	const client = new TideClient({
		url: given.url, fetch: given.network.fetch, clientId: given.name,
		token: given.getToken, refresh: given.refresh,
	});
	// a database that is checked also finds deleted documents that are not whole
	const storage = wrappedValidateAjvStorage({
		storage: getRxStorageDexie({ indexedDB, IDBKeyRange }) });
	const database = await createRxDatabase({
		name: `scenario-${given.name}`, storage, multiInstance: false });
	await database.addCollections(Object.fromEntries(
		Object.entries(SCHEMAS).map(([name, schema]) => [name, { schema }])));
	const { projects, tasks } = database.collections;
	const replication = await replicateTide({
		client, database, collections: { projects, tasks }, retry: { base: 50 }, pollSeconds: 5 });

	return {
		network: given.network,
		sync: () => replication.sync(),
		rows: async (table) => (await database.collections[table].find().exec()).map((one) => one.toJSON()),
		insert: (table, row) => database.collections[table].insert(row),
		update: async (table, id, columns) =>
			(await database.collections[table].findOne(id).exec()).incrementalPatch(columns),
		remove: async (table, id) => (await database.collections[table].findOne(id).exec()).remove(),
		refused: async () => (await replication.refused())
			.map(({ type, key, errors }) => ({ type, key, code: errors[0].code })),
		giveUp: async () => {
			for (const { type, key } of await replication.refused())
				await replication.discard(type, key);
		},
		live: () => replication.start(),
		isLive: () => replication.status.value.live && replication.status.value.state === 'synced',
		close: async () => {
			await replication.stop();
			await database.close();
		},
		reopen: () => open({ ...given, indexedDB }),
	};
}

const policy = process.argv[2] ?? 'server_wins';
scenario(`RxDB, ${policy}`, { policy, open });
