/* The store's own rules, on both kinds of storage. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { IDBFactory, IDBKeyRange } from 'fake-indexeddb';
import { IndexedDbStorage, MemoryStorage, openStore } from 'pg-tide';

import { waitFor } from '../lib/wait.mjs';
import { applied, FakeServer, json, page, refused, SCHEMA } from '../lib/fake.mjs';

const STORAGES = {
	memory: () => new MemoryStorage(),
	IndexedDB: () => new IndexedDbStorage('t', { indexedDB: new IDBFactory(), IDBKeyRange }),
};
const row = (id, more) => ({ id, team: 'red', title: `title ${id}`, note: null, at: '2026-01-01T00:00:00.000001Z', by: null, gone: null, version: 1, ...more });

for (const [kind, storage] of Object.entries(STORAGES)) {
	const it = (name, action) => test(`${kind}: ${name}`, () => action());

	/* A store that has pulled these rows, and its server. */
	const ready = async (rows = [], more = {}) => {
		const server = new FakeServer({ '/sync/pull': () => page({ cursor: 'c1', changesByType: { task: rows } }), '/sync/push': applied, ...more.answers });
		const store = await openStore({ client: server.client(), storage: storage(), name: Math.random().toString(), ...more.options });
		await store.sync();
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: query.since });
		return { server, store, pushes: () => server.calls('/sync/push').map(({ body }) => body) };
	};
	const titles = async (store) => (await store.all('task')).map(({ title }) => title).sort();

	it('which records have an edit is known at once, and undone if a transaction fails', async () => {
		const one = storage();
		const dirty = () => one.transaction('readonly', async (tx) => (await tx.dirty()).map(({ key, row }) => `${key} ${row}`));
		const edit = (key, n) => ({ type: 'a', key, row: n, dirty: 1 });
		await one.open();
		await one.transaction('readwrite', (tx) => ['1', '2', '3'].forEach((key) => tx.put(edit(key, 1))));
		await assert.rejects(one.transaction('readwrite', async (tx) => {
			tx.put(edit('1', 2));
			tx.put({ type: 'a', key: '2', row: 2 });
			tx.delete('a', '3');
			tx.put(edit('4', 2));
			await tx.get('a', '1');
			throw new Error('no');
		}));
		assert.deepEqual((await dirty()).sort(), ['1 1', '2 1', '3 1']);
		await one.transaction('readwrite', (tx) => {
			tx.put(edit('1', 2));
			tx.put(edit('1', 3));
			tx.put({ type: 'a', key: '2', row: 2 });
			tx.delete('a', '3');
		});
		assert.deepEqual(await dirty(), ['1 3']);
		await one.transaction('readwrite', (tx) => tx.clear());
		assert.deepEqual(await dirty(), []);
		await one.close();
	});

	it('what is stored is nobody else\'s, and of every kind', async () => {
		const one = storage();
		await one.open();
		const value = () => JSON.parse('{"list": [1, {"a": [2]}], "__proto__": {"n": 1}, "no": null}');
		const record = { type: 'a', key: '1', row: { ...value(), at: new Date(5), bytes: new Uint8Array([7]), big: 9n } };
		Object.defineProperty(record.row, '__proto__', { value: { n: 1 }, enumerable: true });
		await one.transaction('readwrite', (tx) => tx.put(record));
		record.row.list[1].a[0] = 3;
		const read = () => one.transaction('readonly', (tx) => tx.get('a', '1'));
		const first = await read();
		assert.deepEqual(first.row.list, [1, { a: [2] }]);
		assert.deepEqual([first.row.at.getTime(), [...first.row.bytes], first.row.big, first.row.no], [5, [7], 9n, null]);
		assert.deepEqual(Object.getOwnPropertyDescriptor(first.row, '__proto__')?.value, { n: 1 });
		first.row.list.push(4);
		assert.deepEqual((await read()).row.list, [1, { a: [2] }]);
		await one.close();
	});

	it('what a transaction wrote is undone if it fails', async () => {
		const one = storage();
		await one.open();
		await one.transaction('readwrite', (tx) => tx.put({ type: 'a', key: '1', row: 1 }));
		await assert.rejects(one.transaction('readwrite', async (tx) => {
			tx.put({ type: 'a', key: '1', row: 2 });
			tx.put({ type: 'a', key: '2', row: 2 });
			tx.setMeta('m', 1);
			await tx.get('a', '1');
			throw new Error('no');
		}), { message: 'no' });
		await one.transaction('readonly', async (tx) => {
			assert.deepEqual(await tx.all(), [{ type: 'a', key: '1', row: 1 }]);
			assert.equal(await tx.getMeta('m'), undefined);
		});
		await one.transaction('readwrite', (tx) => tx.put({ type: 'ab', key: '1', row: 3, dirty: 1 }));
		await one.transaction('readonly', async (tx) => {
			assert.equal((await tx.all('a')).length, 1, 'one type, not those that begin like it');
			assert.deepEqual((await tx.dirty()).map(({ type }) => type), ['ab']);
		});
	});

	it('before the first sync it says what it does not know', async () => {
		const store = await openStore({ client: new FakeServer().client(), storage: storage() });
		await assert.rejects(store.put('task', { title: 'x' }), /first sync has not been yet/);
		await store.close();
		const { store: other } = await ready();
		await assert.rejects(other.put('nothing', {}), /no entity type "nothing"/);
	});

	it('an edit is there at once, waits, is sent whole with its base, and is clean', async () => {
		const { store, server, pushes } = await ready([row('a')]);
		server.offline = true;
		const before = Date.now();
		await store.put('task', { id: 'a', title: 'mine' });
		assert.deepEqual(await titles(store), ['mine']);
		assert.equal((await store.sync()).state, 'offline');
		assert.equal(store.status.value.pending, 1);
		const [edit] = await store.pending();
		assert.deepEqual([edit.operation, edit.state, edit.mine.title, edit.theirs.title], ['update', 'pending', 'mine', 'title a']);
		server.offline = false;
		assert.equal((await store.sync()).state, 'synced');
		const [{ changes: [change], cursor }] = pushes();
		assert.equal(change.base, '2026-01-01T00:00:00.000001Z', 'digit for digit');
		assert.deepEqual(change.data, { id: 'a', team: 'red', title: 'mine', note: null, gone: null });
		assert.ok(Date.parse(change.lastModifiedAt) >= before);
		assert.equal(cursor, 'c1');
		assert.deepEqual(await store.pending(), []);
	});

	it('where columns merge, what was edited is named', async () => {
		const { store, pushes } = await ready([row('a')], { options: { conflict: { task: 'merge' } } });
		await store.put('task', { id: 'a', title: 'mine', note: null });
		await store.put('task', { id: 'b', title: 'new' });
		await store.sync();
		const byId = Object.fromEntries(pushes()[0].changes.map((change) => [change.entityId, change]));
		assert.deepEqual(byId.a.changedFields, ['title']);
		assert.ok(!('changedFields' in byId.b) && !('base' in byId.b));
	});

	it('a server\'s row for an edited one waits beside it, and the base does not move', async () => {
		const { store, server, pushes } = await ready([row('a')]);
		await store.put('task', { id: 'a', title: 'mine' });
		server.answers['/sync/pull'] = () => page({ cursor: 'c2', changesByType: { task: [row('a', { title: 'theirs', at: '2026-06-01T00:00:00Z' })] } });
		server.answers['/sync/push'] = ({ body }) => ({ failed: [], ack: 'k', succeeded: body.changes.map((change) => ({
			changeId: change.id, status: 'superseded', entity: row('a', { title: 'theirs', at: '2026-06-01T00:00:00Z' }) })) });
		await store.sync();
		assert.equal(pushes()[0].changes[0].base, '2026-01-01T00:00:00.000001Z');
		assert.deepEqual(await titles(store), ['theirs']);
		const [lost] = await store.lost();
		assert.deepEqual([lost.mine.title, lost.theirs.title], ['mine', 'theirs']);
	});

	it('an edit made while another is sent stays, upon what the server made of that one', async () => {
		const { store, server, pushes } = await ready([row('a')]);
		await store.put('task', { id: 'a', title: 'first' });
		let during = true;
		server.answers['/sync/push'] = async (call) => {
			if (during) {
				during = false;
				await store.put('task', { id: 'a', note: 'second' });
			}
			return applied(call, { at: '2030-01-01T00:00:00Z', title: 'first, by a trigger' });
		};
		await store.sync();
		const [, again] = pushes();
		assert.equal(again.changes[0].base, '2030-01-01T00:00:00Z');
		assert.equal(again.changes[0].data.title, 'first, by a trigger', 'untouched columns are the server\'s');
		assert.equal(again.changes[0].data.note, 'second');
		assert.ok(again.changes[0].lastModifiedAt > pushes()[0].changes[0].lastModifiedAt);
		assert.deepEqual(await store.pending(), []);
	});

	it('a change without an answer goes again as it was, and what was edited since upon that', async () => {
		const { store, server, pushes } = await ready();
		let stored = null;
		// under server_wins, what is not made upon the row that stands is too late
		server.answers['/sync/push'] = ({ body: { changes: [change] } }) => {
			const verdict = !stored || change.base === stored.at ? 'applied' : change.lastModifiedAt === stored.at ? 'unchanged' : 'superseded';
			const isFirst = !stored;
			if (verdict === 'applied')
				stored = row('a', { ...change.data, at: change.lastModifiedAt, by: 'me' });
			return isFirst ? undefined : { failed: [], succeeded: [{ changeId: change.id, status: verdict, entity: stored }] };
		};
		await store.put('task', { id: 'a', title: 'one' });
		await store.sync();
		await store.put('task', { id: 'a', title: 'two' });
		await store.sync();
		assert.deepEqual(pushes().map(({ changes: [{ data }] }) => data.title), ['one', 'one', 'two']);
		assert.deepEqual(pushes()[1], pushes()[0], 'byte for byte');
		assert.deepEqual([stored.title, await store.lost(), await store.pending()], ['two', [], []]);
	});

	it('an edit made after a discard is not taken for the one that is on its way', async () => {
		const { store, server, pushes } = await ready([row('a')]);
		await store.put('task', { id: 'a', title: 'first' });
		let during = true;
		server.answers['/sync/push'] = async (call) => {
			if (during) {
				during = false;
				await store.discard('task', 'a');
				await store.put('task', { id: 'a', title: 'second' });
			}
			return applied(call);
		};
		await store.sync();
		assert.deepEqual(pushes().map(({ changes: [{ data }] }) => data.title), ['first', 'second']);
		assert.deepEqual([await titles(store), await store.pending()], [['second'], []]);
	});

	it('what was discarded on its way is pulled: no ack says that it is here', async () => {
		const { store, server } = await ready([row('a')]);
		await store.put('task', { id: 'a', title: 'first' });
		server.answers['/sync/push'] = async (call) => {
			await store.discard('task', 'a');
			return applied(call);
		};
		await store.sync();
		assert.equal(server.calls('/sync/push').length, 1);
		assert.deepEqual(server.calls('/sync/pull').filter(({ query }) => query.ack), []);
	});

	it('created and deleted before it was sent: nothing is sent; after: a delete', async () => {
		const { store, server, pushes } = await ready();
		const { id } = await store.put('task', { title: 'x' });
		await store.delete('task', id);
		await store.sync();
		assert.equal(pushes().length, 0);
		await store.put('task', { id: 'b', title: 'x' });
		server.answers['/sync/push'] = () => undefined; // the reply is lost
		await store.sync();
		await store.delete('task', 'b');
		server.answers['/sync/push'] = applied;
		await store.sync();
		assert.deepEqual(pushes().at(-1).changes.map(({ action }) => action), ['delete']);
	});

	it('a row that was created, sent and deleted again, of which nothing is left, is deleted by its key', async () => {
		const { store, server, pushes } = await ready();
		server.answers['/sync/push'] = () => undefined; // the reply is lost
		await store.put('project', { id: 'P', name: 'x' });
		await store.sync();
		await store.delete('project', 'P');
		server.answers['/sync/push'] = ({ body }) => ({ failed: [], succeeded: body.changes.map(({ id, entityId }) => ({
			changeId: id, status: 'applied', entity: { id: entityId, deletedAt: '2026-01-01T00:00:00Z' } })) });
		assert.equal((await store.sync()).state, 'synced');
		const [{ action, entityId }] = pushes().at(-1).changes;
		assert.deepEqual([action, entityId], ['delete', 'P']);
	});

	it('an edit by the key of a row that was just deleted has its key', async () => {
		const { store, pushes } = await ready();
		await store.putAll([{ type: 'task', key: 'a', columns: { title: 'late' } }]);
		assert.deepEqual((await store.all('task')).map(({ id }) => id), ['a']);
		await store.sync();
		assert.equal(pushes()[0].changes[0].entityId, 'a');
	});

	it('a refused edit is tried again by its schedule, then waits for its user', async () => {
		const { store, server, pushes } = await ready([row('a')], { options: { retry: { rowBase: 1 } } });
		server.answers['/sync/push'] = (call) => refused(call, '23514', row('a'));
		await store.put('task', { id: 'a', title: 'bad' });
		for (let tries = 1; tries <= 6; tries++) {
			const { state, failed, error } = await store.sync();
			assert.deepEqual([state, failed, error.code], ['error', 1, 'edits_refused']);
			const [edit] = await store.pending();
			assert.equal(edit.tries, tries);
			assert.equal(edit.state, tries === 6 ? 'parked' : 'failed');
			await waitFor('it is due', () => edit.state === 'parked' || Date.now() > edit.nextTryAt);
		}
		await store.sync();
		assert.equal(pushes().length, 6, 'what is parked is not sent');
		// good ones are not held up by it
		server.answers['/sync/push'] = (call) => applied(call);
		await store.put('task', { id: 'good', title: 'good' });
		await store.sync();
		assert.equal(pushes().at(-1).changes.length, 1);
		// its user edits it: a new count
		await store.put('task', { id: 'a', title: 'better' });
		await store.sync();
		assert.deepEqual([await store.pending(), store.status.value.state], [[], 'synced']);
	});

	it('retry sends a parked edit at once; discard goes back to the server\'s row', async () => {
		const { store, server } = await ready([row('a')]);
		server.answers['/sync/push'] = (call) => refused(call, 'scope_not_allowed', row('a', { title: 'as it stands' }));
		await store.put('task', { id: 'a', title: 'bad' });
		await store.sync();
		assert.equal((await store.pending())[0].state, 'parked');
		const sent = server.calls('/sync/push').length;
		await store.retry('task', 'a');
		assert.equal(server.calls('/sync/push').length, sent + 1);
		await store.discard('task', 'a');
		assert.deepEqual(await titles(store), ['as it stands']);
		assert.equal((await store.sync()).state, 'synced');
	});

	it('a clock that is set back neither keeps a refused edit nor makes a loop', async () => {
		const { store, server, pushes } = await ready([row('a')], { options: { live: false } });
		server.answers['/sync/push'] = (call) => refused(call, '23514', row('a'));
		await store.put('task', { id: 'a', title: 'bad' });
		await store.sync();
		const { now } = Date;
		Date.now = () => now() - 365 * 86400000;
		try {
			store.start();
			await waitFor('it is sent again', () => pushes().length === 2);
			await store.sync();
			await new Promise((resolve) => setTimeout(resolve, 50));
			assert.ok(server.calls('/sync/schema').length < 8, 'no loop without a pause');
			assert.equal(pushes().length, 2);
		} finally {
			Date.now = now;
			await store.close();
		}
	});

	it('a row that the server does not have, refused and discarded, is gone', async () => {
		const { store, server } = await ready();
		server.answers['/sync/push'] = (call) => refused(call, '23503');
		await store.put('task', { id: 'x', title: 'orphan' });
		await store.sync();
		await store.clearQueue();
		assert.deepEqual([await titles(store), await store.pending()], [[], []]);
	});

	it('a reset drops clean rows that did not come, also where the page was closed in between', async () => {
		const { store, server } = await ready([row('a'), row('b'), row('c')]);
		await store.put('task', { id: 'c', title: 'edited' });
		let cut = true;
		server.answers['/sync/pull'] = ({ query }) => {
			if (query.since === 'c1')
				return page({ cursor: 'r1', reset: true, resetReason: 'expired', hasMore: true, changesByType: { task: [row('a', { title: 'again' })] } });
			if (query.since === 'r1')
				return cut ? undefined : page({ cursor: 'r2', changesByType: { task: [row('d')] } });
			return page({ cursor: query.since });
		};
		assert.equal((await store.sync()).state, 'offline');
		assert.deepEqual(await titles(store), ['again', 'edited', 'title b'], 'nothing goes before everything is there');
		cut = false;
		server.answers['/sync/push'] = (call) => assert.fail(`an edit of a row that is gone is not sent: ${JSON.stringify(call.body)}`);
		await store.sync();
		assert.deepEqual(await titles(store), ['again', 'edited', 'title d']);
		const [edit] = await store.pending();
		assert.deepEqual([edit.state, edit.errors[0].code], ['parked', 'resync_required']);
		await store.discard('task', 'c');
		assert.deepEqual(await titles(store), ['again', 'title d']);
	});

	it('a type that comes anew sweeps that type alone', async () => {
		const { store, server } = await ready([row('a'), row('b')]);
		server.answers['/sync/pull'] = ({ query }) => ({
			c1: page({ cursor: 'p', changesByType: { project: [{ id: 'p', team: 'red', name: 'p' }] } }),
			p: page({ cursor: 'q', hasMore: true, resetTypes: ['task'], changesByType: { task: [row('b')] } }),
			q: page({ cursor: 'r', hasMore: true, resetTypes: ['task'] }),
		}[query.since] ?? page({ cursor: query.since }));
		await store.sync();
		await store.sync();
		assert.deepEqual(await titles(store), ['title b']);
		assert.equal((await store.all('project')).length, 1);
	});

	it('an unavailable type keeps its rows, also in a reset', async () => {
		const { store, server } = await ready([row('a')]);
		server.answers['/sync/pull'] = ({ query }) => query.since === 'c1'
			? page({ cursor: 'r', reset: true, unavailableTypes: ['task'] }) : page({ cursor: query.since });
		await store.sync();
		assert.deepEqual(await titles(store), ['title a']);
	});

	it('a type that was not there in a reset is swept when it has come', async () => {
		const { store, server } = await ready([row('a'), row('b')]);
		server.answers['/sync/pull'] = ({ query }) => ({
			c1: page({ cursor: 'r', reset: true, unavailableTypes: ['task'] }),
			r: page({ cursor: 's', hasMore: true, changesByType: { task: [row('b')] } }),
		}[query.since] ?? page({ cursor: query.since }));
		await store.sync();
		assert.deepEqual(await titles(store), ['title a', 'title b']);
		await store.sync();
		assert.deepEqual(await titles(store), ['title b']);
	});

	const lacking = (name) => ({ ...SCHEMA, entityTypes: { task: { ...SCHEMA.entityTypes.task,
		columns: SCHEMA.entityTypes.task.columns.filter((column) => column.name !== name) } } });

	it('a column that comes while its type is away is read when that is back', async () => {
		const { server, store } = await ready([{ ...row('a'), note: undefined }], { answers: { '/sync/schema': () => lacking('note') } });
		server.answers['/sync/schema'] = () => SCHEMA;
		// away for a part of the pull
		server.answers['/sync/pull'] = ({ query }) => page(query.since === 'c1'
			? { cursor: 'p', hasMore: true, unavailableTypes: ['task'] } : { cursor: 'c2' });
		await store.sync();
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: 'c3', changesByType: query.refresh === 'task'
			? { task: [{ ...row('a'), note: 'by default' }] } : {} });
		await store.sync();
		assert.equal((await store.get('task', 'a')).note, 'by default');
		await store.close();
	});

	it('an edit of a type that is away waits; of what nobody has heard of there is none', async () => {
		const { server, store, pushes } = await ready([row('a'), row('b', { team: 'blue' }), row('c')]);
		server.answers['/sync/schema'] = () => ({ ...SCHEMA, entityTypes: { project: SCHEMA.entityTypes.project } });
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: query.since,
			unavailableTypes: ['task'], revokedScopes: ['blue'] });
		await store.sync();
		assert.deepEqual(await titles(store), ['title a', 'title c']);
		await store.put('task', { id: 'a', title: 'edited' });
		await store.delete('task', { id: 'c' });
		await assert.rejects(store.put('nothing', { id: 'a' }), { code: 'unknown_entity_type' });
		assert.equal((await store.sync()).pending, 2);
		assert.equal(pushes().length, 0);
		server.answers['/sync/schema'] = () => SCHEMA;
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: query.since });
		assert.equal((await store.sync()).pending, 0);
		assert.equal(pushes()[0].changes.length, 2);
		await store.close();
	});

	it('a column that came with a default is read once, of the rows that are here', async () => {
		// it comes between two pages of the first pull
		const { server, store } = await ready([], { answers: { '/sync/schema': () => lacking('note'),
			'/sync/pull': ({ query }) => query.since === undefined
				? page({ cursor: 'p1', hasMore: true, changesByType: { task: [{ ...row('a'), note: undefined }] } }) : undefined } });
		server.answers['/sync/schema'] = () => SCHEMA;
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: 'p3', changesByType: query.refresh
			? { task: [{ ...row('a'), note: 'by default' }] } : {} });
		await store.put('task', { id: 'b', title: 'mine' });
		await store.sync();
		assert.equal((await store.get('task', 'a')).note, 'by default');
		await store.sync();
		const asked = server.calls('/sync/pull').map(({ query }) => query.refresh);
		assert.equal(asked.filter((refresh) => refresh === 'task').length, 1);
		assert.equal(asked.at(-1), undefined);
		await store.close();
	});

	it('a change that is too long for the server waits for its user, and the row is still there', async () => {
		const { server, store } = await ready([row('a'), row('b')], { answers: {
			'/sync/push': (call) => call.body.changes.some(({ data }) => data.title.length > 20) ? json(413, '<html>') : applied(call) } });
		await store.put('task', { id: 'a', title: 'x'.repeat(21) });
		await store.put('task', { id: 'b', title: 'short' });
		await store.sync();
		const [edit, ...others] = await store.pending();
		assert.deepEqual([edit.key, edit.state, edit.errors[0].code, others.length], ['a', 'parked', 'too_large', 0]);
		assert.equal(edit.theirs.title, 'title a');
		const pushes = server.calls('/sync/push').length;
		await store.sync();
		assert.equal(server.calls('/sync/push').length, pushes);
		// made shorter, it goes
		await store.put('task', { id: 'a', title: 'shorter' });
		await store.sync();
		assert.deepEqual(await store.pending(), []);
		await store.put('task', { id: 'b', title: 'x'.repeat(21) });
		await store.sync();
		await store.discard('task', 'b');
		assert.deepEqual(await titles(store), ['short', 'shorter']);
		await store.close();
	});

	it('a reset whose page could not be stored takes nothing away', async () => {
		const kept = storage();
		const { store, server } = await ready([row('a'), row('b')], { options: { storage: kept } });
		const transaction = kept.transaction.bind(kept);
		kept.transaction = (mode, action) => transaction(mode, (tx) => {
			const setMeta = tx.setMeta.bind(tx);
			tx.setMeta = (name, value) => {
				if (name === 'cursor')
					throw new DOMException('the disk is full', 'QuotaExceededError');
				return setMeta(name, value);
			};
			return action(tx);
		});
		server.answers['/sync/pull'] = () => page({ cursor: 'r', reset: true, hasMore: true, changesByType: { task: [row('a')] } });
		assert.equal((await store.sync()).state, 'error');
		kept.transaction = transaction;
		// the server is again the one that the cursor is of
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: query.since });
		await store.sync();
		assert.deepEqual(await titles(store), ['title a', 'title b']);
	});

	it('a type that is tracked during a sync: its rows are not passed by', async () => {
		const { store, server } = await ready([row('a')]);
		server.answers['/sync/pull'] = ({ query }) => {
			// between the schema and the page
			server.answers['/sync/schema'] = () => ({ ...SCHEMA, entityTypes: { ...SCHEMA.entityTypes, extra: SCHEMA.entityTypes.project } });
			return query.since === 'c1' ? page({ cursor: 'c2', changesByType: { extra: [{ id: 'e', team: 'red', name: 'e' }] } })
				: page({ cursor: query.since });
		};
		await store.sync();
		assert.deepEqual((await store.all('extra')).map(({ id }) => id), ['e']);
	});

	it('a page goes on from the cursor that is stored, or is not taken', async () => {
		const kept = storage(), name = Math.random().toString();
		const { store, server } = await ready([row('a')], { options: { storage: kept, name } });
		const other = await openStore({ client: server.client(), storage: kept, name: `${name} without Web Locks` });
		let late = true;
		server.answers['/sync/pull'] = async ({ query }) => {
			if (late) {
				late = false;
				await other.sync(); // which is faster, and sees more
				return page({ cursor: 'c2', changesByType: { task: [row('a', { title: 'older' })] } });
			}
			return query.since === 'c1' ? page({ cursor: 'c3', changesByType: { task: [row('a', { title: 'newer' })] } }) : page({ cursor: query.since });
		};
		await store.sync();
		assert.deepEqual(await titles(store), ['newer']);
		await store.sync();
		assert.equal(server.calls('/sync/pull').at(-1).query.since, 'c3');
	});

	it('a scope that is granted again: its rows are there, and the edit that waited can be given up', async () => {
		const { store, server } = await ready([row('a')]);
		server.offline = true;
		await store.put('task', { id: 'a', title: 'mine' });
		server.offline = false;
		server.answers['/sync/pull'] = () => page({ cursor: 'c2', revokedScopes: ['red'] });
		await store.sync();
		assert.deepEqual(await titles(store), []);
		server.answers['/sync/pull'] = ({ query }) => page({ cursor: 'c3', changesByType: query.since === 'c2' ? { task: [row('a', { title: 'theirs' }), row('b')] } : {} });
		await store.sync();
		assert.deepEqual(await titles(store), ['mine', 'title b']);
		assert.equal((await store.pending())[0].state, 'parked');
		await store.discard('task', 'a');
		assert.deepEqual(await titles(store), ['theirs', 'title b']);
	});

	// of which no request takes two
	const long = (key) => ({ type: 'task', columns: { id: key, title: 'x'.repeat(3 << 20) } });

	it('a long push over a bad line is done a part at a time', async () => {
		let calls = 0;
		const { store, server } = await ready([], { answers: { '/sync/push': (call) => ++calls % 3 ? applied(call) : undefined } });
		await store.putAll(['k1', 'k2', 'k3', 'k4', 'k5'].map(long));
		const pending = [];
		for (let n = 0; n < 4; n++)
			pending.push((await store.sync()).pending);
		assert.deepEqual(pending, [3, 1, 0, 0]);
		assert.equal(server.calls('/sync/push').length, 7, 'what was answered is not sent again');
		assert.ok(server.calls('/sync/pull').some(({ query }) => query.ack === 'ack1,ack1'));
	});

	it('a reply that leaves a change out is none', async () => {
		const { store, server } = await ready([], { answers: { '/sync/push': (call) => {
			const reply = applied(call);
			return { ...reply, succeeded: reply.succeeded.slice(1) };
		} } });
		await store.putAll([row('a'), row('b')].map((columns) => ({ type: 'task', columns })));
		const { state, pending } = await store.sync();
		assert.deepEqual([state, pending], ['offline', 1]);
		server.answers['/sync/push'] = (call) => applied(call);
		assert.equal((await store.sync()).pending, 0);
	});

	it('of a push that ended between its parts, what lost against an own edit has not lost yet', async () => {
		const { store, server, pushes } = await ready([row('a')]);
		await store.put('task', { id: 'a', title: 'mine' });
		await store.putAll(['k1', 'k2'].map(long));
		server.answers['/sync/push'] = (call) => {
			if (server.calls('/sync/push').length === 2)
				return undefined;
			const reply = applied(call);
			for (const done of reply.succeeded.filter(({ entityId, base }) => entityId === 'a' && base === row('a').at))
				Object.assign(done, { status: 'superseded', entity: row('a', { title: 'an earlier one', at: '2026-01-02T00:00:00.000Z', by: 'me' }) });
			return reply;
		};
		await store.sync();
		assert.deepEqual((await store.pending()).filter(({ key }) => key === 'a').map(({ mine }) => mine.title), ['mine']);
		await store.sync();
		assert.equal((await store.get('task', 'a')).title, 'mine');
		assert.deepEqual([await store.lost(), pushes().at(-1).changes[0].base], [[], '2026-01-02T00:00:00.000Z']);
	});

	it('a column that is undefined is not given', async () => {
		const { store, pushes } = await ready([row('a', { note: 'old' })]);
		await store.put('task', { id: 'a', title: 'mine', note: undefined });
		assert.equal((await store.get('task', 'a')).note, 'old');
		await store.sync();
		assert.equal(pushes()[0].changes[0].data.note, 'old');
	});

	it('rows of a revoked scope go; an edit of one waits for its user', async () => {
		const { store, server } = await ready([row('a', { team: 'red' }), row('b', { team: 'blue' }), row('c', { team: 'blue' })]);
		await store.put('task', { id: 'c', title: 'edited' });
		server.answers['/sync/pull'] = ({ query }) => query.since === 'c1'
			? page({ cursor: 'd', revokedScopes: ['blue'], changesByType: { task: [row('z')] } }) : page({ cursor: query.since });
		await store.sync();
		assert.deepEqual(await titles(store), ['title a', 'title z']);
		const [edit] = await store.pending();
		assert.deepEqual([edit.key, edit.state, edit.errors[0].code], ['c', 'parked', 'scope_not_allowed']);
		await store.discard('task', 'c');
		assert.deepEqual([await titles(store), await store.pending()], [['title a', 'title z'], []]);
	});

	it('soft-deleted rows are not shown; an edit brings one back', async () => {
		const { store, pushes } = await ready([row('a'), row('b', { gone: '2026-01-01T00:00:00Z' })]);
		assert.deepEqual(await titles(store), ['title a']);
		assert.equal((await store.all('task', { deleted: true })).length, 2);
		await store.delete('task', 'a');
		assert.deepEqual(await titles(store), []);
		await store.put('task', { id: 'b', title: 'back' });
		assert.deepEqual(await titles(store), ['back']);
		await store.sync();
		assert.deepEqual(pushes()[0].changes.map(({ action }) => action).sort(), ['delete', 'update']);
	});

	it('acks go with the next pull, and once it is complete no more', async () => {
		const { store, server } = await ready([row('a')]);
		await store.put('task', { id: 'a', title: 'x' });
		await store.sync();
		await store.sync();
		assert.deepEqual(server.calls('/sync/pull').map(({ query }) => query.ack ?? null), [null, null, 'ack1', null]);
	});

	it('a closed store opens with everything in place, edits, cursor and device', async () => {
		const server = new FakeServer({ '/sync/pull': ({ query }) => query.since ? page({ cursor: 'c1' })
			: page({ cursor: 'c1', changesByType: { task: [row('a')] } }), '/sync/push': () => undefined });
		const kept = storage();
		const name = `again ${kind}`;
		const first = await openStore({ client: server.client({ clientId: undefined }), storage: kept, name });
		const device = first.client.clientId;
		await first.sync();
		await first.put('task', { id: 'a', title: 'mine' });
		await first.sync();
		await first.close();
		server.answers['/sync/push'] = applied;
		const second = await openStore({ client: server.client({ clientId: undefined }), storage: kept, name });
		assert.equal(second.client.clientId, device);
		assert.deepEqual(await titles(second), ['mine']);
		await second.sync();
		const [lost, again] = server.calls('/sync/push').map(({ body }) => body.changes[0]);
		assert.deepEqual(again, lost, 'the same change, byte for byte');
		assert.equal(server.calls('/sync/pull').at(-1).query.since, 'c1');
	});

	it('listeners hear which rows changed; wipe forgets everything', async () => {
		const { store, server } = await ready([row('a')]);
		const heard = [];
		store.subscribe((changes) => heard.push(changes && Object.fromEntries([...changes].map(([type, keys]) => [type, [...keys]]))));
		await store.put('task', { id: 'a', title: 'x' });
		server.answers['/sync/pull'] = ({ query }) => query.since === 'c1'
			? page({ cursor: 'd', changesByType: { task: [row('b')] }, deletedByType: { project: [{ id: 'p' }] } }) : page({ cursor: query.since });
		await store.sync();
		assert.deepEqual(heard, [{ task: ['a'] }, { task: ['b'], project: ['p'] }, { task: ['a'] }]);
		await store.wipe();
		assert.equal(heard.at(-1), null);
		assert.deepEqual(await store.pending(), []);
		assert.equal(store.schema, null);
	});

	it('several edits are all there or none', async () => {
		const { store } = await ready([row('a')]);
		await assert.rejects(store.putAll([{ type: 'task', columns: { id: 'a', title: 'x' } }, { type: 'nothing', columns: {} }]));
		assert.deepEqual([await titles(store), await store.pending()], [['title a'], []]);
	});
}

