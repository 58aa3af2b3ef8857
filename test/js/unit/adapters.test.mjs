/* What the adapters ask of a server, against a fake one. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';

import { createCollection, createTransaction } from '@tanstack/db';
import { MemoryStorage, openStore } from 'pg-tide';
import { replicateTide } from 'pg-tide/rxdb';
import { tideCollectionOptions, tideMutationFn } from 'pg-tide/tanstack';
import { TideWatermelon } from 'pg-tide/watermelon';
import { createRxDatabase } from 'rxdb';
import { getRxStorageMemory } from 'rxdb/plugins/storage-memory';
import { wrappedValidateAjvStorage } from 'rxdb/plugins/validate-ajv';

import { waitFor } from '../lib/wait.mjs';
import { applied, FakeServer, json, page, refused, SCHEMA } from '../lib/fake.mjs';

const require = createRequire(import.meta.url);
const { appSchema, Database, Model, Q, tableSchema } = require('@nozbe/watermelondb');
const { default: LokiJSAdapter } = require('@nozbe/watermelondb/adapters/lokijs');
const { LokiMemoryAdapter } = require('lokijs');
const { synchronize } = require('@nozbe/watermelondb/sync');
const { logger } = require('@nozbe/watermelondb/utils/common');

// lines that node's runner may take for its own
logger.silence();

const row = (id) => ({ id, team: 'red', name: `name ${id}`, at: '2026-01-01T00:00:00.000001Z', by: null });
const text = { type: ['string', 'null'] };

/* a test that fails leaves its database open, which keeps the program going */
const opened = new Set();
after(() => Promise.allSettled([...opened].map((close) => close())));
function closing(action) {
	const close = async () => {
		opened.delete(close);
		await action();
	};
	opened.add(close);
	return close;
}

async function rxdb(server, { conflictHandler, storage = getRxStorageMemory(), maxLength = 36, team = { type: ['string', 'null', 'object'] }, sync: options } = {}) {
	const database = await createRxDatabase({ name: `r${Math.random()}`.replace('.', ''), storage });
	const { project } = await database.addCollections({ project: { conflictHandler, schema: {
		version: 0, primaryKey: 'id', type: 'object', required: ['id'],
		properties: { id: { type: 'string', maxLength }, team, name: text, at: text, by: text } } } });
	const sync = await replicateTide({ client: server.client(), database, collections: { project }, live: false, ...options });
	return { sync, database, project, schema: project.schema.jsonSchema, close: closing(() => database.close()),
		rename: async (id, name) => (await project.findOne(id).exec()).incrementalPatch({ name }),
		names: async () => (await project.find().exec()).map(({ name }) => name).sort() };
}

