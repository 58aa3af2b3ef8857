import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isAfter, keyText, LiveChanges, networkDelay, nextStamp, rowDelay } from 'pg-tide';

import { FakeServer, json, page } from '../lib/fake.mjs';

test('the network is tried after 1, 2, 4, 8, 16 s, with full jitter', () => {
	const most = (failures) => networkDelay(failures, { random: () => 1 });
	assert.deepEqual([1, 2, 3, 4, 5, 6, 100].map(most), [1000, 2000, 4000, 8000, 16000, 16000, 16000]);
	assert.equal(networkDelay(5, { random: () => 0 }), 0);
	assert.equal(networkDelay(5, { random: () => 0.5 }), 8000);
});

test('a refused change is tried after 30 s, 60 s, 2, 4, 8 min', () => {
	assert.deepEqual([1, 2, 3, 4, 5].map((tries) => rowDelay(tries)), [30000, 60000, 120000, 240000, 480000]);
});

test('stamps never go back behind what their user saw', () => {
	const now = Date.parse('2026-01-01T00:00:00.000Z');
	assert.equal(nextStamp([null, undefined], now), '2026-01-01T00:00:00.000Z');
	assert.equal(nextStamp(['2026-01-01T00:00:00.000999Z'], now), '2026-01-01T00:00:00.001Z');
	assert.equal(nextStamp(['2027-05-05T00:00:00.5Z', now], now), '2027-05-05T00:00:00.501Z');
	assert.ok(isAfter('2026-01-01T00:00:00.000002Z', '2026-01-01T00:00:00.000001Z'));
	assert.ok(!isAfter('2026-01-01T00:00:00.1Z', '2026-01-01T00:00:00.100Z'));
	assert.ok(isAfter(2, 1));
});

test('keys are text: uuids in lower case, several columns as a list', () => {
	assert.equal(keyText(['id'], { id: 'AAAAAAAA-2222-4333-8444-555555555555' }), 'aaaaaaaa-2222-4333-8444-555555555555');
	assert.equal(keyText(['id'], { id: 7 }), '7');
	assert.notEqual(keyText(['a', 'b'], { a: 'x,y', b: 'z' }), keyText(['a', 'b'], { a: 'x', b: 'y,z' }));
});

function stream(...pieces) {
	const encoder = new TextEncoder();
	return new Response(new ReadableStream({ start(controller) {
		pieces.forEach((piece) => controller.enqueue(encoder.encode(piece)));
		controller.close();
	} }), { headers: { 'Content-Type': 'text/event-stream' } });
}

test('an event, in however many pieces, is a change; a comment is none', async () => {
	const cases = [
		[['event: change\ndata: {"entityTypes": ["task"]}\n\n'], true],
		[[': still here\n\n', 'event: cha', 'nge\r\nda', 'ta: {}\r\n\r\n'], true],
		[[': still here\n\n', ': still here\n\n'], false],
		[['event: change\ndata: {'], false],
	];
	for (const [pieces, expected] of cases) {
		const server = new FakeServer({ '/sync/events': () => stream(...pieces) });
		assert.equal(await new LiveChanges(server.client()).wait({ since: 'c' }), expected, JSON.stringify(pieces));
		assert.equal(server.calls('/sync/events')[0].query.since, 'c');
	}
});

test('a line of a stream that does not end is no stream of events', async () => {
	const server = new FakeServer({ '/sync/events': () => stream(...Array.from({ length: 20 }, () => ' '.repeat(10000))) });
	await assert.rejects(new LiveChanges(server.client()).wait({ since: 'c' }), { kind: 'offline', message: /no stream of events/ });
});

test('where there are no events: one long poll, of all types', async () => {
	let answer = page();
	const server = new FakeServer({ '/sync/pull': () => answer });
	const live = new LiveChanges(server.client(), { pollSeconds: 9 });
	assert.equal(await live.wait({ since: 'c', entityTypes: ['a', 'b'] }), false);
	const [{ query }] = server.calls('/sync/pull');
	assert.deepEqual([query.wait, query.entityTypes, query.limit], ['9', 'a,b', '1']);
	for (const something of [{ changesByType: { task: [{}] } }, { deletedByType: { task: [{}] } }, { reset: true },
		{ revokedScopes: ['x'] }, { resetTypes: ['task'] }, { hasMore: true }]) {
		answer = page(something);
		assert.equal(await live.wait({ since: 'c' }), true, JSON.stringify(something));
	}
	// it is asked for events no more
	assert.equal(server.calls('/sync/events').length, 1);
});

test('a fetch that has no streams, as React Native\'s: the long poll', async () => {
	const server = new FakeServer({ '/sync/events': () => new Response(null), '/sync/pull': () => page({ hasMore: true }) });
	assert.equal(await new LiveChanges(server.client()).wait({ since: 'c' }), true);
	assert.equal(server.calls('/sync/pull').length, 1);
});

test('what else goes wrong with events is no reason to poll', async () => {
	for (const [status, kind] of [[503, 'busy'], [401, 'signed_out']]) {
		const server = new FakeServer({ '/sync/events': () => json(status, { error: { code: 'x', message: 'x' } }) });
		await assert.rejects(new LiveChanges(server.client()).wait({ since: 'c' }), { kind });
		assert.equal(server.calls('/sync/pull').length, 0);
	}
});
