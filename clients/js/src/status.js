import { Listeners } from './listeners.js';

/*
 * What a person wants to know about sync: one state that says it all.
 *
 *   synced      everything here is on the server, as far as is known
 *   pending     there are edits that have not been sent
 *   syncing     a pull or a push runs
 *   offline     the server does not answer; edits are kept
 *   error       something that only a person can mend; `error` says what
 *   signed_out  a login is due; edits are kept
 */
const START = Object.freeze({
	state: 'pending', pending: 0, failed: 0, lastSyncAt: null, error: null, live: false,
});

export class SyncStatus {
	#value = START;
	#listeners = new Listeners();

	/* {state, pending, failed, lastSyncAt, error: {code, message, hint} | null, live} */
	get value() {
		return this.#value;
	}

	/* Take over what is given; tells listeners if anything differs. */
	set(change) {
		const next = Object.freeze({ ...this.#value, ...change });
		const same = Object.keys(next).every((name) =>
			JSON.stringify(next[name]) === JSON.stringify(this.#value[name]));
		if (same)
			return;
		this.#value = next;
		this.#listeners.tell(next);
	}

	/* Calls the listener now and at each change; returns what stops it. */
	subscribe(listener) {
		const stop = this.#listeners.add(listener);
		listener(this.#value);
		return stop;
	}
}
