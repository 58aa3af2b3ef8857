import { LONGEST, networkDelay, pause } from './backoff.js';
import { randomId } from './keys.js';
import { calm, LiveChanges } from './live.js';
import { withLock } from './locks.js';
import { SyncStatus } from './status.js';

/* the status's error while there are edits that the server refused */
export const REFUSED = 'edits_refused';
/* A wait for the server's changes that ends sooner was none. */
const BRIEF = 1000;
/* Edits that come in quick succession are sent together. */
const GATHER = 50;

/*
 * When to sync: one at a time, at once after an edit, when the server has
 * something new, when the network comes back, when the page is looked at; and
 * after a failure, later and later.
 *
 * The database behind it gives
 *   sync(signal)   pull and push; resolves with {pending, failed, nextTryAt}
 *   cursor()       where it is in the server's changes, or null
 *   counts()       {pending, failed, lastSyncAt} as they are stored
 *   lead()         this tab is the one that syncs from now on (optional)
 *   syncAll()      sync() as another tab asks for it (optional)
 * and calls kick() after an edit.
 *
 * Of several tabs with the same name, one syncs; the others ask it to.
 */
export class SyncLoop {
	status = new SyncStatus();
	#options;
	#running = null;	// the sync that runs
	#ended = null;		// AbortController of that
	#again = false;		// another one is due after it
	#waiters = [];
	#requests = new Map();	// id => resolve: what the tab that leads was asked for
	#counting = false;	// a count runs, or the rest after it
	#countAgain = false;
	#timer = null;
	#failures = 0;
	#asked = false;		// the server said how long to wait, and that is not over
	#stopped = null;	// AbortController while started
	#leading = false;
	#channel = null;
	#live;

