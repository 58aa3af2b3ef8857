import { TideError } from './errors.js';

/*
 * Tokens of a gateway that checks passwords itself (--login-function), kept in
 * anything that has getItem, setItem and removeItem, such as localStorage.
 * TideClient takes one as its `session`.
 */
export class TideSession {
	constructor({ url, storage, name = 'tide-session', fetch, timeout = 30000 } = {}) {
		this.url = trimmed(url);
		this.storage = storage ?? globalThis.localStorage ?? new MemoryItems();
		this.name = name;
		this.timeout = timeout;
		this.fetch = fetch ?? ((...given) => globalThis.fetch(...given));
	}

	/* {token, refreshToken, expiresAt, userId, userType}, or null */
	get current() {
		const text = this.storage.getItem(this.name);
		return text ? JSON.parse(text) : null;
	}

	async login(username, password) {
		return this.#keep(await this.#call('login', { username, password }));
	}

	token() {
		return this.current?.token ?? null;
	}

	/* A new token, or null where a login is due. */
	async refresh() {
		const refreshToken = this.current?.refreshToken;
		if (!refreshToken)
			return null;
		const fresh = await this.#call('refresh', { refreshToken }).catch((error) => {
			if (error.code !== 'invalid_grant')
				throw error;
			return null;
		});
		// a logout or another login meanwhile stands, and so does another tab's refresh
		const { current } = this;
		if (current?.refreshToken !== refreshToken)
			return current?.token ?? null;
		return fresh && this.#keep(fresh).token;
	}

	/* Forgets the tokens, also where the server cannot be told. */
	async logout() {
		const refreshToken = this.current?.refreshToken;
		this.storage.removeItem(this.name);
		if (refreshToken)
			await this.#call('logout', { refreshToken }).catch(() => {});
	}

	#keep(tokens) {
		this.storage.setItem(this.name, JSON.stringify(tokens));
		return tokens;
	}

	async #call(what, body) {
		const { response, text } = await this.#answer(what, body);
		let reply = null;
		try {
			reply = text ? JSON.parse(text) : {};
		} catch {
			// a page of a proxy's
		}
		if (!response.ok) {
			const { code = 'unknown', message = 'the login was refused', hint } = reply?.error ?? {};
			throw new TideError(response.status >= 500 || response.status === 429 ? 'busy' : 'refused',
				code, message, { hint, status: response.status });
		}
		// a portal of a hotel that answers for the server would replace the tokens
		if (what !== 'logout' && typeof reply?.token !== 'string')
			throw new TideError('offline', 'offline', 'the answer is not the server\'s');
		return reply;
	}

	/* All calls of all tabs wait for a refresh, so that it takes no longer than its time. */
	async #answer(what, body) {
		const late = new AbortController();
		const timer = setTimeout(() => late.abort(), this.timeout);
		try {
			const response = await this.fetch(`${this.url}/api/v1/auth/${what}`, {
				method: 'POST',
				headers: { 'Content-Type': 'application/json' },
				signal: late.signal,
				body: JSON.stringify(body),
			});
			return { response, text: await response.text() };
		} catch (cause) {
			throw new TideError('offline', 'offline', 'the server did not answer', { cause });
		} finally {
			clearTimeout(timer);
		}
	}
}

export class MemoryItems {
	#items = new Map();

	getItem(name) {
		return this.#items.get(name) ?? null;
	}

	setItem(name, value) {
		this.#items.set(name, String(value));
	}

	removeItem(name) {
		this.#items.delete(name);
	}
}

export function trimmed(url) {
	return String(url ?? '').replace(/\/+$/, '');
}
