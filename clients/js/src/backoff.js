/*
 * The two schedules: how long until the network is tried again, and until a
 * change that the server refused is.
 */

/* 1, 2, 4, 8, 16 s, then 16 s for ever, each of them with full jitter. */
export function networkDelay(failures, { base = 1000, random = Math.random } = {}) {
	const most = base * 2 ** Math.min(Math.max(failures - 1, 0), 4);
	return most * random();
}

/* Tries of a refused change before it waits for its user. */
export const ROW_TRIES = 5;

/* 30 s, 60 s, 2, 4, 8 min. */
export function rowDelay(tries, { base = 30000 } = {}) {
	return base * 2 ** Math.min(Math.max(tries - 1, 0), ROW_TRIES - 1);
}

/* Resolves after so many milliseconds, or at once when the signal says so. */
export function pause(milliseconds, signal) {
	return new Promise((resolve) => {
		if (signal?.aborted)
			return resolve();
		const done = () => {
			clearTimeout(timer);
			signal?.removeEventListener('abort', done);
			resolve();
		};
		const timer = setTimeout(done, milliseconds);
		signal?.addEventListener('abort', done);
	});
}
