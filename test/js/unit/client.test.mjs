import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryStorage, parseJson, TideClient, TideError, TideSession } from 'pg-tide';

import { FakeServer, json } from '../lib/fake.mjs';

const unauthorized = () => json(401, { error: { code: 'unauthorized', message: 'expired' } });

test('ten calls with an expired token make one refresh, and all succeed', async () => {
	let refreshes = 0;
	const server = new FakeServer({ '/sync/scopes': ({ token }) => token === 'new' ? { scopes: [] } : unauthorized() });
	const client = server.client({ token: 'old', refresh: async () => {
		refreshes++;
		await new Promise((resolve) => setTimeout(resolve, 10));
		return 'new';
	} });
	const replies = await Promise.all(Array.from({ length: 10 }, () => client.call('GET', '/sync/scopes')));
	assert.equal(replies.length, 10);
	assert.equal(refreshes, 1);
});

test('a token that somebody else refreshed is taken, without a refresh of our own', async () => {
	let token = 'old';
	const server = new FakeServer({ '/sync/scopes': ({ token: sent }) => {
		if (sent === 'new')
			return { scopes: [] };
		token = 'new'; // another tab was faster
		return unauthorized();
	} });
	const client = server.client({ token: () => token, refresh: () => assert.fail('a second refresh') });
	await client.call('GET', '/sync/scopes');
});

test('no refresh, or one that says no: signed out, after one try', async () => {
	for (const refresh of [undefined, () => null, () => 'worse']) {
		const server = new FakeServer({ '/sync/scopes': unauthorized });
		await assert.rejects(server.client({ refresh }).call('GET', '/sync/scopes'),
			({ kind, code }) => kind === 'signed_out' && code === 'unauthorized');
		assert.ok(server.asked.length <= 2);
	}
});

test('a refresh that gets no answer is no logout', async () => {
	const server = new FakeServer({ '/sync/scopes': unauthorized });
	const refresh = () => { throw new TideError('offline', 'offline', 'no'); };
	await assert.rejects(server.client({ refresh }).call('GET', '/sync/scopes'), { kind: 'offline' });
});

test('a token that could not be had, since the login service does not answer, is no fault of the app\'s', async () => {
	const fails = () => { throw new TypeError('fetch failed'); };
	const server = new FakeServer({ '/sync/scopes': unauthorized });
	for (const more of [{ token: fails }, { token: async () => fails() }, { refresh: fails }])
		await assert.rejects(server.client(more).call('GET', '/sync/scopes'), ({ kind, message, cause }) =>
			kind === 'offline' && /fetch failed/.test(message) && cause instanceof TypeError);
});

test('a reply that does not end is none, and is given up', { timeout: 60000 }, async () => {
	const piece = new Uint8Array(8 * 1024 * 1024).fill(32);
	let pieces = 0, isCancelled = false;
	const server = new FakeServer({ '/sync/pull': () => new Response(new ReadableStream({
		pull: (controller) => { pieces++; controller.enqueue(piece); },
		cancel: () => { isCancelled = true; },
	})) });
	await assert.rejects(server.client().call('GET', '/sync/pull'), ({ kind, cause }) => kind === 'offline' && /too large/.test(cause.message));
	assert.ok(pieces > 15 && pieces < 20 && isCancelled);
});

test('errors are told apart by what to do next', async () => {
	const kinds = { 400: 'refused', 403: 'refused', 404: 'refused', 408: 'busy', 409: 'refused', 410: 'resync',
		413: 'too_large', 429: 'busy', 500: 'busy', 502: 'busy', 503: 'busy' };
	for (const [status, kind] of Object.entries(kinds)) {
		const server = new FakeServer({ '/sync/pull': () =>
			json(Number(status), { error: { code: 'a_code', message: 'a message', hint: 'a hint' } }, { 'Retry-After': '7' }) });
		await assert.rejects(server.client().call('GET', '/sync/pull'), (error) => {
			assert.equal(error.kind, kind);
			assert.deepEqual([error.code, error.message, error.hint, error.retryAfter], ['a_code', 'a message', 'a hint', 7000]);
			assert.equal(error.transient, kind === 'busy');
			return true;
		});
	}
});

