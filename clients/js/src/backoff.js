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
const ROW_TRIES = 5;

/* What stays refused however often it is sent. */
const FOR_GOOD = new Set(['scope_not_allowed', 'resync_required', 'unknown_entity_type', 'too_large', '42501']);

/* Is a change that was refused with this code, after so many tries, for its user to decide? */
export function needsUser(tries, code) {
	return tries > ROW_TRIES || FOR_GOOD.has(code);
}

/* 30 s, 60 s, 2, 4, 8 min. */
export function rowDelay(tries, { base = 30000 } = {}) {
	return base * 2 ** Math.min(Math.max(tries - 1, 0), ROW_TRIES - 1);
}

/*
 * Does a refused change still wait for its next try? Not where that is further
 * away than any delay: the clock was set back meanwhile.
 */
export function stillWaits(nextTryAt, now, options) {
	return nextTryAt > now && nextTryAt - Date.now() <= rowDelay(ROW_TRIES, options);
}

/* What a timer takes at most; it takes a longer time for none at all. */
export const LONGEST = 2 ** 31 - 1;

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
		const timer = setTimeout(done, Math.min(milliseconds, LONGEST));
		signal?.addEventListener('abort', done);
	});
}
