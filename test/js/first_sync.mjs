/*
 * First sync of many rows: what an adapter takes beside what its library takes
 * to insert the same rows, in the same batches, from memory.  What is not
 * counted is the time of the calls of that very run: until a reply is read and
 * decoded.  To take off the time of another run would count the difference of
 * the two, which is as much as WatermelonDB takes in all.
 * With TIDE_JS_ROWS=50000 it is that many, and what an adapter takes is held to
 * LIMIT; on a machine that does nothing else.
 */
import { createRequire } from 'node:module';
import { test } from 'node:test';
import assert from 'node:assert/strict';

import { createCollection } from '@tanstack/db';
import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';
import { IndexedDbStorage, MemoryStorage, openStore, PullCollector, TideClient } from 'pg-tide';
import { replicateTide } from 'pg-tide/rxdb';
import { tideCollectionOptions } from 'pg-tide/tanstack';
import { TideWatermelon } from 'pg-tide/watermelon';
import { createRxDatabase } from 'rxdb';
import { replicateRxCollection } from 'rxdb/plugins/replication';
import { getRxStorageMemory } from 'rxdb/plugins/storage-memory';

import { Gateway, setup, sql, token } from './lib/world.mjs';

const require = createRequire(import.meta.url);
const { appSchema, Database, Model, Q, tableSchema } = require('@nozbe/watermelondb');
const { default: LokiJSAdapter } = require('@nozbe/watermelondb/adapters/lokijs');
const { synchronize } = require('@nozbe/watermelondb/sync');
const { logger } = require('@nozbe/watermelondb/utils/common');
const { LokiMemoryAdapter } = require('lokijs');

const ROWS = Number(process.env.TIDE_JS_ROWS ?? 2000);
const LIMIT = 1.3;
const ROUNDS = process.env.TIDE_JS_ROWS ? 9 : 1;
const gateway = new Gateway();

/* how long calls took */
let waited = 0;
class TimedClient extends TideClient {
	async request(...given) {
		const started = performance.now();
		try {
			return await super.request(...given);
		} finally {
			waited += performance.now() - started;
		}
	}
}
const client = () => new TimedClient({ url: gateway.url, token: token('ana'), clientId: 'bench' });

const text = { type: ['string', 'null'] };
const properties = { id: { type: 'string', maxLength: 36 }, team: { type: 'string' }, project_id: { type: 'string' },
	title: { type: 'string' }, priority: { type: 'integer' }, hours: { type: ['number', 'null'] }, due: text,
	done: { type: 'boolean' }, note: text, version: { type: 'integer' }, updated_at: text, client_id: text };
const schema = { version: 0, primaryKey: 'id', type: 'object', properties, required: ['id'] };

let names = 0;
async function rxdb() {
	const database = await createRxDatabase({ name: `bench${++names}`, storage: getRxStorageMemory(), multiInstance: false });
	await database.addCollections({ tasks: { schema } });
	return database;
}
const forRxdb = (row) => Object.fromEntries(Object.keys(properties).map((name) => [name, row[name]]));

class Task extends Model {
	static table = 'tasks';
}
function watermelon() {
	const optional = { isOptional: true };
	const adapter = new LokiJSAdapter({ dbName: `bench${++names}`, useWebWorker: false, useIncrementalIndexedDB: false,
		_testLokiAdapter: new LokiMemoryAdapter(), schema: appSchema({ version: 1, tables: [tableSchema({ name: 'tasks', columns: [
			{ name: 'team', type: 'string' }, { name: 'project_id', type: 'string' }, { name: 'title', type: 'string' },
			{ name: 'priority', type: 'number' }, { name: 'hours', type: 'number', ...optional },
			{ name: 'due', type: 'number', ...optional }, { name: 'done', type: 'boolean' },
			{ name: 'note', type: 'string', ...optional }, { name: 'updated_at', type: 'number' },
			{ name: 'tide_base', type: 'string', ...optional } ] })] }) });
	// its autosave would keep the program going
	return Object.assign(new Database({ adapter, modelClasses: [Task] }), { end: () => adapter._driver.loki.close() });
}
const forWatermelon = ({ id, team, project_id, title, priority, hours, due, done, note, updated_at }) => ({ id, team,
	project_id, title, priority, hours, due: due && Date.parse(due), done, note,
	updated_at: Date.parse(updated_at), tide_base: updated_at });

const store = async (storage) => openStore({ client: client(), storage, entityTypes: ['tasks'], name: `bench${++names}` });