test('a page of the hotel\'s, an answer that was cut: as good as none', async () => {
	for (const text of ['<html>Welcome to our WiFi', '{"changesByType": {"task": [{"id"']) {
		const server = new FakeServer({ '/sync/pull': () => new Response(text) });
		await assert.rejects(server.client().call('GET', '/sync/pull'), { kind: 'offline' });
	}
	const server = new FakeServer({ '/sync/pull': () => new Response('<html>Bad gateway', { status: 502 }) });
	await assert.rejects(server.client().call('GET', '/sync/pull'), { kind: 'busy' });
});

test('a call takes no longer than its time, and ends with its signal', async () => {
	const never = ({ signal }) => new Promise((_, reject) =>
		signal.addEventListener('abort', () => reject(signal.reason)));
	const server = new FakeServer({ '/sync/pull': never });
	await assert.rejects(server.client({ timeout: 20 }).call('GET', '/sync/pull'), { kind: 'offline' });
	const stop = new AbortController();
	const call = server.client().call('GET', '/sync/pull', { signal: stop.signal });
	setTimeout(() => stop.abort(), 5);
	await assert.rejects(call, { kind: 'aborted' });
});

test('numbers that a double cannot hold are strings of their digits', () => {
	const text = '{"big": 9007199254740993, "id": -12345678901234567890, "safe": 9007199254740991, "n": 0.1234567890123456789,'
		+ ' "money": 68.40, "f": 0.12345678901234568, "e": 1e300, "zeros": 12.30000000000000000,'
		+ ' "text": "say \\"9007199254740993\\" 1.00000000000000001", "list": [1, 123456789012345678]}';
	assert.deepEqual(parseJson(text), {
		big: '9007199254740993', id: '-12345678901234567890', safe: 9007199254740991, n: '0.1234567890123456789',
		money: 68.4, f: 0.12345678901234568, e: 1e300, zeros: 12.3,
		text: 'say "9007199254740993" 1.00000000000000001', list: [1, '123456789012345678'] });
});

test('a text of millions of letters beside a long number is read', () => {
	for (const letter of ['x', '\n', '7', '\\'])
		assert.equal(parseJson(JSON.stringify({ text: letter.repeat(1 << 24) }).replace('}', ',"n":12345678901234567890}')).n, '12345678901234567890');
});

test('a number of PostgreSQL\'s longest is read at once', { timeout: 5000 }, () => {
	const digits = '1' + '0'.repeat(131000) + '.5';
	assert.equal(parseJson(`{"n": ${digits}}`).n, digits);
});

test('powers beyond a double, as json may have them, are strings of their digits', () => {
	assert.deepEqual(parseJson('[1e400, -1E-400, 12345678901234567890e0, 1.2345678901234567e+300, 5e-324, "1e400", [1e999]]'),
		['1e400', '-1E-400', '12345678901234567890e0', 1.2345678901234567e+300, 5e-324, '1e400', ['1e999']]);
});

test('a session logs in, refreshes, and logs out', async () => {
	const kept = new Map();
	const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value),
		removeItem: (name) => kept.delete(name) };
	const server = new FakeServer({
		'/auth/login': ({ body }) => body.password === 'right' ? { token: 't1', refreshToken: 'r1', userId: 'u' }
			: json(401, { error: { code: 'invalid_credentials', message: 'wrong' } }),
		'/auth/refresh': ({ body }) => body.refreshToken === 'r1' ? { token: 't2', refreshToken: 'r2', userId: 'u' }
			: json(400, { error: { code: 'invalid_grant', message: 'used' } }),
		'/auth/logout': () => ({}),
	});
	const session = new TideSession({ url: 'http://server.test', storage, fetch: server.fetch });
	await assert.rejects(session.login('ana', 'wrong'), { code: 'invalid_credentials', kind: 'refused' });
	assert.equal(session.token(), null);
	await session.login('ana', 'right');
	assert.equal(session.token(), 't1');
	assert.equal(await session.refresh(), 't2');
	assert.equal(await session.refresh(), null, 'a refresh token that is no good any more');
	assert.equal(session.token(), 't2');
	await session.logout();
	assert.equal(session.current, null);
	assert.ok(new MemoryStorage());
	assert.ok(new TideClient({ url: 'http://server.test', session }));
});

