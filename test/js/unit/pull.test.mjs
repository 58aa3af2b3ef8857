import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LiveChanges, PullCollector } from 'pg-tide';

import { FakeServer, json, page, SCHEMA } from '../lib/fake.mjs';

function make(pages) {
	const server = new FakeServer({ '/sync/pull': ({ query }) => {
		const answer = pages[query.since ?? 'start'];
		return typeof answer === 'function' ? answer() : answer && page(answer);
	} });
	const collector = new PullCollector(server.client(), SCHEMA);
	return { server, pull: (since, more) => collector.collect({ since, ...more }) };
}
const keys = (set, what, type) => [...set[what].get(type)?.keys() ?? []];

test('pages are one set; what comes later about a row counts', async () => {
	const { pull } = make({
		start: { cursor: 'p1', hasMore: true, changesByType: { task: [{ id: 'a', title: 'old' }, { id: 'b' }] } },
		p1: { cursor: 'p2', changesByType: { task: [{ id: 'a', title: 'new' }] }, deletedByType: { task: [{ id: 'b' }] } },
	});
	const set = await pull(null);
	assert.equal(set.rows.get('task').get('a').title, 'new');
	assert.deepEqual([keys(set, 'rows', 'task'), keys(set, 'deleted', 'task')], [['a'], ['b']]);
	assert.ok(set.everything);
	assert.equal(set.cursor, 'p2');
});

test('a pull that broke off goes on where it was, with what it has', async () => {
	let broken = true;
	const { pull, server } = make({
		c: { cursor: 'p1', hasMore: true, changesByType: { task: [{ id: 'a' }] } },
		p1: () => broken ? undefined : page({ cursor: 'p2', changesByType: { task: [{ id: 'b' }] } }),
	});
	await assert.rejects(pull('c', { acks: ['k'] }), { kind: 'offline' });
	broken = false;
	const set = await pull('c', { acks: ['k'] });
	assert.deepEqual(keys(set, 'rows', 'task'), ['a', 'b']);
	assert.deepEqual(server.calls('/sync/pull').map(({ query }) => query.since), ['c', 'p1', 'p1']);
	assert.ok(!set.everything);
	// another question begins anew
	assert.deepEqual(keys(await pull('p1'), 'rows', 'task'), ['b']);
});

test('a reset forgets what came before it', async () => {
	const { pull } = make({
		c: { cursor: 'p1', hasMore: true, changesByType: { task: [{ id: 'a' }] } },
		p1: { cursor: 'p2', reset: true, resetReason: 'expired', changesByType: { task: [{ id: 'b' }] } },
	});
	const set = await pull('c');
	assert.deepEqual(keys(set, 'rows', 'task'), ['b']);
	assert.ok(set.everything);
	assert.equal(set.resetReason, 'expired');
});

test('a type that comes anew is all there is of it; it is named on each page until then', async () => {
	const { pull } = make({
		c: { cursor: 'p1', hasMore: true, changesByType: { task: [{ id: 'stale' }], project: [{ id: 'p' }] } },
		p1: { cursor: 'p2', hasMore: true, resetTypes: ['task'], changesByType: { task: [{ id: 'a' }] } },
		p2: { cursor: 'p3', hasMore: true, resetTypes: ['task'], changesByType: { task: [{ id: 'b' }] } },
		p3: { cursor: 'p4', revokedScopes: ['red'], unavailableTypes: ['gone'] },
	});
	const set = await pull('c');
	assert.deepEqual(keys(set, 'rows', 'task'), ['a', 'b']);
	assert.deepEqual(keys(set, 'rows', 'project'), ['p']);
	assert.deepEqual([...set.everythingOf], ['task']);
	assert.deepEqual([...set.revokedScopes], ['red']);
	assert.deepEqual(set.unavailableTypes, ['gone']);
});

test('at most 32 acks are named', async () => {
	const { pull, server } = make({ c: { cursor: 'd' } });
	await pull('c', { acks: Array.from({ length: 40 }, (_, i) => `a${i}`) });
	assert.equal(server.calls('/sync/pull')[0].query.ack.split(',').length, 32);
});

test('what is too long for an address is asked by POST', async () => {
	const since = 'c'.repeat(3000), entityTypes = ['a', 'b'];
	const server = new FakeServer({ '/sync/pull': () => page({ cursor: 'd' }),
		'/sync/events': () => json(414, { error: { code: 'uri_too_long', message: 'too long' } }) });
	await new PullCollector(server.client(), SCHEMA).collect({ since, entityTypes, acks: ['k'] });
	await new LiveChanges(server.client()).wait({ since, entityTypes });
	assert.deepEqual(server.calls('/sync/pull').map(({ query, body }) => [query, body]), [
		[{}, { since, limit: 500, entityTypes, clientId: 'me', ack: ['k'] }],
		[{}, { since, entityTypes, limit: 1, wait: 25 }]]);
});

test('each scope is a parameter of its own: it may hold commas', async () => {
	const asked = [];
	const server = new FakeServer({ '/sync/pull': () => page({ cursor: 'd' }) });
	const client = server.client({ fetch: (url, options) => {
		asked.push(new URL(url).searchParams.getAll('scope'));
		return server.fetch(url, options);
	} });
	await new PullCollector(client, SCHEMA).collect({ since: 'c', scope: ['a,b', 'c'] });
	assert.deepEqual(asked, [['a,b', 'c']]);
});
