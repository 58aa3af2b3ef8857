/* The story of lib/scenario.mjs with WatermelonDB, on LokiJS. */
import { createRequire } from 'node:module';

import { TideClient } from 'pg-tide';
import { TideWatermelon } from 'pg-tide/watermelon';

import { scenario } from './lib/scenario.mjs';

const require = createRequire(import.meta.url);
const { appSchema, Database, Model, Q, tableSchema } = require('@nozbe/watermelondb');
const { default: LokiJSAdapter } = require('@nozbe/watermelondb/adapters/lokijs');
const { synchronize } = require('@nozbe/watermelondb/sync');
const { LokiMemoryAdapter } = require('lokijs');

const optional = { isOptional: true };
const schema = appSchema({
	version: 1,
	tables: [
		tableSchema({ name: 'projects', columns: [
			{ name: 'team', type: 'string' }, { name: 'name', type: 'string' },
			{ name: 'updated_at', type: 'number' },
			{ name: 'client_id', type: 'string', ...optional },
			{ name: 'tide_base', type: 'string', ...optional },
		] }),
		tableSchema({ name: 'tasks', columns: [
			{ name: 'team', type: 'string' }, { name: 'project_id', type: 'string', isIndexed: true },
			{ name: 'title', type: 'string' }, { name: 'priority', type: 'number' },
			{ name: 'hours', type: 'number', ...optional }, { name: 'due', type: 'number', ...optional },
			{ name: 'done', type: 'boolean' }, { name: 'note', type: 'string', ...optional },
			{ name: 'colour', type: 'string', ...optional },
			{ name: 'version', type: 'number', ...optional },
			{ name: 'updated_at', type: 'number' },
			{ name: 'client_id', type: 'string', ...optional },
			{ name: 'tide_base', type: 'string', ...optional },
		] }),
	],
});

/* what WatermelonDB looks for to keep updated_at itself */
class Dated extends Model {
	get updatedAt() {
		return new Date(this._raw.updated_at);
	}
}
class Project extends Dated {
	static table = 'projects';
}
class Task extends Dated {
	static table = 'tasks';
}

const TIMES = ['due', 'updated_at'];

async function open(given) {
	const stored = given.stored ?? new LokiMemoryAdapter();
	const adapter = new LokiJSAdapter({ schema, dbName: given.name, useWebWorker: false,
		useIncrementalIndexedDB: false, _testLokiAdapter: stored });
	const database = new Database({ adapter, modelClasses: [Project, Task] });
	const client = new TideClient({
		url: given.url, fetch: given.network.fetch, clientId: given.name,
		token: given.getToken, refresh: given.refresh,
	});
	const sync = new TideWatermelon({ client, database, synchronize, Q, name: given.name,
		tables: ['projects', 'tasks'], retry: { base: 50 }, pollSeconds: 5 });
	const set = (record, columns) => {
		for (const [name, value] of Object.entries(columns)) {
			if (name === 'id')
				record._raw.id = value;
			else if (name !== 'updated_at')
				record._setRaw(name, TIMES.includes(name) && value ? Date.parse(value) : value);
		}
	};
	const find = (table, id) => database.get(table).find(id);

	return {
		network: given.network,
		sync: () => sync.sync(),
		rows: async (table) => (await database.get(table).query().fetch()).map(({ _raw }) =>
			// WatermelonDB's updated_at cannot be null
			({ ..._raw, updated_at: _raw.updated_at || null })),
		insert: (table, row) => database.write(() =>
			database.get(table).create((record) => set(record, row))),
		update: (table, id, columns) => database.write(async () =>
			(await find(table, id)).update((record) => set(record, columns))),
		remove: (table, id) => database.write(async () => (await find(table, id)).markAsDeleted()),
		refused: async () => (await sync.refused())
			.map(({ table, id, errors }) => ({ type: table, key: id, code: errors[0].code })),
		giveUp: async () => {
			for (const { table, id } of await sync.refused())
				await sync.discard(table, id);
		},
		live: () => sync.start(),
		isLive: () => sync.status.value.live && sync.status.value.state === 'synced',
		close: async () => {
			await sync.stop();
			const { loki } = adapter._driver;
			await new Promise((resolve) => loki.saveDatabase(resolve));
			loki.close();
		},
		reopen: () => open({ ...given, stored }),
	};
}

scenario('WatermelonDB', { policy: 'merge', milliseconds: true, open });
