/* When the loop syncs, with a database that only counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SyncLoop, TideError } from 'pg-tide';

import { FakeServer, json, page } from '../lib/fake.mjs';
import { waitFor } from '../lib/wait.mjs';

function loop(more = {}) {
	const made = { syncs: 0, pending: 0, failed: 0, cursor: 'c', fails: null };
	const server = new FakeServer({ '/sync/pull': more.pull ?? (({ signal }) => new Promise((resolve) =>
		signal.addEventListener('abort', () => resolve(undefined)))) });
	made.server = server;
	made.loop = new SyncLoop({
		client: server.client(), name: more.name ?? Math.random().toString(), retry: { base: 4 }, ...more,
		sync: async () => {
			made.syncs++;
			await more.during?.();
			if (made.fails)
				throw made.fails;
			made.pending = 0;
			return { nextTryAt: more.nextTryAt };
		},
		cursor: async () => made.cursor,
		counts: async () => ({ pending: made.pending, failed: made.failed, lastSyncAt: 1 }),
	});
	return made;
}

test('edits in quick succession are one sync; one that runs is not disturbed', async () => {
	let release;
	const made = loop({ during: () => new Promise((resolve) => { release = resolve; }) });
	made.loop.start();
	await waitFor('the first sync runs', () => made.syncs === 1);
	for (let n = 0; n < 5; n++)
		made.loop.kick();
	const all = Promise.all([made.loop.sync(), made.loop.sync()]);
	assert.equal(made.syncs, 1);
	release();
	await waitFor('one more sync runs', () => made.syncs === 2);
	release();
	await all;
	assert.equal(made.syncs, 2);
	await made.loop.stop();
});

test('an edit at the end of a sync does not wait for what the server refused', { timeout: 20000 }, async () => {
	let edits = 1;
	const made = loop({ live: false, nextTryAt: Date.now() + 60000, during: () => edits-- > 0 && made.loop.kick() });
	made.loop.start();
	await waitFor('the edit is sent', () => made.syncs === 2, 5).finally(() => made.loop.stop());
});

test('offline: it goes on trying, says so, and is there again', async () => {
	const made = loop();
	made.fails = new TideError('offline', 'offline', 'no answer');
	const states = [];
	made.loop.status.subscribe(({ state }) => states.push(state));
	made.loop.start();
	await waitFor('some tries', () => made.syncs >= 4);
	assert.equal(made.loop.status.value.state, 'offline');
	made.fails = null;
	await waitFor('it is synced', () => made.loop.status.value.state === 'synced');
	assert.equal(states.filter((state) => state === 'syncing').length, 1, 'tries while offline are no news');
	assert.equal(made.loop.status.value.error, null);
	await made.loop.stop();
});

test('what the server says to wait is waited', async () => {
	const made = loop();
	made.fails = new TideError('busy', 'try_again', 'later', { retryAfter: 60000 });
	made.loop.start();
	await waitFor('it failed', () => made.loop.status.value.state === 'offline');
	assert.equal(made.syncs, 1);
	// but a person need not wait
	made.fails = null;
	assert.equal((await made.loop.sync()).state, 'synced');
	await made.loop.stop();
});

test('and no longer than that', async () => {
	const made = loop({ retry: { base: 3600000, random: () => 1 } });
	made.fails = new TideError('busy', 'try_again', 'later', { retryAfter: 5 });
	made.loop.start();
	await waitFor('it is tried again', () => made.syncs > 1);
	await made.loop.stop();
});

test('signed out: nothing is tried until there is a new token', async () => {
	const made = loop();
	made.fails = new TideError('signed_out', 'unauthorized', 'expired');
	made.loop.start();
	await waitFor('it says so', () => made.loop.status.value.state === 'signed_out');
	made.loop.kick();
	made.fails = null;
	assert.equal(made.syncs, 1);
	assert.equal((await made.loop.signedIn()).state, 'synced');
	await made.loop.stop();
});

test('a change on the server starts a sync', async () => {
	let something = false;
	const made = loop({ pull: async () => {
		if (!something)
			await waitFor('something', () => something);
		something = false;
		return page({ hasMore: true });
	} });
	made.loop.start();
	await waitFor('it listens', () => made.loop.status.value.live && made.syncs === 1);
	something = true;
	await waitFor('it syncs', () => made.syncs === 2);
	await made.loop.stop();
});

test('of two with one name, one syncs, and the other one goes on when it ends', async () => {
	const name = 'two tabs';
	const first = loop({ name }), second = loop({ name });
	first.loop.start();
	await waitFor('the first one leads', () => first.syncs > 0);
	second.loop.start();
	second.loop.kick();
	await waitFor('the first one syncs for both', () => first.syncs === 2);
	assert.equal((await second.loop.sync()).state, 'synced');
	assert.equal(second.syncs, 0);
	await first.loop.stop();
	await waitFor('the second one leads', () => second.syncs > 0);
	await second.loop.stop();
});

test('sync() in a tab that follows ends when a sync has, that began after it', async () => {
	const name = 'the tab that follows waits';
	let release = () => {};
	const first = loop({ name, during: () => new Promise((resolve) => { release = resolve; }) });
	const second = loop({ name }), third = loop({ name });
	first.loop.start();
	await waitFor('the first one leads', () => first.syncs === 1);
	second.loop.start();
	third.loop.start();
	// while one runs, an edit and what it says of itself are no end
	let ended = 0;
	second.loop.kick();
	const done = second.loop.sync().then(() => { ended++; });
	third.loop.sync().then(() => { ended++; });
	first.pending = 1;
	await first.loop.refresh();
	await new Promise((resolve) => setTimeout(resolve, 50));
	release();
	await waitFor('another one runs', () => first.syncs === 2);
	assert.equal(ended, 0);
	release();
	await done;
	await waitFor('the third one hears, too', () => ended === 2);
	// who takes over does what was asked for
	const left = third.loop.sync();
	await waitFor('one more runs', () => first.syncs === 3);
	const stopped = first.loop.stop();
	release();
	await stopped;
	assert.equal((await left).state, 'synced');
	await second.loop.stop();
	await third.loop.stop();
});

test('counting what waits takes no more than a part of the time, however many edits there are', async () => {
	let counts = 0;
	const made = loop();
	const slow = new SyncLoop({ client: made.server.client(), name: 'counts', live: false, sync: async () => ({}), cursor: async () => 'c',
		counts: async () => {
			counts++;
			await new Promise((resolve) => setTimeout(resolve, 20));
			return { pending: counts, failed: 0, lastSyncAt: 1 };
		} });
	const startedAt = Date.now();
	for (let n = 0; n < 100; n++) {
		slow.kick();
		await new Promise((resolve) => setTimeout(resolve, 2));
	}
	assert.ok(counts <= 2 + (Date.now() - startedAt) / 100, `${counts} counts`);
	await waitFor('the last edit is counted', () => slow.status.value.pending === counts && counts >= 2);
});

test('refused edits are an error that says how many', async () => {
	const made = loop();
	made.failed = 2;
	const { state, error } = await made.loop.sync();
	assert.deepEqual([state, error.message], ['error', 'the server refused 2 edits']);
	made.failed = 0;
	await made.loop.refresh();
	assert.equal(made.loop.status.value.state, 'synced');
});

test('a third one does not lead because a second one gave up waiting', async () => {
	const name = 'three tabs';
	const [first, second, third] = [1, 2, 3].map(() => loop({ name }));
	first.loop.start();
	await waitFor('the first one leads', () => first.syncs > 0);
	second.loop.start();
	await second.loop.stop();
	third.loop.start();
	assert.equal((await third.loop.sync()).state, 'synced');
	assert.deepEqual([first.syncs, third.syncs], [2, 0]);
	await first.loop.stop();
	await third.loop.stop();
});

test('stopped is stopped: no other sync comes after the one that ran, nor in time', async () => {
	let release;
	const made = loop({ live: false, during: () => new Promise((resolve) => { release = resolve; }) });
	made.loop.start();
	await waitFor('the first sync runs', () => made.syncs === 1);
	made.loop.wake();
	const stopped = made.loop.stop();
	release();
	await stopped;
	await new Promise((resolve) => setTimeout(resolve, 30));
	assert.equal(made.syncs, 1);
});

test('a sync by hand is ended, too', async () => {
	const signals = [];
	const made = new SyncLoop({ client: new FakeServer().client(), name: 'by hand',
		sync: (signal) => new Promise((_, reject) => {
			signals.push(signal);
			signal.addEventListener('abort', () => reject(new TideError('aborted', 'aborted', 'ended')));
		}),
		cursor: async () => 'c', counts: async () => ({ pending: 0, failed: 0, lastSyncAt: 1 }) });
	const done = made.sync();
	await waitFor('it runs', () => signals.length === 1);
	await made.stop();
	assert.ok(signals[0].aborted);
	await done;
});

/* The storage fails so often, at what the loop asks it for. */
function failing(times, name) {
	const made = loop({ live: true, name: `failing ${name}` });
	const options = { client: made.server.client(), name: `failing ${name}`, retry: { base: 4 },
		sync: async () => { made.syncs++; return {}; }, cursor: async () => 'c',
		counts: async () => ({ pending: 0, failed: 0, lastSyncAt: 1 }) };
	const sound = options[name];
	options[name] = async () => {
		if (times-- > 0)
			throw new DOMException('the connection was lost', 'InvalidStateError');
		return sound();
	};
	made.loop = new SyncLoop(options);
	return made;
}