/* each: own(rows) is the library alone, ours() the adapter; both return how many rows there are */
const LIBRARIES = {
	'RxDB, in memory': {
		// by its own replication, which keeps what it knows of the server beside each row
		own: async (rows) => {
			const database = await rxdb();
			let given = 0;
			const state = replicateRxCollection({ collection: database.tasks, replicationIdentifier: 'own', live: true,
				push: { handler: async () => [] },
				pull: { batchSize: 1000, handler: async () => {
					const documents = rows.slice(given, given + 1000).map((row) => ({ ...forRxdb(row), _deleted: false }));
					given += documents.length;
					return { documents, checkpoint: { given } };
				} } });
			await state.awaitInSync();
			return [await database.tasks.count().exec(), () => database.close()];
		},
		ours: async () => {
			const database = await rxdb();
			const replication = await replicateTide({ client: client(), database, collections: { tasks: database.tasks } });
			await replication.sync();
			return [await database.tasks.count().exec(), () => replication.stop().then(() => database.close())];
		},
	},
	'WatermelonDB, LokiJS in memory': {
		own: async (rows) => {
			const database = watermelon();
			await synchronize({ database, sendCreatedAsUpdated: true,
				pullChanges: async () => ({ timestamp: 1, changes: { tasks: { created: [], updated: rows.map(forWatermelon), deleted: [] } } }) });
			return [await database.get('tasks').query().fetchCount(), database.end];
		},
		ours: async () => {
			const database = watermelon();
			const sync = new TideWatermelon({ client: client(), database, synchronize, Q, tables: ['tasks'], name: `w${++names}` });
			await sync.sync();
			return [await database.get('tasks').query().fetchCount(), () => sync.stop().then(database.end)];
		},
	},
	'TanStack DB, store in memory': {
		own: async (rows) => {
			const collection = createCollection({ id: 'own', getKey: ({ id }) => id, sync: { sync({ begin, write, commit, markReady }) {
				begin();
				rows.forEach((value) => write({ type: 'insert', value }));
				commit();
				markReady();
			} } });
			await collection.preload();
			return [collection.size];
		},
		ours: async () => {
			const one = await store(new MemoryStorage());
			await one.sync();
			const collection = createCollection(tideCollectionOptions({ store: one, type: 'tasks' }));
			await collection.preload();
			return [collection.size, () => one.close()];
		},
	},
	'own store, IndexedDB': {
		own: async (rows) => {
			const factory = new IDBFactory();
			const storage = new IndexedDbStorage('own', { indexedDB: factory, IDBKeyRange });
			await storage.open();
			for (let at = 0; at < rows.length; at += 500)
				await storage.transaction('readwrite', (tx) => rows.slice(at, at + 500).forEach((row) => tx.put({ type: 'tasks', key: row.id, row })));
			return [(await storage.transaction('readonly', (tx) => tx.all())).length];
		},
		ours: async () => {
			const one = await store(new IndexedDbStorage('ours', { indexedDB: new IDBFactory(), IDBKeyRange }));
			await one.sync();
			return [(await one.all('tasks')).length, () => one.close()];
		},
	},
};

async function timed(action) {
	waited = 0;
	const started = performance.now();
	const [count, end] = await action();
	const took = performance.now() - started;
	const calls = waited;
	assert.equal(count, ROWS);
	await end?.();
	return { took, calls, rest: took - calls };
}

test(`first sync of ${ROWS} rows`, { timeout: 580000 }, async (t) => {
	logger.silence();
	try {
		await sql(setup('last_write_wins'));
		await sql(`DELETE FROM tasks; INSERT INTO tasks (id, team, project_id, title, hours, due, note)
			SELECT md5('t' || n)::uuid, 'red', md5('project' || n % 20 + 1)::uuid, 'Task ' || n, n % 40 / 4.0,
				timestamptz '2026-01-01 00:00Z' + n * interval '1 minute', 'a note of the length that notes have'
			FROM generate_series(1, ${ROWS}) AS n`);
		await sql('ANALYZE tasks');
		await gateway.start();
		const schemaOf = await client().schema();
		const set = await new PullCollector(client(), schemaOf).collect({ since: null, entityTypes: ['tasks'] });
		const text = JSON.stringify([...set.rows.get('tasks').values()]);
		for (const [name, { own, ours }] of Object.entries(LIBRARIES)) {
			await t.test(name, async () => {
				// the two in turn, and the median of their ratios: other programs use the machine, too
				const rounds = [];
				for (let round = 0; round < ROUNDS; round++) {
					// as new as a reply's: engines look up a string that was a key before in less time
					const rows = JSON.parse(text);
					rounds.push({ own: await timed(() => own(rows)), ours: await timed(ours) });
				}
				const median = (of) => rounds.map(of).sort((a, b) => a - b)[ROUNDS >> 1];
				const ms = (of) => `${median(of).toFixed()} ms`;
				const beside = median((one) => one.ours.rest / one.own.took);
				t.diagnostic(`${name}: library ${ms((one) => one.own.took)}, first sync ${ms((one) => one.ours.took)}, of that calls`
					+ ` ${ms((one) => one.ours.calls)}; without calls ${beside.toFixed(2)} of the library,`
					+ ` in all ${median((one) => one.ours.took / one.own.took).toFixed(2)}`);
				if (process.env.TIDE_JS_ROWS)
					assert.ok(beside <= LIMIT, `${beside.toFixed(2)} times what the library takes`);
			});
		}
	} finally {
		await gateway.kill('SIGTERM');
	}
});