	constructor(options) {
		this.#options = options;
		this.status.subscribe((status) => {
			if (this.#leading)
				this.#channel?.postMessage({ tide: 'status', status });
		});
		this.#live = new LiveChanges(options.client, options);
	}

	/* Sync now and from now on. */
	start() {
		if (this.#stopped)
			return;
		this.#stopped = new AbortController();
		this.#listen();
		this.refresh();
		withLock(`tide-sync ${this.#options.name}`, () => this.#lead(), this.#stopped.signal)
			.catch((error) => {
				if (error.name !== 'AbortError' && error.kind !== 'aborted')
					this.#show(error);
			});
	}

	/* Ends what runs; resolves when it has ended. Edits stay. */
	async stop() {
		this.#stopped?.abort();
		this.#stopped = null;
		this.#ended?.abort();
		this.#notLater();
		this.#channel?.close();
		this.#channel = null;
		await this.#running?.catch(() => {});
		this.#takeRequests();
		this.#settle();
	}

	/* Another tab syncs for this one, or will. */
	get follows() {
		return this.#stopped !== null && !this.#leading;
	}

	/*
	 * Sync now. Resolves with the status when it is done, whatever came of it;
	 * in a tab that does not lead, when the one that leads is done.
	 */
	sync() {
		this.#failures = 0;
		if (this.follows)
			return new Promise((resolve) => {
				const id = randomId();
				this.#requests.set(id, resolve);
				this.#channel?.postMessage({ tide: 'sync', id });
			});
		const done = new Promise((resolve) => this.#waiters.push(resolve));
		this.#run();
		return done;
	}

	/* Something was edited here. */
	kick() {
		this.#recount();
		this.#channel?.postMessage({ tide: 'edited' });
		this.#edited();
	}

	/* Count again what waits. Never rejects: who edits does not wait for it. */
	async refresh() {
		const counts = await this.#counted();
		if (!counts)
			return;
		const { state, error } = this.status.value;
		const settled = state === 'synced' || state === 'pending' || error?.code === REFUSED;
		this.status.set({ ...counts, ...(settled ? restingState(counts) : {}) });
	}

	/*
	 * The same after edits, of which there may be thousands, each of them longer
	 * to count: it takes a tenth of the time.
	 */
	#recount() {
		this.#countAgain = true;
		if (!this.#counting)
			this.#countInTurn();
	}

	async #countInTurn() {
		this.#counting = true;
		while (this.#countAgain) {
			this.#countAgain = false;
			const startedAt = Date.now();
			await this.refresh();
			const took = Date.now() - startedAt;
			if (took > 0)
				await pause(9 * took);
		}
		this.#counting = false;
	}

	/* Tell other tabs, which read the same database. */
	announce(message) {
		this.#channel?.postMessage({ tide: 'message', message });
	}

	/* The network may be there again, or the app is looked at: sync now. */
	wake() {
		if (this.#asked)
			return;
		this.#failures = 0;
		if (this.#leading && this.status.value.state !== 'signed_out')
			this.#run();
	}

	/* A new token is there. */
	signedIn() {
		this.status.set({ state: 'pending', error: null });
		return this.sync();
	}

	/* What waits already, because the server asked for it, takes the edit along. */
	#edited() {
		if (this.#leading && !this.#asked && this.status.value.state !== 'signed_out')
			this.#later(this.#failures ? undefined : GATHER);
	}

	/* null where the storage fails, of which the sync tells */
	async #counted() {
		try {
			return await this.#options.counts();
		} catch {
			return null;
		}
	}

	async #lead() {
		const { signal } = this.#stopped ?? {};
		if (!signal || signal.aborted)
			return;
		try {
			await this.#options.lead?.();
			this.#leading = true;
			this.#takeRequests();
			this.#channel?.postMessage({ tide: 'leads' });
			this.#later(0);
			await this.#watch(signal);
		} finally {
			this.#leading = false;
			this.status.set({ live: false });
		}
	}

	/* Until stopped: hear of what changes on the server. */
	async #watch(signal) {
		let failures = 0;
		while (!signal.aborted) {
			const since = this.#options.live === false ? null : await this.#cursor();
			if (!since || this.#failures > 0 || this.status.value.state === 'signed_out') {
				await this.#nextRun(signal);
				continue;
			}
			const startedAt = Date.now();
			try {
				this.status.set({ live: true });
				const isNew = await this.#live.wait({ since, entityTypes: this.#options.entityTypes, signal });
				if (isNew)
					await this.#run();
				// an answer at once that brings nothing, from a proxy that takes no streams, say
				const isIdle = isNew ? since === await this.#cursor() : Date.now() - startedAt < BRIEF;
				failures = isIdle ? failures + 1 : 0;
				if (isIdle)
					await pause(networkDelay(failures, this.#options.retry), signal);
			} catch (error) {
				this.status.set({ live: false });
				if (signal.aborted)
					return;
				failures++;
				if (error.kind === 'offline' || error.kind === 'signed_out')
					this.#later(0); // which says so, and backs off
				await pause(error.retryAfter ?? networkDelay(failures, this.#options.retry), signal);
			}
			await calm(startedAt, signal);
		}
	}

	/* null where the storage fails, for now: the next sync may find it mended */
	async #cursor() {
		try {
			return await this.#options.cursor();
		} catch {
			return null;
		}
	}

	/* until a sync has ended, or for long enough */
	async #nextRun(signal) {
		const soon = new AbortController();
		const wake = () => soon.abort();
		signal.addEventListener('abort', wake);
		this.#waiters.push(wake);
		await pause(30000, soon.signal);
		signal.removeEventListener('abort', wake);
	}

	#later(milliseconds) {
		this.#notLater();
		// what ran while it was stopped ends without another one
		if (!this.#stopped)
			return;
		const wait = milliseconds ?? networkDelay(this.#failures, this.#options.retry);
		this.#timer = setTimeout(() => this.#run(), Math.min(wait, LONGEST));
	}

	#notLater() {
		clearTimeout(this.#timer);
		this.#timer = null;
	}

	/* One sync; one that is asked for while it runs comes after it. */
	#run() {
		if (this.#running) {
			this.#again = true;
			return this.#running;
		}
		this.#notLater();
		this.#asked = false;
		const ended = this.#ended = new AbortController();
		return this.#running = this.#once(ended.signal).finally(() => {
			this.#running = null;
			const again = this.#again && !ended.signal.aborted;
			this.#again = false;
			if (again) {
				this.#run();
				return;
			}
			this.#settle();
		});
	}

	async #once(signal) {
		// a try while offline is no news
		if (this.#failures === 0)
			this.status.set({ state: 'syncing' });
		try {
			const { nextTryAt } = await this.#options.sync(signal);
			this.#failures = 0;
			const counts = await this.#options.counts();
			this.status.set({ ...counts, ...restingState(counts) });
			// an edit made meanwhile is due before that
			if (nextTryAt && this.#leading && this.#timer === null)
				this.#later(Math.max(nextTryAt - Date.now(), 0));
		} catch (error) {
			await this.#failed(error);
		}
	}

	async #failed(error) {
		if (error.kind === 'aborted') {
			await this.refresh();
			return;
		}
		this.#show(error, await this.#counted());
		if (error.kind === 'signed_out' || !this.#leading)
			return;
		this.#failures++;
		// what a person has to mend is looked at again, but seldom
		const wait = error.transient || error.kind === 'resync' ? undefined : 60000;
		this.#asked = error.retryAfter !== undefined;
		this.#later(error.retryAfter ?? wait);
	}

	#show(error, counts) {
		const { name, message, hint } = error;
		// those of the browser's have a number for it, which says nothing
		const code = typeof error.code === 'number' ? name : error.code ?? 'internal';
		const state = error.kind === 'signed_out' ? 'signed_out'
			: error.transient ? 'offline' : 'error';
		this.status.set({ ...counts, state, error: { code, message, hint } });
	}

	#settle() {
		for (const resolve of this.#waiters.splice(0))
			resolve(this.status.value);
		this.#channel?.postMessage({ tide: 'status', status: this.status.value });
	}

	/* What another tab was asked for is this one's to do. */
	#takeRequests() {
		this.#waiters.push(...this.#requests.values());
		this.#requests.clear();
	}

	/* A tab that follows waits for this. */
	async #answer(id) {
		const status = await (this.#options.syncAll ?? (() => this.sync()))();
		this.#channel?.postMessage({ tide: 'done', id, status });
	}

	/* other tabs, the network, the page's visibility */
	#listen() {
		const { signal } = this.#stopped;
		if (typeof BroadcastChannel !== 'undefined') {
			this.#channel = new BroadcastChannel(`tide ${this.#options.name}`);
			this.#channel.unref?.();
			this.#channel.onmessage = ({ data }) => this.#heard(data);
		}
		const on = (target, name, action) => target?.addEventListener?.(name, action, { signal });
		on(globalThis, 'online', () => this.wake());
		on(globalThis.document, 'visibilitychange', () => this.wake());
	}

	#heard({ tide, id, status, message }) {
		if (tide === 'message') {
			this.#options.heard?.(message);
		} else if (tide === 'edited') {
			this.#recount();
			this.#edited();
		} else if (tide === 'sync' && this.#leading) {
			this.#answer(id).catch(() => {});
		} else if (tide === 'status' && !this.#leading) {
			this.status.set(status);
		} else if (tide === 'done' && this.#requests.has(id)) {
			this.status.set(status);
			this.#requests.get(id)(status);
			this.#requests.delete(id);
		} else if (tide === 'leads') {
			for (const waiting of this.#requests.keys())
				this.#channel?.postMessage({ tide: 'sync', id: waiting });
		}
	}
}

/* The state while nothing runs and nothing is wrong with the network. */
function restingState({ pending, failed, lastSyncAt }) {
	if (failed > 0)
		return { state: 'error', error: { code: REFUSED,
			message: failed === 1 ? 'the server refused an edit' : `the server refused ${failed} edits` } };
	return { state: pending > 0 || !lastSyncAt ? 'pending' : 'synced', error: null };
}