test('what one tab wipes does not come again by a first pull that is on its way in another one', async () => {
	const jwt = (sub) => `x.${Buffer.from(JSON.stringify({ sub })).toString('base64url')}.y`;
	let token = jwt('ana'), release;
	const server = new FakeServer({ '/sync/pull': async ({ query, token }) => {
		if (!release)
			await new Promise((resolve) => { release = resolve; });
		return page({ cursor: 'c', changesByType: query.since ? {} : { task: [row(token === jwt('ana') ? 'hers' : 'his')] } });
	} });
	const storage = new MemoryStorage();
	const open = () => openStore({ client: server.client({ token: () => token }), storage, live: false });
	const [one, other] = [await open(), await open()];
	const pull = one.sync();
	await waitFor('the pull is asked', () => release);
	token = null;
	await other.wipe();
	release();
	await pull;
	assert.deepEqual(await other.all('task'), []);
	token = jwt('bob');
	await other.sync();
	assert.deepEqual((await other.all('task')).map(({ id }) => id), ['his']);
});

test('a reply does not replace what another tab has pulled since', async () => {
	const storage = new MemoryStorage();
	let current = row('a'), version = 1, answer = () => {};
	const stored = new Map();
	const server = new FakeServer({
		'/sync/pull': ({ query }) => page({ cursor: `c${version}`, changesByType: query.since === `c${version}` ? {} : { task: [current] } }),
		'/sync/push': async ({ body: { changes: [change] } }) => {
			const isReplay = stored.has(change.lastModifiedAt);
			if (!isReplay) {
				current = { ...current, ...change.data, at: change.lastModifiedAt, by: 'me' };
				version++;
			}
			stored.set(change.lastModifiedAt, change);
			const reply = { succeeded: [{ changeId: '0', status: isReplay ? 'superseded' : 'applied', entity: current }], failed: [], ack: 'ack' };
			await answer();
			return reply;
		} });
	const open = () => openStore({ client: server.client(), storage, live: false });
	const [page1, worker] = [await open(), await open()];
	await page1.sync();
	await page1.put('task', { id: 'a', title: 'mine' });
	answer = async () => {
		current = row('a', { title: 'later', at: '2099-01-01T00:00:00.000Z', by: 'other' });
		version++;
		// the other one pulls, and its push is not answered
		answer = () => { throw new TypeError('fetch failed'); };
		await worker.sync();
		answer = () => {};
	};
	await page1.sync();
	await page1.sync();
	assert.deepEqual((await page1.all('task')).map(({ title }) => title), ['later']);
	assert.deepEqual(await page1.pending(), []);
});

