import { asked } from './client.js';
import { expected, isList, isObject, TideError } from './errors.js';
import { pause } from './backoff.js';

/* How long one long poll is held, in seconds. */
export const POLL_SECONDS = 25;
/* A stream says something every 25 s; one that is silent for longer is dead. */
const SILENCE = 60000;
/* Those of a stream of events are short. */
const LONGEST_LINE = 65536;

/*
 * Waits for changes on the server, for all entity types at once: by
 * /sync/events, or by one long poll where the server has no events.
 */
export class LiveChanges {
	#client;
	#pollSeconds;
	#hasEvents = true;

	constructor(client, { pollSeconds = POLL_SECONDS } = {}) {
		this.#client = client;
		this.#pollSeconds = pollSeconds;
	}

	/*
	 * Resolves with true when a pull from the cursor would bring something,
	 * with false when it is time to ask again. Rejects with a TideError.
	 */
	async wait({ since, entityTypes, signal }) {
		if (this.#hasEvents) {
			try {
				return await this.#event({ since, entityTypes, signal });
			} catch (error) {
				// an older gateway, or a proxy that does not let streams or long addresses through
				if (![404, 405, 406, 414, 431].includes(error.status))
					throw error;
				this.#hasEvents = false;
			}
		}
		return this.#poll({ since, entityTypes, signal });
	}

	async #event({ since, entityTypes, signal }) {
		const silent = new AbortController();
		const stop = () => silent.abort();
		let timer = setTimeout(stop, SILENCE);
		signal?.addEventListener('abort', stop);
		try {
			const stream = await this.#client.open('/sync/events', {
				query: { since, entityTypes },
				signal: silent.signal,
				accept: 'text/event-stream',
			});
			let text = '', isChange = false;
			for await (const piece of stream) {
				clearTimeout(timer);
				timer = setTimeout(stop, SILENCE);
				const lines = (text + piece).split(/\r?\n/);
				text = lines.pop();
				if (text.length > LONGEST_LINE)
					throw new TideError('offline', 'offline', 'what came is no stream of events');
				for (const line of lines) {
					// an empty one ends an event
					if (line === '' && isChange)
						return true;
					isChange ||= /^event: *change$/.test(line);
				}
			}
			return false;
		} catch (error) {
			// silence ends one stream, and the next one is opened
			if (error.kind === 'aborted' && !signal?.aborted)
				return false;
			throw error;
		} finally {
			clearTimeout(timer);
			signal?.removeEventListener('abort', stop);
			silent.abort();
		}
	}

	async #poll({ since, entityTypes, signal }) {
		const [method, what] = asked({ since, entityTypes, limit: 1, wait: this.#pollSeconds });
		const page = await this.#client.call(method, '/sync/pull', {
			signal, timeout: (this.#pollSeconds + 15) * 1000, ...what });
		expected(page, { changesByType: isObject, deletedByType: isObject, revokedScopes: isList });
		return page.hasMore || page.reset || page.revokedScopes.length > 0
			|| (page.resetTypes ?? []).length > 0
			|| Object.keys(page.changesByType).length > 0
			|| Object.keys(page.deletedByType).length > 0;
	}
}

/* Never asks faster than this, whatever the server says. */
export async function calm(startedAt, signal, least = 250) {
	const left = least - (Date.now() - startedAt);
	if (left > 0)
		await pause(left, signal);
}