test('a storage that fails for a while ends nothing: it is tried again', async () => {
	const cursor = failing(1, 'cursor');
	cursor.loop.start();
	await waitFor('it is synced', () => cursor.loop.status.value.state === 'synced');
	await waitFor('it syncs', async () => (await cursor.loop.sync()).state === 'synced', 5);
	await cursor.loop.stop();

	// and an edit is not the one to hear of it: a rejection would be nobody's
	const counts = failing(4, 'counts');
	counts.loop.start();
	counts.loop.kick();
	await waitFor('it is synced', () => counts.loop.status.value.state === 'error');
	counts.loop.kick();
	assert.equal((await counts.loop.sync()).state, 'synced');
	await counts.loop.stop();
});

test('an error has a word for its code, also one of the browser\'s', async () => {
	const made = loop({ live: false });
	for (const [error, code] of [[new DOMException('the disk is full', 'QuotaExceededError'), 'QuotaExceededError'], [new TypeError('no'), 'internal']]) {
		made.fails = error;
		assert.equal((await made.loop.sync()).error.code, code);
	}
});

test('an edit, or a look at the page, does not end the wait that the server asked for', async () => {
	const made = loop({ live: false });
	made.fails = new TideError('busy', 'try_again', 'later', { retryAfter: 60000 });
	made.loop.start();
	await waitFor('it failed', () => made.loop.status.value.state === 'offline');
	made.loop.kick();
	made.loop.wake();
	await new Promise((resolve) => setTimeout(resolve, 100));
	assert.equal(made.syncs, 1);
	await made.loop.stop();
});

test('a wait that ends at once, whatever it says, is begun later and later', async () => {
	for (const hasMore of [false, true]) {
		let delays = 0;
		const made = loop({ pull: () => page({ hasMore }), retry: { base: 60000, random: () => (delays++, 1) } });
		made.loop.start();
		await waitFor('it waits longer', () => delays === 1);
		assert.ok(made.server.calls('/sync/pull').length <= 2, String(hasMore));
		await made.loop.stop();
	}
});

test('a stream that is refused for want of a login says so', async () => {
	const made = loop({ pull: () => json(401, { error: { code: 'unauthorized', message: 'expired' } }) });
	made.loop.status.subscribe(({ live }) => {
		if (live && made.syncs > 0)
			made.fails = new TideError('signed_out', 'unauthorized', 'expired');
	});
	made.loop.start();
	await waitFor('it is told', () => made.loop.status.value.state === 'signed_out');
	await made.loop.stop();
});