test('a key that the server writes in another form is one row\'s', async () => {
	const lower = (call, status = 'applied') => ({ ...applied({ ...call, body: { ...call.body, changes: call.body.changes.map((change) =>
		({ ...change, entityId: change.entityId.toLowerCase(), status })) } }) });
	let answer = lower;
	const server = new FakeServer({ '/sync/push': (call) => answer(call), '/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { task: [row('there')] } }) });
	const store = await openStore({ client: server.client(), storage: new MemoryStorage() });
	await store.sync();
	const heard = new Set();
	store.subscribe((changes) => [...changes?.get('task') ?? []].forEach((key) => heard.add(key)));
	await store.put('task', { id: 'ABC', title: 'made' });
	await store.put('task', { id: 'THERE', title: 'mine' });
	await store.sync();
	const rows = async () => (await store.all('task')).map(({ id, title }) => `${id} ${title}`).sort();
	assert.deepEqual(await rows(), ['abc made', 'there mine']);
	assert.ok(heard.has('abc') && heard.has('ABC'));
	assert.equal((await store.get('task', 'abc')).title, 'made');

	// edited while it is sent, by either name
	await store.put('task', { id: 'DEF', title: 'one' });
	answer = async (call) => {
		answer = lower;
		await store.put('task', { id: 'DEF', note: 'two' });
		await store.put('task', { id: 'abc', note: 'edited' });
		return lower(call);
	};
	await store.sync();
	await store.sync();
	assert.deepEqual(await rows(), ['abc made', 'def one', 'there mine']);
	assert.deepEqual([(await store.get('task', 'def')).note, (await store.get('task', 'abc')).note], ['two', 'edited']);
	assert.deepEqual(await store.pending(), []);

	// an edit by the row's own name is kept beside one by another
	await store.put('task', { id: 'ABC', title: 'by another name' });
	await store.put('task', { id: 'abc', title: 'by its own' });
	answer = (call) => {
		answer = lower;
		const { succeeded: [first], ...reply } = lower(call);
		return { ...reply, succeeded: [{ ...first, changeId: '0' }, { ...first, changeId: '1' }] };
	};
	await store.sync();
	await store.sync();
	assert.equal((await store.all('task')).length, 3);
	assert.deepEqual(await store.pending(), []);
});

test('composite keys: one row each, sent as an object', async () => {
	const pair = { ...SCHEMA.entityTypes.task, key: ['team', 'id'], deletedAt: null };
	const server = new FakeServer({ '/sync/schema': () => ({ protocol: 1, entityTypes: { task: pair } }),
		'/sync/pull': ({ query }) => query.since ? page({ cursor: 'c' }) : page({ cursor: 'c', changesByType: { task: [row('1'), row('1', { team: 'blue' })] } }),
		'/sync/push': (call) => applied({ ...call, body: { ...call.body, changes: call.body.changes.map((change) => ({ ...change, data: { ...change.data, ...change.entityId }, entityId: change.entityId.id })) } }) });
	const store = await openStore({ client: server.client(), storage: new MemoryStorage() });
	await store.sync();
	await store.put('task', { team: 'blue', id: '1', title: 'x' });
	await store.sync();
	assert.deepEqual(server.calls('/sync/push')[0].body.changes[0].entityId, { team: 'blue', id: '1' });
	assert.equal((await store.get('task', { team: 'red', id: '1' })).title, 'title 1');
	assert.equal((await store.get('task', { team: 'blue', id: '1' })).title, 'x');
	await store.delete('task', { team: 'red', id: '1' });
	assert.equal((await store.all('task')).length, 1);
});

test('a tab that was open before the first sync knows the entity types after it', async () => {
	const server = new FakeServer({ '/sync/pull': () => page({ cursor: 'c', changesByType: { task: [row('a')] } }) });
	const storage = new MemoryStorage(), name = 'first sync elsewhere';
	const [one, other] = await Promise.all([1, 2].map(() => openStore({ client: server.client(), storage, name, live: false })));
	one.start();
	await waitFor('the first tab is synced', () => one.status.value.state === 'synced');
	other.start();
	await one.put('task', { id: 'a', title: 'x' });
	await waitFor('the second tab knows the types', () => other.schema !== null);
	await other.put('task', { id: 'b', title: 'y' });
	await one.close();
	await other.close();
});

test('a tab that does not sync hears that the schema is another one', { timeout: 20000 }, async (t) => {
	const server = new FakeServer({ '/sync/pull': ({ query }) => page({ cursor: query.since ?? 'c', changesByType: query.since ? {} : { task: [row('a')] } }) });
	const storage = new MemoryStorage(), name = 'schema changed elsewhere';
	const [one, other] = await Promise.all([1, 2].map(() => openStore({ client: server.client(), storage, name, live: false })));
	t.after(() => Promise.all([one.close(), other.close()]));
	one.start();
	await waitFor('the first tab is synced', () => one.status.value.state === 'synced');
	other.start();
	await waitFor('the second tab knows the types', () => other.schema?.task, 5);
	await other.sync();
	const heard = [];
	other.subscribe((changed) => heard.push(changed));
	const more = [...SCHEMA.entityTypes.task.columns, { name: 'colour', type: 'text', nullable: true, writable: true }];
	server.answers['/sync/schema'] = () => ({ ...SCHEMA, entityTypes: { task: { ...SCHEMA.entityTypes.task, columns: more } } });
	await one.sync();
	await waitFor('the second tab knows the column', () => other.schema?.task.columns.some(({ name: column }) => column === 'colour'), 5);
	assert.ok(heard.includes(null));
});

const tokenOf = (user) => `e30.${Buffer.from(JSON.stringify({ sub: user })).toString('base64url')}.x`;

test('with another user\'s token nothing is sent, and nothing comes', async () => {
	let user = 'ana Müller';
	const server = new FakeServer({ '/sync/pull': ({ query }) => page({ cursor: query.since ?? 'c' }), '/sync/push': applied });
	const store = await openStore({ client: server.client({ token: () => tokenOf(user) }), storage: new MemoryStorage(), name: 'two users' });
	await store.sync();
	await store.put('task', { id: 'a', title: 'ana\'s' });
	user = 'ben';
	server.asked.length = 0;
	const { state, error } = await store.sync();
	assert.deepEqual([state, error.code, server.asked], ['signed_out', 'other_user', []]);
	assert.match(error.message, /"ana Müller".*"ben"/);

	// ben logs in while ana's token is refused
	user = 'ana Müller';
	server.answers['/sync/push'] = () => {
		user = 'ben';
		return json(401, { error: { code: 'unauthorized', message: 'expired' } });
	};
	assert.equal((await store.sync()).error.code, 'other_user');
	assert.equal(server.calls('/sync/push').length, 1);
	assert.equal((await store.pending()).length, 1);

	await store.wipe();
	server.answers['/sync/push'] = applied;
	assert.equal((await store.sync()).state, 'synced', 'an empty store is anybody\'s');
	user = 'ana Müller';
	assert.equal((await store.sync()).error.code, 'other_user');
});

test('what is wiped during a sync is not there again after it, nor is its place', async () => {
	let release;
	const server = new FakeServer({ '/sync/pull': async () => {
		await new Promise((resolve) => { release = resolve; });
		return page({ cursor: 'c' });
	} });
	const storage = new MemoryStorage();
	const store = await openStore({ client: server.client(), storage });
	const synced = store.sync();
	await waitFor('the pull runs', () => release);
	const wiped = store.wipe();
	setTimeout(() => release(), 20);
	await Promise.all([synced, wiped]);
	await storage.transaction('readonly', async (tx) => assert.deepEqual([await tx.all(), await tx.getMeta('cursor')], [[], undefined]));
});

test('JSON of somebody else\'s is no answer, and takes nothing away', async () => {
	const server = new FakeServer({ '/sync/pull': ({ query }) => page({ cursor: query.since ?? 'c', changesByType: query.since ? {} : { task: [row('a')] } }), '/sync/push': applied });
	const storage = new MemoryStorage();
	const store = await openStore({ client: server.client(), storage });
	await store.sync();
	await store.put('task', { id: 'a', title: 'mine' });
	for (const path of ['/sync/schema', '/sync/pull', '/sync/push']) {
		const sound = server.answers[path];
		for (const reply of [{}, [], 'ok', { entityTypes: [], changesByType: {}, succeeded: {} }]) {
			server.answers[path] = () => json(200, reply);
			assert.equal((await store.sync()).state, 'offline', path);
			const again = await openStore({ client: server.client(), storage });
			assert.equal((await again.get('task', 'a')).title, 'mine');
			assert.equal((await again.pending()).length, 1);
		}
		server.answers[path] = sound;
	}
	assert.equal((await store.sync()).state, 'synced');
});

test('a type, a column and keys with names of JavaScript\'s own', async () => {
	const named = { ...SCHEMA.entityTypes.project, columns: ['id', 'team', 'constructor', '__proto__', 'at', 'by']
		.map((name) => ({ name, type: 'text', nullable: true, writable: true })) };
	const first = JSON.parse('{"id": "__proto__", "team": "red", "constructor": "Lotus", "__proto__": "p", "at": null, "by": null}');
	const server = new FakeServer({ '/sync/schema': () => ({ protocol: 1, entityTypes: { task: SCHEMA.entityTypes.task, constructor: named } }),
		'/sync/pull': () => json(200, page({ cursor: 'c1', changesByType: { task: [row('a')], constructor: [first] } })), '/sync/push': applied });
	const store = await openStore({ client: server.client(), storage: new MemoryStorage(), conflict: { task: 'merge' } });
	await assert.rejects(store.put('constructor', {}), /first sync has not been yet/);
	await store.sync();
	await store.put('constructor', JSON.parse('{"id": "__proto__", "__proto__": "q"}'));
	await store.put('constructor', { id: 'toString', constructor: 'Ferrari' });
	server.answers['/sync/pull'] = ({ query }) => query.since === 'c1' ? page({ cursor: 'c2', resetTypes: ['task'] }) : page({ cursor: query.since });
	await store.sync();
	assert.deepEqual((await store.all('constructor')).map(({ id }) => id).sort(), ['__proto__', 'toString'], 'not swept');
	assert.deepEqual(await store.all('task'), []);
	const [one, two] = server.calls('/sync/push')[0].body.changes;
	assert.equal(JSON.stringify(one.data), '{"id":"__proto__","team":"red","constructor":"Lotus","__proto__":"q"}', 'a whole row');
	assert.deepEqual([two.data.constructor, 'changedFields' in one], ['Ferrari', false]);
	await assert.rejects(store.put('toString', {}), /no entity type/);
});

test('rows without a key are not one row: a key is made, or asked for', async () => {
	const typed = (type, key) => ({ ...SCHEMA.entityTypes.project, key, columns: SCHEMA.entityTypes.project.columns.map((column) => ({ ...column, type })) });
	const server = new FakeServer({ '/sync/schema': () => ({ protocol: 1, entityTypes: { text: typed('text', ['id']),
		number: typed('bigint', ['id']), pair: typed('uuid', ['team', 'id']) } }), '/sync/pull': () => page({ cursor: 'c' }) });
	const store = await openStore({ client: server.client(), storage: new MemoryStorage() });
	await store.sync();
	await store.put('text', { id: null, name: 'a' });
	await store.put('text', { id: null, name: 'b' });
	assert.deepEqual((await store.all('text')).map(({ name }) => name).sort(), ['a', 'b']);
	await assert.rejects(store.put('number', { name: 'a' }), { code: 'key_missing', message: /"id".*"number"/ });
	await assert.rejects(store.put('pair', { id: 'x' }), { code: 'key_missing', message: /"team"/ });
	await store.put('number', { id: 0, name: 'zero' });
	assert.equal((await store.get('number', 0)).name, 'zero');
});

test('numbers that JSON has not, and long ones inside json, are not altered on their way back', async () => {
	const columns = SCHEMA.entityTypes.task.columns.map((column) => ({ ...column, type: { note: 'jsonb', title: 'double precision' }[column.name] ?? column.type }));
	const server = new FakeServer({ '/sync/schema': () => ({ protocol: 1, entityTypes: { task: { ...SCHEMA.entityTypes.task, columns } } }), '/sync/push': applied,
		'/sync/pull': ({ query }) => query.since ? page({ cursor: 'c' }) : new Response(`{"changesByType":{"task":[
			{"id":"a","team":"red","title":1,"note":{"list":[{"n":12345678901234567890}]},"at":null},
			{"id":"b","team":"red","title":null,"note":{"n":"1234"},"at":null}]},"deletedByType":{},"cursor":"c","revokedScopes":[]}`) });
	const store = await openStore({ client: server.client(), storage: new MemoryStorage(), conflict: { task: 'merge' } });
	await store.sync();
	await store.put('task', { id: 'a', title: -Infinity });
	await store.put('task', { id: 'b', title: NaN });
	await store.sync();
	const [a, b] = server.calls('/sync/push')[0].body.changes;
	assert.deepEqual([a.data, a.changedFields], [{ id: 'a', team: 'red', title: '-Infinity' }, ['title']], 'json that was not edited stays there');
	assert.deepEqual([b.data.title, b.data.note, b.changedFields], ['NaN', { n: '1234' }, ['title']]);
	await store.put('task', { id: 'a', note: { list: [] } });
	await store.sync();
	assert.deepEqual(server.calls('/sync/push')[1].body.changes[0].data.note, { list: [] });
});

test('numbers that JSON has not, in columns and in arrays of them, are sent as texts', async () => {
	const types = { id: 'text', at: 'text', by: 'text', f: 'double precision', fa: 'double precision[]', r: 'real[]', n: 'integer', j: 'jsonb' };
	const columns = Object.entries(types).map(([name, type]) => ({ name, type, nullable: true, writable: true }));
	const { project } = SCHEMA.entityTypes;
	const server = new FakeServer({ '/sync/schema': () => ({ protocol: 1, entityTypes: { project: { ...project, scope: null, columns, conflict: 'merge' } } }), '/sync/push': applied,
		'/sync/pull': ({ query }) => query.since ? page({ cursor: 'c' }) : new Response(`{"changesByType":{"project":[
			{"id":"a","f":-0,"fa":[null],"r":[["NaN",-0],[1,2]],"n":0,"j":-0,"at":null}]},"deletedByType":{},"cursor":"c","revokedScopes":[]}`) });
	const store = await openStore({ client: server.client(), storage: new MemoryStorage() });
	await store.sync();
	await store.put('project', { id: 'a', fa: [NaN] });
	await store.sync();
	await store.put('project', { id: 'b', f: -Infinity, fa: [NaN, -0, 1, null], n: -0, j: [-0] });
	await store.sync();
	const sent = server.calls('/sync/push').map(({ body }) => body.changes[0]);
	assert.deepEqual(sent[0].data, { id: 'a', f: '-0', fa: ['NaN'], r: [['NaN', '-0'], [1, 2]], n: 0, j: 0 });
	assert.deepEqual(sent[0].changedFields, ['fa']);
	assert.deepEqual(sent[1].data, { id: 'b', f: '-Infinity', fa: ['NaN', '-0', 1, null], n: 0, j: [0] });
});

test('a row that is deleted and made anew has nothing of the deleted one', async () => {
	const { project } = SCHEMA.entityTypes;
	const more = { kind: { default: true }, fixed: { nullable: false }, made: { writable: false } };
	const columns = [...project.columns, ...Object.entries(more).map(([name, given]) =>
		({ name, type: 'text', nullable: true, writable: true, default: false, ...given }))];
	for (const conflict of ['last_write_wins', 'merge']) {
		const server = new FakeServer({ '/sync/schema': () => ({ protocol: 1, entityTypes: { project: { ...project, columns, conflict } } }), '/sync/push': applied,
			'/sync/pull': ({ query }) => page({ cursor: 'c', changesByType: query.since ? {} : { project: [
				{ id: 'a', team: 'red', name: 'of the deleted', kind: 'k', fixed: 'f', made: 'm', at: '2026-01-01T00:00:00Z', by: null }] } }) });
		const store = await openStore({ client: server.client(), storage: new MemoryStorage() });
		await store.sync();
		await store.delete('project', 'a');
		await store.put('project', { id: 'a', kind: 'mine' });
		await store.put('project', { id: 'a', fixed: 'mine' });
		assert.equal((await store.get('project', 'a')).name, null);
		await store.sync();
		const [{ data, changedFields, base }] = server.calls('/sync/push')[0].body.changes;
		assert.deepEqual(data, { id: 'a', name: null, kind: 'mine', fixed: 'mine' });
		assert.equal(base, '2026-01-01T00:00:00Z');
		if (conflict === 'merge')
			assert.deepEqual(changedFields.sort(), ['fixed', 'kind', 'name']);
	}
});

test('a 410: everything is pulled first, then the edits go', async () => {
	let expired = true;
	const server = new FakeServer({
		'/sync/pull': ({ query }) => page({ cursor: query.since ?? 'c' }),
		'/sync/push': (call) => {
			if (!expired)
				return applied(call);
			expired = false;
			return json(410, { error: { code: 'resync_required', message: 'away for too long' } });
		},
	});
	const store = await openStore({ client: server.client(), storage: new MemoryStorage(), retry: { base: 1 }, live: false });
	await store.sync();
	await store.put('task', { title: 'x' });
	store.start();
	await waitFor('it is sent again', () => server.calls('/sync/push').length === 2);
	await waitFor('it is synced', () => store.status.value.state === 'synced' && store.status.value.pending === 0);
	const paths = server.asked.map(({ path }) => path).filter((path) => path !== '/sync/schema');
	assert.deepEqual(paths.slice(paths.indexOf('/sync/push')), ['/sync/push', '/sync/pull', '/sync/push', '/sync/pull']);
	await store.close();
});

test('IndexedDB: a connection that the browser took away is made again', async () => {
	const indexedDB = new IDBFactory(), opened = [];
	const open = indexedDB.open.bind(indexedDB);
	indexedDB.open = (...given) => {
		const request = open(...given);
		opened.push(request);
		return request;
	};
	const storage = new IndexedDbStorage('t', { indexedDB, IDBKeyRange });
	const write = (key) => storage.transaction('readwrite', (tx) => tx.put({ type: 'a', key }));
	await Promise.all([write('1'), write('2')]);
	assert.equal(opened.length, 1, 'one connection');
	opened[0].result.close(); // without a word
	await write('3');
	opened[1].result.onclose();
	await write('4');
	assert.equal(opened.length, 3);
	await storage.transaction('readonly', async (tx) => assert.equal((await tx.all()).length, 4));

	await storage.close();
	await assert.rejects(write('5'), /closed/);
	const request = indexedDB.deleteDatabase('t');
	await new Promise((resolve, reject) => {
		request.onsuccess = resolve;
		request.onblocked = () => reject(new Error('a connection is open still'));
	});
});

test('IndexedDB: why a transaction was undone is said', async () => {
	const indexedDB = new IDBFactory();
	const storage = new IndexedDbStorage('t', { indexedDB, IDBKeyRange });
	let begun;
	const { open } = indexedDB;
	indexedDB.open = (...given) => {
		const request = open.apply(indexedDB, given);
		request.addEventListener('success', () => {
			const { transaction } = request.result;
			request.result.transaction = (...more) => (begun = transaction.apply(request.result, more));
		});
		return request;
	};
	for (const reads of [false, true]) {
		await assert.rejects(storage.transaction('readwrite', async (tx) => {
			await tx.get('a', '1');
			begun._abort('QuotaExceededError'); // as the browser does when the disk is full
			if (reads)
				await tx.get('a', '1');
		}), { name: 'QuotaExceededError' });
	}
});
