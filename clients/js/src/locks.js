import { TideError } from './errors.js';

/*
 * Locks between the tabs of a browser. Where there are no Web Locks (Node, old
 * browsers, an insecure origin), they hold within this JavaScript alone.
 */
const queues = new Map();

function hasWebLocks() {
	return typeof navigator !== 'undefined' && navigator.locks !== undefined;
}

/* Run the function while holding the lock; a signal ends the wait for it. */
export async function withLock(name, action, signal) {
	if (hasWebLocks())
		return navigator.locks.request(name, signal ? { signal } : {}, action);

	const before = queues.get(name) ?? Promise.resolve();
	let release;
	const held = new Promise((resolve) => { release = resolve; });
	const tail = before.then(() => held);
	queues.set(name, tail);
	// not when a wait is ended: who came before may hold the lock still
	tail.then(() => queues.get(name) === tail && queues.delete(name));
	try {
		await abortable(before, signal);
		return await action();
	} finally {
		release();
	}
}

function abortable(promise, signal) {
	if (!signal)
		return promise;
	return new Promise((resolve, reject) => {
		const stop = () => reject(new TideError('aborted', 'aborted', 'the wait for the lock was ended'));
		if (signal.aborted)
			return stop();
		signal.addEventListener('abort', stop, { once: true });
		promise.then(() => {
			signal.removeEventListener('abort', stop);
			resolve();
		});
	});
}
