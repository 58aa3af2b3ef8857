import { TideError } from './errors.js';

/*
 * Tokens of a gateway that checks passwords itself (--login-function), kept in
 * anything that has getItem, setItem and removeItem, such as localStorage.
 * TideClient takes one as its `session`.
 */
export class TideSession {
	constructor({ url, storage, name = 'tide-session', fetch } = {}) {
		this.url = trimmed(url);
		this.storage = storage ?? globalThis.localStorage ?? new MemoryItems();
		this.name = name;
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
		try {
			return this.#keep(await this.#call('refresh', { refreshToken })).token;
		} catch (error) {
			if (error.code !== 'invalid_grant')
				throw error;
			return null;
		}
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
		let response, text;
		try {
			response = await this.fetch(`${this.url}/api/v1/auth/${what}`, {
				method: 'POST',
				headers: { 'Content-Type': 'application/json' },
				body: JSON.stringify(body),
			});
			text = await response.text();
		} catch (cause) {
			throw new TideError('offline', 'offline', 'the server did not answer', { cause });
		}
		const reply = text ? JSON.parse(text) : {};
		if (response.ok)
			return reply;
		const { code = 'unknown', message = 'the login was refused', hint } = reply.error ?? {};
		throw new TideError(response.status >= 500 || response.status === 429 ? 'busy' : 'refused',
			code, message, { hint, status: response.status });
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