/* a collection of TanStack DB over a store that has one row */
async function tanstack() {
	const server = new FakeServer({ '/sync/push': applied, '/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('a')] } }) });
	const storage = new MemoryStorage();
	const store = await openStore({ client: server.client(), storage, live: false });
	await store.sync();
	const collection = createCollection(tideCollectionOptions({ store, type: 'project' }));
	await collection.preload();
	return { server, storage, store, collection };
}

/* a database of WatermelonDB in memory, with a model for each table, and what closes it */
function lokiDatabase(schema) {
	const adapter = new LokiJSAdapter({ schema, dbName: `w${Math.random()}`, useWebWorker: false,
		useIncrementalIndexedDB: false, _testLokiAdapter: new LokiMemoryAdapter() });
	const modelClasses = Object.keys(schema.tables).map((table) => class extends Model {
		static table = table;
	});
	return [new Database({ adapter, modelClasses }), () => adapter._driver.loki.close()];
}

async function watermelon(server, options) {
	const optional = { isOptional: true };
	const schema = appSchema({ version: 1, tables: [tableSchema({ name: 'project', columns: [
		{ name: 'team', type: 'string' }, { name: 'name', type: 'string', ...optional },
		{ name: 'updated_at', type: 'number' }, { name: 'tide_base', type: 'string', ...optional }] })] });
	const [database, end] = lokiDatabase(schema);
	const sync = new TideWatermelon({ client: server.client(), database, synchronize, Q, tables: ['project'], name: `w${Math.random()}`, live: false, ...options });
	const close = closing(async () => {
		await sync.stop();
		end();
	});
	const rename = (id, name) => database.write(async () =>
		(await database.get('project').find(id)).update((record) => record._setRaw('name', name)));
	return { sync, database, close, rename,
		names: async () => (await database.get('project').query().fetch()).map(({ _raw }) => _raw.name).sort() };
}

for (const [library, open] of Object.entries({ rxdb, watermelon })) {
	test(`${library}: a first pull that broke off goes on where it was`, async () => {
		let cut = true;
		const server = new FakeServer({ '/sync/push': applied, '/sync/pull': ({ query }) => query.since === undefined
			? page({ cursor: 'p1', hasMore: true, changesByType: { project: [row('a')] } })
			: cut ? undefined : page({ cursor: 'p2', changesByType: query.since === 'p1' ? { project: [row('b')] } : {} }) });
		const one = await open(server);
		assert.equal((await one.sync.sync()).state, 'offline');
		cut = false;
		assert.equal((await one.sync.sync()).state, 'synced');
		assert.deepEqual(await one.names(), ['name a', 'name b']);
		assert.equal(server.calls('/sync/pull').filter(({ query }) => query.since === undefined).length, 1);
		await one.close();
	});

	test(`${library}: a type that is tracked during a sync: its rows are not passed by`, async () => {
		const server = new FakeServer({ '/sync/push': applied, '/sync/schema': () => ({ protocol: 1, entityTypes: {} }),
			'/sync/pull': ({ query }) => {
				server.answers['/sync/schema'] = () => SCHEMA;
				return page({ cursor: 'p1', changesByType: query.since ? {} : { project: [row('a')] } });
			} });
		const one = await open(server);
		assert.equal((await one.sync.sync()).state, 'synced');
		assert.deepEqual(await one.names(), ['name a']);
		await one.close();
	});

	test(`${library}: a type that was not there in a reset is swept when it has come, and not before`, { timeout: 20000 }, async () => {
		let answer = () => page({ cursor: 'c1', changesByType: { project: [row('a'), row('dead'), row('mine')] } });
		const server = new FakeServer({ '/sync/push': applied, '/sync/pull': (call) => answer(call) });
		const one = await open(server);
		await one.sync.sync();
		// gone for the whole reset, then for a part of a pull, in which half of it comes
		answer = ({ query }) => page({ cursor: 'c2', reset: query.since === 'c1', unavailableTypes: ['project'] });
		await one.sync.sync();
		for (const away of ['c2', 'c3']) {
			answer = ({ query }) => page({ cursor: query.since === 'c2' ? 'c3' : 'c2', hasMore: query.since === 'c2',
				...query.since === away ? { unavailableTypes: ['project'] } : { changesByType: { project: [row('a')] } } });
			await one.sync.sync();
			assert.deepEqual(await one.names(), ['name a', 'name dead', 'name mine']);
		}
		// what is asked for in full comes in full
		answer = ({ query }) => page({ cursor: 'c5', changesByType: query.refresh === 'project'
			? { project: [row('a'), row('new')] } : {} });
		// an edit stays, whatever its row was
		await one.rename('mine', 'my edit');
		await one.sync.sync();
		assert.deepEqual(await one.names(), ['my edit', 'name a', 'name new']);
		const asked = server.calls('/sync/pull').length;
		await one.sync.sync();
		assert.deepEqual(server.calls('/sync/pull').slice(asked).map(({ query }) => query.refresh), [undefined]);
		await one.close();
	});

	test(`${library}: a column that came with a default is read once, of the rows that are here`, { timeout: 20000 }, async () => {
		const columns = SCHEMA.entityTypes.project.columns;
		const server = new FakeServer({ '/sync/push': applied,
			'/sync/schema': () => ({ ...SCHEMA, entityTypes: { project: { ...SCHEMA.entityTypes.project, columns: columns.filter(({ name }) => name !== 'name') } } }),
			'/sync/pull': ({ query }) => page({ cursor: query.since ?? 'c', changesByType: query.since ? {} : { project: [{ ...row('a'), name: undefined }] } }) });
		const one = await open(server);
		await one.sync.sync();
		server.answers['/sync/schema'] = () => SCHEMA;
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: 'd', changesByType: query.refresh ? { project: [row('a')] } : {} });
		await one.sync.sync();
		assert.deepEqual(await one.names(), ['name a']);
		await one.sync.sync();
		assert.deepEqual(server.calls('/sync/pull').map(({ query }) => query.refresh), [undefined, 'project', undefined]);
		await one.close();
	});

	test(`${library}: a column that comes while its type is away is read when that is back`, { timeout: 20000 }, async () => {
		const columns = SCHEMA.entityTypes.project.columns;
		const server = new FakeServer({ '/sync/push': applied,
			'/sync/schema': () => ({ ...SCHEMA, entityTypes: { project: { ...SCHEMA.entityTypes.project, columns: columns.filter(({ name }) => name !== 'name') } } }),
			'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [{ ...row('a'), name: undefined }] } }) });
		const one = await open(server);
		await one.sync.sync();
		server.answers['/sync/schema'] = () => SCHEMA;
		server.answers['/sync/pull'] = () => page({ cursor: 'c', unavailableTypes: ['project'] });
		await one.sync.sync();
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: 'c', changesByType: query.refresh ? { project: [row('a')] } : {} });
		await one.sync.sync();
		assert.deepEqual(await one.names(), ['name a']);
		await one.close();
	});

	test(`${library}: a scope is taken while a type is away: its rows go when that is back`, { timeout: 20000 }, async () => {
		const server = new FakeServer({ '/sync/push': applied, '/sync/pull': ({ query }) => page({ cursor: 'c',
			changesByType: query.since ? {} : { project: [row('a'), { ...row('b'), team: 'blue' }] } }) });
		const one = await open(server);
		await one.sync.sync();
		server.answers['/sync/schema'] = () => ({ ...SCHEMA, entityTypes: { task: SCHEMA.entityTypes.task } });
		server.answers['/sync/pull'] = () => page({ cursor: 'c', unavailableTypes: ['project'], revokedScopes: ['blue'] });
		await one.sync.sync();
		server.answers['/sync/schema'] = () => SCHEMA;
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: 'c', changesByType: query.refresh ? { project: [row('a')] } : {} });
		await one.sync.sync();
		assert.deepEqual(await one.names(), ['name a']);
		await one.close();
	});

	test(`${library}: a scope is taken whose column is not kept here: its rows go, and edits of them stay`, { timeout: 20000 }, async () => {
		const { project } = SCHEMA.entityTypes;
		const columns = [...project.columns, { name: 'owner', type: 'text', nullable: true, writable: true }];
		const owned = (id, owner) => ({ ...row(id), owner });
		const server = new FakeServer({ '/sync/push': applied,
			'/sync/schema': () => ({ protocol: 1, entityTypes: { project: { ...project, scope: 'owner', columns } } }),
			'/sync/pull': ({ query }) => page({ cursor: 'c1', changesByType: query.since ? {} : { project: ['a', 'b', 'c'].map((id) => owned(id, id)) } }) });
		const one = await open(server);
		await one.sync.sync();
		await one.rename('c', 'edited');
		let cut = true;
		server.answers['/sync/pull'] = ({ query }) => {
			if (!query.refresh)
				return page({ cursor: 'c2', revokedScopes: query.since === 'c1' ? ['b', 'c'] : [] });
			// a pull that breaks off there goes on there
			return cut ? undefined : page({ cursor: 'c3', changesByType: { project: [owned('a', 'a')] } });
		};
		assert.equal((await one.sync.sync()).state, 'offline');
		cut = false;
		await one.sync.sync();
		assert.deepEqual(await one.names(), ['edited', 'name a']);
		const asked = server.calls('/sync/pull').length;
		await one.sync.sync();
		assert.deepEqual(server.calls('/sync/pull').slice(asked).map(({ query }) => query.refresh), [undefined]);
		await one.close();
	});

	test(`${library}: a change that is too long for the server is refused, once, and alone`, { timeout: 20000 }, async () => {
		const tooLong = (call) => call.body.changes.some(({ data }) => data?.name?.length > 10)
			? json(413, '<html>') : applied(call, { team: 'red' });
		const server = new FakeServer({ '/sync/push': tooLong,
			'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('a'), row('b')] } }) });
		const one = await open(server);
		await one.sync.sync();
		await one.rename('a', 'x'.repeat(11));
		await one.rename('b', 'short');
		assert.equal((await one.sync.sync()).failed, 1);
		const [bad] = await one.sync.refused();
		assert.equal(bad.errors[0].code, 'too_large');
		assert.ok((await one.names()).includes('short'));
		const pushes = server.calls('/sync/push').length;
		await one.sync.sync();
		assert.equal(server.calls('/sync/push').length, pushes);
		// nobody said that the row is gone
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: 'c', changesByType: query.refresh ? { project: [row('a'), { ...row('b'), name: 'short' }] } : {} });
		await one.sync.discard(bad.table ?? bad.type, bad.id ?? bad.key);
		assert.equal((await one.names()).length, 2);
		await one.sync.sync();
		assert.deepEqual(await one.names(), ['name a', 'short']);
		assert.deepEqual(await one.sync.refused(), []);
		await one.close();
	});

	test(`${library}: an edit of a type that is not there for now is not lost, and blocks nothing`, { timeout: 20000 }, async () => {
		const server = new FakeServer({ '/sync/push': applied,
			'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('a')] } }) });
		const one = await open(server);
		await one.sync.sync();
		server.answers['/sync/schema'] = () => ({ ...SCHEMA, entityTypes: { task: SCHEMA.entityTypes.task } });
		server.answers['/sync/pull'] = () => page({ cursor: 'c', unavailableTypes: ['project'], revokedScopes: ['blue'] });
		await one.rename('a', 'edited');
		const { error } = await one.sync.sync();
		assert.notEqual(error?.code, 'internal', error?.message);
		server.answers['/sync/schema'] = () => SCHEMA;
		server.answers['/sync/pull'] = () => page({ cursor: 'c' });
		for (const { type, key } of await one.sync.refused())
			await one.sync.retry(type, key);
		await one.sync.sync();
		assert.deepEqual(server.calls('/sync/push').map(({ body }) => body.changes[0].data.name), ['edited']);
		assert.deepEqual(await one.names(), ['edited']);
		await one.close();
	});
}

for (const [library, open] of Object.entries({ rxdb, watermelon })) {
	const insert = (one, id, name) => one.project
		? one.project.insert({ id, team: 'red', name })
		: one.database.write(() => one.database.get('project').create((record) => {
			record._raw.id = id;
			record._setRaw('team', 'red');
			record._setRaw('name', name);
		}));
	const ids = async (one) => (one.project ? await one.project.find().exec()
		: await one.database.get('project').query().fetch()).map(({ id }) => id).sort();

	test(`${library}: a key that the server writes in lower case is one row's, whatever the verdict`, { timeout: 20000 }, async () => {
		const lower = (call) => ({ ...call, body: { ...call.body, changes: call.body.changes.map((change) =>
			({ ...change, entityId: change.entityId.toLowerCase(), data: { ...change.data, id: change.entityId.toLowerCase() } })) } });
		for (const status of ['applied', 'superseded']) {
			const server = new FakeServer({ '/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('there')] } }),
				'/sync/push': (call) => {
					const reply = applied(lower(call), { team: 'red', by: status === 'applied' ? 'me' : 'you' });
					return { ...reply, succeeded: reply.succeeded.map((done) => ({ ...done, status })) };
				} });
			const one = await open(server);
			await one.sync.sync();
			await insert(one, 'ABC', 'mine');
			await insert(one, 'THERE', 'mine');
			await insert(one, 'other', 'mine');
			const { state, error } = await one.sync.sync();
			assert.equal(state, 'synced', error?.message);
			assert.deepEqual(await ids(one), ['abc', 'other', 'there'], status);
			await one.rename('abc', 'again');
			assert.equal((await one.sync.sync()).state, 'synced');
			assert.deepEqual(await ids(one), ['abc', 'other', 'there'], status);
			const [first, ...later] = server.calls('/sync/push').map(({ body }) => body.changes);
			assert.equal(later.at(-1)[0].base, first.find(({ entityId }) => entityId === 'ABC').lastModifiedAt);
			await one.close();
		}
	});

	test(`${library}: a key that is text keeps its capitals`, { timeout: 20000 }, async () => {
		const id = 'AAAAAAAA-2222-4333-8444-555555555555';
		const server = new FakeServer({ '/sync/push': (call) => applied(call, { team: 'red' }),
			'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row(id), row('b')] } }) });
		const one = await open(server);
		await one.sync.sync();
		await one.rename(id, 'edited');
		await one.sync.sync();
		assert.deepEqual(server.calls('/sync/push').map(({ body }) => body.changes[0].entityId), [id]);
		server.answers['/sync/pull'] = () => page({ cursor: 'd', deletedByType: { project: [{ id }] } });
		await one.sync.sync();
		assert.deepEqual(await ids(one), ['b']);
		await one.close();
	});
}

test('watermelon: what one user pulled of a first sync is not the next one\'s', { timeout: 20000 }, async () => {
	let sub = 'ana', cut = true;
	const server = new FakeServer({ '/sync/push': applied, '/sync/pull': ({ query }) => query.since === undefined
		? page({ cursor: `p1 ${sub}`, hasMore: cut, changesByType: { project: [row(sub)] } })
		: cut ? undefined : page({ cursor: query.since }) });
	const one = await watermelon(server, { client: server.client({ token: () => `x.${Buffer.from(JSON.stringify({ sub })).toString('base64url')}.x` }) });
	assert.equal((await one.sync.sync()).state, 'offline');
	// at a logout
	await one.database.write(() => one.database.unsafeResetDatabase());
	[sub, cut] = ['bob', false];
	assert.equal((await one.sync.sync()).state, 'synced');
	assert.deepEqual(await one.names(), ['name bob']);
	await one.close();
});

test('watermelon: two tables of one type have its rows, each with its own columns', async () => {
	const rows = ['a', 'b'].map(row);
	const server = new FakeServer({ '/sync/push': applied, '/sync/pull': () => page({ changesByType: { project: rows } }) });
	const column = (name) => ({ name, type: 'string', isOptional: true });
	const schema = appSchema({ version: 1, tables: [tableSchema({ name: 'project', columns: [column('name')] }),
		tableSchema({ name: 'team', columns: [column('team')] })] });
	const [database, end] = lokiDatabase(schema);
	const sync = new TideWatermelon({ client: server.client(), database, synchronize, Q, name: `w${Math.random()}`, live: false,
		tables: { project: 'project', team: 'project' } });
	const close = closing(async () => {
		await sync.stop();
		end();
	});
	assert.equal((await sync.sync()).state, 'synced');
	const raws = async (table) => (await database.get(table).query().fetch()).map(({ _raw: { id, name, team } }) => ({ id, name, team }));
	assert.deepEqual(await raws('project'), ['a', 'b'].map((id) => ({ id, name: `name ${id}`, team: undefined })));
	assert.deepEqual(await raws('team'), ['a', 'b'].map((id) => ({ id, name: undefined, team: 'red' })));
	await close();
});

test('watermelon: a refused edit is discarded before the first sync after the app was opened', { timeout: 20000 }, async () => {
	const server = new FakeServer({ '/sync/push': (call) => refused(call, '23514', row('a')),
		'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('a')] } }) });
	const one = await watermelon(server);
	await one.sync.sync();
	await one.rename('a', 'bad');
	await one.sync.sync();
	await one.sync.stop();
	server.offline = true;
	const again = new TideWatermelon({ client: server.client(), database: one.database, synchronize, Q, tables: ['project'], name: `w${Math.random()}` });
	await again.discard('project', 'a');
	assert.deepEqual(await one.names(), ['name a']);
	await again.stop();
	await one.close();
});

test('watermelon: a refused edit is discarded where an earlier version kept no schema', { timeout: 20000 }, async () => {
	const server = new FakeServer({ '/sync/push': (call) => refused(call, '23514', row('a')),
		'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since && !query.refresh ? {} : { project: [row('a')] } }) });
	const one = await watermelon(server);
	await one.sync.sync();
	await one.rename('a', 'bad');
	await one.sync.sync();
	await one.sync.stop();
	const { localStorage } = one.database;
	await localStorage.remove('tide_schema');
	await localStorage.set('tide_places', (await localStorage.get('tide_places')).map(({ timestamp, cursor }) => ({ timestamp, cursor })));
	const again = new TideWatermelon({ client: server.client(), database: one.database, synchronize, Q, tables: ['project'], name: `w${Math.random()}`, live: false });
	await again.discard('project', 'a');
	assert.deepEqual(await again.refused(), []);
	await again.sync();
	assert.deepEqual(await one.names(), ['name a']);
	await again.stop();
	await one.close();
});

test('watermelon: a refused edit whose table is away makes no loop when its time has come', { timeout: 20000 }, async () => {
	const server = new FakeServer({ '/sync/push': (call) => refused(call, '23514', row('a')),
		'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('a')] } }) });
	const one = await watermelon(server, { retry: { rowBase: 1 } });
	await one.sync.sync();
	await one.rename('a', 'bad');
	await one.sync.sync();
	server.answers['/sync/schema'] = () => ({ ...SCHEMA, entityTypes: { task: SCHEMA.entityTypes.task } });
	server.answers['/sync/pull'] = () => page({ cursor: 'c', unavailableTypes: ['project'] });
	one.sync.start();
	await one.sync.sync();
	const before = server.calls('/sync/schema').length;
	await new Promise((resolve) => setTimeout(resolve, 100));
	assert.ok(server.calls('/sync/schema').length < before + 3, 'no loop without a pause');
	assert.equal((await one.sync.refused()).length, 1);
	await one.close();
});

test('rxdb: sync() ends where the server refuses a whole push', { timeout: 20000 }, async () => {
	const server = new FakeServer({
		// not within the same turn, or nothing else would run
		'/sync/push': () => new Promise((resolve) => setTimeout(resolve, 1, json(403, { error: { code: '42501', message: 'no' } }))),
		'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('a')] } }) });
	const one = await rxdb(server);
	await one.sync.sync();
	await one.rename('a', 'edited');
	const ended = one.sync.sync();
	const pushes = () => server.calls('/sync/push').length;
	await waitFor('it ends, or goes on', () => Promise.race([ended, pushes() > 5]));
	const sent = pushes();
	server.answers['/sync/push'] = applied;	// with which it ends in any case
	const { state, error } = await ended;
	assert.deepEqual([sent <= 5, state, error?.code], [true, 'error', '42501']);
	assert.equal((await one.sync.sync()).state, 'synced');
	assert.deepEqual(await one.names(), ['edited']);
	await one.close();
});

test('rxdb: a tab that does not sync stamps by the schema that the one that does has learned', { timeout: 20000 }, async () => {
	const server = new FakeServer({ '/sync/push': applied, '/sync/pull': ({ query }) => page({ cursor: query.since ?? 'c' }) });
	const one = await rxdb(server);
	const { spare } = await one.database.addCollections({ spare: { schema: one.schema } });
	const idle = await replicateTide({ client: server.client(), database: one.database, collections: { project: spare }, live: false });
	await one.sync.sync();
	await waitFor('an edit is stamped', async () => (await spare.insert({ id: `${Math.random()}` })).by === 'me', 5);
	await idle.stop();
	await one.close();
});

test('rxdb, watermelon: long numbers inside json are not altered by an edit of another column', async () => {
	for (const open of [rxdb, watermelon]) {
		const columns = SCHEMA.entityTypes.project.columns.map((column) => ({ ...column, type: column.name === 'team' ? 'jsonb' : 'text' }));
		const server = new FakeServer({ '/sync/push': applied,
			'/sync/schema': () => ({ protocol: 1, entityTypes: { project: { ...SCHEMA.entityTypes.project, columns } } }),
			'/sync/pull': ({ query }) => query.since ? page({ cursor: 'p' }) : new Response(`{"changesByType":{"project":[
				{"id":"a","team":{"n":12345678901234567890},"name":"a","at":"2026-01-01T00:00:00Z"}]},"deletedByType":{},"cursor":"p","revokedScopes":[]}`) });
		const one = await open(server);
		await one.sync.sync();
		await one.rename('a', 'b');
		await one.sync.sync();
		const [{ data }] = server.calls('/sync/push')[0].body.changes;
		assert.deepEqual([data.name, 'team' in data], ['b', false], open.name);
		await one.close();
	}
});

test('watermelon: text that is no JSON, in a column of json, blocks nothing', async () => {
	const columns = SCHEMA.entityTypes.project.columns.map((column) => ({ ...column, type: ['team', 'name'].includes(column.name) ? 'jsonb' : 'text' }));
	const server = new FakeServer({ '/sync/push': applied,
		'/sync/schema': () => ({ protocol: 1, entityTypes: { project: { ...SCHEMA.entityTypes.project, columns } } }),
		// null is the empty text where the column is not optional
		'/sync/pull': ({ query }) => page({ cursor: 'p', changesByType: query.since ? {} : { project: [{ ...row('a'), team: null }] } }) });
	const one = await watermelon(server);
	await one.sync.sync();
	await one.rename('a', 'no {json');
	assert.equal((await one.sync.sync()).error, null);
	const [{ data }] = server.calls('/sync/push')[0].body.changes;
	assert.deepEqual([data.team, data.name], [null, 'no {json']);
	await one.close();
});

test('watermelon: the time of a delete is noted until it is sent, and of no other', async () => {
	const server = new FakeServer({ '/sync/push': ({ body }) => ({ failed: [], ack: 'k', succeeded: body.changes.map(({ id, entityId }) => ({
		changeId: id, status: 'applied', entity: { id: entityId, deletedAt: '2026-02-01T00:00:00Z' } })) }),
	'/sync/pull': ({ query }) => ({
		p1: page({ cursor: 'p2', deletedByType: { project: [{ id: 'a' }] } }),
	}[query.since] ?? page({ cursor: query.since ?? 'p1', changesByType: query.since ? {} : { project: [row('a'), row('b')] } })) });
	const one = await watermelon(server);
	await one.sync.sync();
	const record = await one.database.get('project').find('b');
	const before = Date.now();
	await one.database.write(() => record.markAsDeleted());
	await one.sync.sync();
	const [{ action, entityId, lastModifiedAt, base }] = server.calls('/sync/push')[0].body.changes;
	assert.deepEqual([action, entityId, base], ['delete', 'b', '2026-01-01T00:00:00.000001Z']);
	assert.ok(Date.parse(lastModifiedAt) >= before);
	assert.deepEqual(await one.names(), []);
	assert.deepEqual(await one.database.localStorage.get('tide_deletedAt'), {});
	await one.close();
});

test('watermelon: a long push over a bad line is done a part at a time', { timeout: 30000 }, async () => {
	const rows = Array.from({ length: 2001 }, (_, n) => row(`k${n}`));
	const server = new FakeServer({ '/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: rows } }) });
	const one = await watermelon(server);
	await one.sync.sync();
	const changes = { rename: (record) => record.prepareUpdate(() => record._setRaw('name', 'mine')), remove: (record) => record.prepareMarkAsDeleted() };
	for (const change of Object.values(changes)) {
		await one.database.write(async () => one.database.batch((await one.database.get('project').query().fetch()).map(change)));
		const before = server.calls('/sync/push').length;
		let left = 1;
		server.answers['/sync/push'] = (call) => left-- > 0 ? applied(call, { team: 'red' }) : undefined;
		assert.equal((await one.sync.sync()).state, 'offline');
		left = 1;
		assert.equal((await one.sync.sync()).state, 'synced');
		assert.deepEqual(server.calls('/sync/push').slice(before).map(({ body }) => body.changes.length), [2000, 1, 1]);
	}
	await one.close();
});

test('rxdb: a long push over a bad line is done a collection at a time', { timeout: 30000 }, async () => {
	const long = 'x'.repeat(3 << 20);
	const server = new FakeServer({ '/sync/pull': () => page({ cursor: 'c' }) });
	const database = await createRxDatabase({ name: `r${Math.random()}`.replace('.', ''), storage: getRxStorageMemory() });
	const schema = { version: 0, primaryKey: 'id', type: 'object', required: ['id'],
		properties: { id: { type: 'string', maxLength: 36 }, name: text, title: text, at: text, by: text } };
	const { project, task } = await database.addCollections({ project: { schema }, task: { schema } });
	const sync = await replicateTide({ client: server.client(), database, collections: { project, task }, live: false });
	const close = closing(() => database.close());
	await project.insert({ id: 'p', name: long });
	await task.insert({ id: 't', title: long });
	let left = 1;
	server.answers['/sync/push'] = (call) => left-- > 0 ? applied(call) : undefined;
	assert.equal((await sync.sync()).state, 'offline');
	left = 1;
	assert.equal((await sync.sync()).state, 'synced');
	assert.deepEqual(server.calls('/sync/push').map(({ body }) => body.changes.map(({ entityId }) => entityId).join()), ['p', 't', 't']);
	await close();
});

test('rxdb: what was made, sent without an answer, and deleted when the app was opened again, is deleted', { timeout: 20000 }, async () => {
	// the server has it; here nothing is known of that
	let isThere = true;
	const server = new FakeServer({
		'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('x')] } }),
		'/sync/push': (call) => {
			const [{ action, lastModifiedAt }] = call.body.changes;
			isThere = action !== 'delete';
			return { ...applied(call), succeeded: [{ changeId: '0', status: 'applied', entity: { id: 'x', deletedAt: lastModifiedAt } }] };
		} });
	const one = await rxdb(server);
	await one.project.insert({ id: 'x', team: 'red', name: 'mine' });
	await (await one.project.findOne('x').exec()).remove();
	assert.equal((await one.sync.sync()).state, 'synced');
	assert.deepEqual([isThere, await one.names(), await one.sync.refused()], [false, [], []]);
	await one.close();
});

test('rxdb: what was made, sent without an answer, and edited when the app was opened again, is edited', { timeout: 20000 }, async () => {
	// server_wins: an existing row stands, unless the edit was made upon it
	for (const by of ['me', 'you']) {
		let stands = { ...row('x'), by };
		const server = new FakeServer({ '/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [stands] } }),
			'/sync/push': (call) => {
				const [{ base, data, lastModifiedAt }] = call.body.changes;
				const status = base === stands.at ? 'applied' : 'superseded';
				if (status === 'applied')
					stands = { ...stands, ...data, at: lastModifiedAt, by: 'me' };
				return { ...applied(call), succeeded: [{ changeId: call.body.changes[0].id, status, entity: stands }] };
			} });
		const one = await rxdb(server);
		await one.project.insert({ id: 'x', team: 'red', name: 'edited' });
		assert.equal((await one.sync.sync()).state, 'synced');
		assert.deepEqual([stands.name, await one.names()], by === 'me' ? ['edited', ['edited']] : ['name x', ['name x']]);
		await one.close();
	}
});

test('rxdb: the deletion of what the server never had is no refused edit', { timeout: 20000 }, async () => {
	const server = new FakeServer({ '/sync/pull': () => page({ cursor: 'c' }), '/sync/push': (call) => refused(call, 'scope_missing') });
	const one = await rxdb(server);
	await one.project.insert({ id: 'x', name: 'mine' });
	await (await one.project.findOne('x').exec()).remove();
	assert.equal((await one.sync.sync()).state, 'synced');
	assert.deepEqual(await one.sync.refused(), []);
	await one.close();
});

test('rxdb: a refused edit of a row with a long key blocks nothing', { timeout: 20000 }, async () => {
	const [id, other] = ['x', 'y'].map((end) => 'k'.repeat(400) + end);
	const server = new FakeServer({ '/sync/pull': () => page({ cursor: 'c' }), '/sync/push': (call) => refused(call, '23514') });
	const one = await rxdb(server, { storage: wrappedValidateAjvStorage({ storage: getRxStorageMemory() }), maxLength: 500, team: text });
	await one.project.bulkInsert([id, other].map((key) => ({ id: key, team: 'red', name: 'mine' })));
	const { error } = await one.sync.sync();
	assert.equal(error?.code, 'edits_refused', error?.message);
	assert.deepEqual((await one.sync.refused()).map(({ key }) => key).sort(), [id, other]);
	await one.sync.discard('project', id);
	assert.deepEqual((await one.sync.refused()).map(({ key }) => key), [other]);
	// what cannot be made again is kept
	one.project.preInsert(() => { throw new Error('not valid'); });
	await assert.rejects(one.sync.retry('project', other), /not valid/);
	assert.deepEqual((await one.sync.refused()).map(({ key }) => key), [other]);
	await one.close();
});

test('rxdb: a handler that insists brings a deleted row back, also where the clock is behind', { timeout: 20000 }, async () => {
	const gone = '2099-01-01T00:00:00.000Z';
	const server = new FakeServer({ '/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [row('a')] } }),
		'/sync/push': (call) => call.body.changes[0].lastModifiedAt > gone || server.calls('/sync/push').length > 5 ? applied(call, { team: 'red' })
			: { ...applied(call), succeeded: [{ changeId: '0', status: 'superseded', entity: { id: 'a', deletedAt: gone } }] } });
	const one = await rxdb(server, { conflictHandler: { isEqual: (a, b) => JSON.stringify(a) === JSON.stringify(b), resolve: ({ newDocumentState }) => newDocumentState } });
	await one.sync.sync();
	await one.rename('a', 'mine');
	assert.equal((await one.sync.sync()).state, 'synced');
	assert.equal(server.calls('/sync/push').length, 2);
	assert.deepEqual(await one.names(), ['mine']);
	await one.close();
});

test('rxdb: sync() in a tab that does not sync ends', { timeout: 20000 }, async () => {
	const server = new FakeServer({ '/sync/push': (call) => applied(call, { team: 'red' }), '/sync/pull': () => page({ cursor: 'c' }) });
	const name = `two tabs ${Math.random()}`;
	const first = await rxdb(server, { sync: { name } }), second = await rxdb(server, { sync: { name } });
	first.sync.start();
	await first.sync.sync();
	second.sync.start();
	// in a browser both are one database, and the first one sends what is made in the second one
	await second.project.insert({ id: 'x', name: 'mine' });
	const asked = server.asked.length;
	assert.equal((await second.sync.sync()).state, 'synced');
	assert.ok(server.asked.length - asked < 10, 'it asked once');
	await first.close();
	await second.close();
});

test('tanstack: edits of several collections are shown all the time', async () => {
	const { store, collection } = await tanstack();
	const seen = [];
	collection.subscribeChanges((changes) => seen.push(...changes.map(({ type, key, value }) => `${type} ${key} ${value.name}`)));
	const transaction = createTransaction({ mutationFn: tideMutationFn(store) });
	transaction.mutate(() => {
		collection.update('a', (draft) => { draft.name = 'mine'; });
		collection.insert(row('b'));
	});
	await transaction.isPersisted.promise;
	await new Promise((resolve) => setTimeout(resolve, 20));
	assert.deepEqual(seen.filter((text) => text.startsWith('delete') || text.endsWith('name a')), []);
	assert.equal(collection.get('a').name, 'mine');
});

test('tanstack: what is taken out of a row is null', async () => {
	const { store, collection, server } = await tanstack();
	await collection.update('a', (draft) => { delete draft.name; }).isPersisted.promise;
	await store.sync();
	assert.equal(server.calls('/sync/push')[0].body.changes[0].data.name, null);
});

test('tanstack: a storage that fails for a while is read again', { timeout: 20000 }, async () => {
	const { store, collection, server, storage } = await tanstack();
	const { transaction } = storage;
	server.answers['/sync/pull'] = ({ query }) => page({ cursor: 'c2', changesByType: query.since === 'c' ? { project: [{ ...row('a'), name: 'theirs' }] } : {} });
	const stop = store.subscribe(() => {
		storage.transaction = async () => { throw new DOMException('the connection was lost', 'UnknownError'); };
		setTimeout(() => { delete storage.transaction; }, 20);
		stop();
	});
	await store.sync();
	await waitFor('it is shown', () => collection.get('a')?.name === 'theirs');
	assert.equal(storage.transaction, transaction);
	await collection.update('a', (draft) => { draft.name = 'mine'; }).isPersisted.promise;
	assert.equal(collection.status, 'ready');
});