/* A session that is logged in, and what answers its refresh. */
async function loggedIn(refresh, more = {}) {
	const server = new FakeServer({
		'/auth/login': ({ body }) => ({ token: `t ${body.username}`, refreshToken: `r ${body.username}`, userId: body.username }),
		'/auth/refresh': refresh, '/auth/logout': () => ({}) });
	const kept = new Map();
	const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value),
		removeItem: (name) => kept.delete(name) };
	const session = new TideSession({ url: 'http://server.test', storage, fetch: server.fetch, ...more });
	await session.login('ana', 'x');
	return { session, server };
}

test('a logout, or another login, stands against a refresh that was on its way', async () => {
	let answer;
	const refresh = () => new Promise((resolve) => {
		answer = () => resolve({ token: 'fresh', refreshToken: 'r2', userId: 'ana' });
	});
	const { session } = await loggedIn(refresh);
	let fresh = session.refresh();
	await session.logout();
	answer();
	assert.deepEqual([await fresh, session.current], [null, null]);

	await session.login('ana', 'x');
	fresh = session.refresh();
	await session.login('ben', 'x');
	answer();
	assert.deepEqual([await fresh, session.current.userId], ['t ben', 'ben']);
});

test('a refresh whose token another tab has just used: its tokens are taken', async () => {
	const { session } = await loggedIn(async () => {
		await session.login('ana2', 'x');
		return json(400, { error: { code: 'invalid_grant', message: 'used' } });
	});
	assert.equal(await session.refresh(), 't ana2');
});

test('a refresh that is answered by somebody else keeps the tokens, and is no logout', async () => {
	for (const [answer, kind] of [[new Response('<html>Welcome'), 'offline'], [json(200, {}), 'offline'],
		[json(200, null), 'offline'], [new Response('<html>Bad gateway', { status: 502 }), 'busy']]) {
		const { session } = await loggedIn(() => answer);
		await assert.rejects(session.refresh(), { kind });
		assert.equal(session.current.refreshToken, 'r ana');
	}
});

test('a refresh takes no longer than its time', async () => {
	const { session } = await loggedIn(({ signal }) => new Promise((_, reject) =>
		signal.addEventListener('abort', () => reject(signal.reason))), { timeout: 20 });
	await assert.rejects(session.refresh(), { kind: 'offline' });
});

test('a refresh that never ends keeps no call, nor the end of one', async () => {
	const server = new FakeServer({ '/sync/pull': unauthorized });
	let refreshes = 0;
	const refresh = () => {
		refreshes++;
		return new Promise(() => {});
	};
	const client = server.client({ timeout: 20, refresh });
	for (let n = 0; n < 2; n++)
		await assert.rejects(client.call('GET', '/sync/pull'), { kind: 'offline' });
	const stop = new AbortController();
	const call = client.call('GET', '/sync/pull', { signal: stop.signal, timeout: 30000 });
	setTimeout(() => stop.abort(), 5);
	await assert.rejects(call, { kind: 'aborted' });
	assert.equal(refreshes, 1, 'still one at a time');
});

/* A reply that comes piece by piece, and an end of it that never comes. */
function slowly(pieces, milliseconds, ends = true) {
	const encoder = new TextEncoder();
	return new Response(new ReadableStream({ async start(controller) {
		for (const piece of pieces) {
			await new Promise((resolve) => setTimeout(resolve, milliseconds));
			controller.enqueue(encoder.encode(piece));
		}
		if (ends)
			controller.close();
	} }));
}

test('a slow link is none that is dead: the time is that of silence', async () => {
	const text = JSON.stringify({ scopes: ['ä'.repeat(5), 'b'] });
	const server = new FakeServer({ '/sync/scopes': () => slowly(text.split(''), 10) });
	assert.deepEqual(await server.client({ timeout: 150 }).call('GET', '/sync/scopes'), JSON.parse(text));
	server.answers['/sync/scopes'] = () => slowly(['{"scopes"'], 1, false);
	await assert.rejects(server.client({ timeout: 50 }).call('GET', '/sync/scopes'), { kind: 'offline' });
});

test('a long push has the time that a slow link takes for it', async () => {
	const server = new FakeServer({ '/sync/push': ({ signal }) => new Promise((resolve, reject) => {
		signal.addEventListener('abort', () => reject(signal.reason));
		setTimeout(() => resolve({ succeeded: [] }), 60);
	}) });
	const client = server.client({ timeout: 10 });
	await client.call('POST', '/sync/push', { body: { changes: 'x'.repeat(4000) } });
	await assert.rejects(client.call('POST', '/sync/push', { body: { changes: 'x' } }), { kind: 'offline' });
});
