import assert from 'node:assert/strict';
import { test } from 'node:test';

import { pushChanges } from 'pg-tide';

import { applied, FakeServer, json, SCHEMA } from '../lib/fake.mjs';

const stamp = '2026-01-01T00:00:00.000Z';
const change = (type, id, more = {}) => ({ type, action: 'upsert', row: { id, title: `title ${id}` }, stamp, ...more });
const sent = (server) => server.calls('/sync/push').map(({ body }) => body.changes.map(({ entityId }) => entityId));

test('changes of all types are one push, and verdicts come in their order', async () => {
	const server = new FakeServer({ '/sync/push': applied });
	const { results, acks } = await pushChanges(server.client(), SCHEMA,
		[change('task', 1), change('project', 2), change('task', 3)], { cursor: 'c' });
	assert.equal(server.calls('/sync/push').length, 1);
	assert.deepEqual(results.map(({ entity }) => entity.id), [1, 2, 3]);
	assert.deepEqual(acks, ['ack3']);
	assert.equal(server.calls('/sync/push')[0].body.cursor, 'c');
	assert.equal(server.calls('/sync/push')[0].body.clientId, 'me');
});

test('parted at a number of changes: parents first, their deletion last', async () => {
	const server = new FakeServer({ '/sync/push': applied });
	await pushChanges(server.client(), SCHEMA, [
		change('task', 'child'), change('project', 'old parent', { action: 'delete' }),
		change('task', 'old child', { action: 'delete' }), change('project', 'parent')], { maxChanges: 1 });
	assert.deepEqual(sent(server), [['parent'], ['child'], ['old child'], ['old parent']]);
});

test('parted at a number of bytes', async () => {
	const server = new FakeServer({ '/sync/push': applied });
	const long = 'x'.repeat(1000);
	const { results } = await pushChanges(server.client(), SCHEMA,
		[1, 2, 3, 4].map((id) => change('task', id, { row: { id, title: long } })), { maxBytes: 2500 });
	assert.deepEqual(sent(server), [[1, 2], [3, 4]]);
	assert.deepEqual(results.map(({ status }) => status), Array(4).fill('applied'));
});

test('what the server calls too much is halved; one that is too long fails alone', async () => {
	const tooMuch = json(413, { error: { code: 'too_large', message: 'too long' } });
	const server = new FakeServer({ '/sync/push': (call) =>
		call.body.changes.length > 2 || call.body.changes.some(({ entityId }) => entityId === 'huge')
			? tooMuch.clone() : applied(call) });
	const { results } = await pushChanges(server.client(), SCHEMA,
		['a', 'b', 'huge', 'c', 'd'].map((id) => change('task', id)));
	assert.deepEqual(results.map(({ status }) => status), ['applied', 'applied', 'failed', 'applied', 'applied']);
	assert.equal(results[2].code, 'too_large');
});

test('base, changed, and a null base are sent; undefined is not', async () => {
	const server = new FakeServer({ '/sync/push': applied });
	await pushChanges(server.client(), SCHEMA, [change('task', 1, { base: null, changed: ['title'] }), change('task', 2),
		change('task', 3, { action: 'delete', changed: ['title'] })]);
	const [one, two, three] = server.calls('/sync/push')[0].body.changes;
	assert.equal(one.base, null);
	assert.deepEqual(one.changedFields, ['title']);
	assert.ok(!('base' in two) && !('changedFields' in two));
	assert.ok(!('data' in three) && !('changedFields' in three));
});

test('an edit that lost against this device\'s own earlier edit goes again, upon that', async () => {
	const own = '2025-12-31T23:59:59.000Z';
	const stands = (by, at) => ({ '/sync/push': (call) => call.body.changes[0].base === at ? applied(call) : {
		succeeded: [{ changeId: call.body.changes[0].id, status: 'superseded', entity: { id: 1, at, by } }], failed: [] } });
	const mine = new FakeServer(stands('me', own));
	const { results } = await pushChanges(mine.client(), SCHEMA, [change('task', 1, { base: 'older' })]);
	assert.equal(results[0].status, 'applied');
	assert.equal(mine.calls('/sync/push').length, 2);

	for (const [by, at, base] of [['you', own, 'older'], ['me', '2026-02-01T00:00:00Z', 'older'], ['me', own, undefined]]) {
		const server = new FakeServer(stands(by, at));
		const reply = await pushChanges(server.client(), SCHEMA, [change('task', 1, { base })]);
		assert.equal(reply.results[0].status, 'superseded', `${by} ${at} ${base}`);
		assert.equal(server.calls('/sync/push').length, 1);
	}
});
