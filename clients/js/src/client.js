import { TideError, expected, isObject, kindOfStatus } from './errors.js';
import { parseJson } from './json.js';
import { withLock } from './locks.js';
import { trimmed } from './session.js';

/* what React Native's fetch cannot do; as if the server could not */
const NO_STREAMS = JSON.stringify({ error: { code: 'not_supported', message: 'this fetch has no streams' } });

/* Proxies take requests of 4 to 8 kB, the token among them. */
const LONGEST_QUERY = 2000;
/* Bytes a millisecond of the slowest link that a long push is waited for. */
const SLOWEST = 8;
/* Bytes of a reply, decompressed: a page has 8 MiB or one row, and what is no server of ours may not end. */
const LARGEST_REPLY = 128 * 1024 * 1024;

/*
 * Calls to a gateway: the token, one refresh at a time, errors told apart.
 * It keeps no rows and no cursor.
 */
export class TideClient {
	/*
	 * url       the gateway's root, without /api/v1
	 * token     a string, or a function that returns one (or a promise)
	 * refresh   a function that returns a new token, or null where a login is due
	 * session   a TideSession, instead of token and refresh
	 * clientId  this device; of two edits of one time the greater name stands
	 */
	constructor({ url, token, refresh, session, clientId, fetch, timeout = 30000 }) {
		this.url = trimmed(url);
		this.clientId = clientId;
		this.timeout = timeout;
		this.fetch = fetch ?? ((...given) => globalThis.fetch(...given));
		this.getToken = session ? () => session.token()
			: typeof token === 'function' ? token : () => this.ownToken;
		this.ownToken = typeof token === 'string' ? token : null;
		this.refresher = session ? () => session.refresh() : refresh;
	}

	/* A JSON call; resolves with the decoded reply, rejects with a TideError. */
	async call(method, path, { query, body, signal, timeout, headers, owner } = {}) {
		const response = await this.request(method, path,
			{ query, body, signal, timeout, headers, owner });
		return response.json;
	}

	async request(method, path, options) {
		const token = await this.#inTime(options, () => this.getToken());
		const response = await this.#once(method, path, token, options);
		if (response.status !== 401)
			return this.#checked(response);
		const fresh = await this.#inTime(options, (signal) => this.#freshToken(token, signal));
		if (!fresh)
			return this.#checked(response);
		return this.#checked(await this.#once(method, path, fresh, options));
	}

	/*
	 * A stream of text, as an async iterable of its pieces. `status` 404 and
	 * the like reject as in call().
	 */
	async open(path, { query, signal, accept, owner }) {
		const options = { query, signal, owner, stream: true, headers: { Accept: accept } };
		return (await this.request('GET', path, options)).body;
	}

	/* What the caller may sync: {protocol, entityTypes: {TrainingPlan: {…}}}. */
	async schema({ signal, owner } = {}) {
		return expected(await this.call('GET', '/sync/schema', { signal, owner }), { entityTypes: isObject });
	}

	/* The token after one that was refused: somebody else's refresh, or ours. */
	async #freshToken(refused, signal) {
		return withLock(`tide-refresh ${this.url}`, async () => {
			const now = await this.getToken();
			if (now && now !== refused)
				return now;
			const fresh = await this.refresher?.() ?? null;
			if (fresh && this.ownToken !== null)
				this.ownToken = fresh;
			return fresh;
		}, signal);
	}

	/*
	 * What the app's own functions give: no sync hangs on one that never does, and
	 * none is kept from ending. One that fails is without its service: where a login
	 * is due it gives null. A refresh that runs keeps its lock, for the tokens
	 * that it brings are the only ones that are good.
	 */
	#inTime({ signal, timeout }, action) {
		return new Promise((resolve, reject) => {
			const late = new AbortController();
			const done = () => {
				clearTimeout(timer);
				signal?.removeEventListener('abort', stop);
			};
			const end = (kind, message) => {
				done();
				late.abort();
				reject(new TideError(kind, kind, message));
			};
			const stop = () => end('aborted', 'the call was ended');
			const timer = setTimeout(() => end('offline', 'the token did not come in time'), timeout ?? this.timeout);
			signal?.addEventListener('abort', stop);
			if (signal?.aborted)
				return stop();
			const fail = (cause) => reject(cause instanceof TideError ? cause
				: new TideError('offline', 'offline', `the token could not be had: ${cause?.message ?? cause}`, { cause }));
			new Promise((begin) => begin(action(late.signal))).then(resolve, fail).finally(done);
		});
	}

	async #once(method, path, token, { query, body, signal, timeout, headers, stream, owner }) {
		await owner?.admit(token);
		const late = new AbortController();
		const abort = () => late.abort();
		const sent = body === undefined ? undefined : JSON.stringify(body);
		let timer, streaming = false;
		/* the time is that of silence: a slow link that goes on is none that is dead */
		const wait = (bytes) => {
			clearTimeout(timer);
			timer = setTimeout(abort, (timeout ?? this.timeout) + bytes / SLOWEST);
		};
		wait(sent?.length ?? 0);
		signal?.addEventListener('abort', abort);
		try {
			if (signal?.aborted)
				late.abort();
			const response = await this.fetch(this.url + '/api/v1' + path + queryString(query), {
				method,
				cache: 'no-store',
				credentials: 'omit',
				signal: late.signal,
				headers: {
					...(token ? { Authorization: `Bearer ${token}` } : {}),
					...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
					...headers,
				},
				body: sent,
			});
			if (stream && response.ok && !response.body)
				return { status: 406, headers: response.headers, text: NO_STREAMS };
			if (stream && response.ok) {
				streaming = true;
				return { status: response.status, body: pieces(response, signal, abort) };
			}
			return {
				status: response.status,
				headers: response.headers,
				text: await textOf(response, late.signal, () => wait(0)),
			};
		} catch (cause) {
			if (signal?.aborted)
				throw new TideError('aborted', 'aborted', 'the call was ended', { cause });
			throw new TideError('offline', 'offline', 'the server did not answer', { cause });
		} finally {
			clearTimeout(timer);
			if (!streaming)
				signal?.removeEventListener('abort', abort);
		}
	}

	#checked(response) {
		if (response.body)
			return response;
		let json = null;
		try {
			json = response.text ? parseJson(response.text) : null;
		} catch (cause) {
			// a 200 that was cut, or a portal of a hotel that answers for us
			if (response.status < 400)
				throw new TideError('offline', 'offline', 'the answer is not the server\'s', { cause });
		}
		if (response.status < 400)
			return { ...response, json };
		const { code = 'unknown', message, hint } = json?.error ?? {};
		const seconds = Number(response.headers.get('retry-after'));
		throw new TideError(kindOfStatus(response.status), code,
			message ?? 'the server refused the call',
			{ hint, status: response.status, retryAfter: seconds > 0 ? seconds * 1000 : undefined });
	}
}

/*
 * A TideClient for the data of one user. Nothing is asked with the token of
 * another one, who may have logged in meanwhile, in another tab perhaps: edits
 * would be pushed as hers, and her rows would come among the first one's.
 *
 *   ownerOf   async (user) => whose the data is, which is this user where it was nobody's
 */
export class OwnersClient {
	#client;
	#ownerOf;

	constructor(client, ownerOf) {
		this.#client = client;
		this.#ownerOf = ownerOf;
	}

	get clientId() {
		return this.#client.clientId;
	}

	call(method, path, options) {
		return this.#client.call(method, path, { ...options, owner: this });
	}

	open(path, options) {
		return this.#client.open(path, { ...options, owner: this });
	}

	schema(options) {
		return this.#client.schema({ ...options, owner: this });
	}

	async admit(token) {
		const user = tokenUser(token);
		const owner = user === null ? null : await this.#ownerOf(user);
		if (owner !== user)
			throw new TideError('signed_out', 'other_user',
				`the data here is of user "${owner}", the token is of "${user}"`);
	}
}

/* The sub of a JWT, null of anything else. It is not verified: that is the server's to do. */
function tokenUser(token) {
	const [, claims] = String(token ?? '').split('.');
	try {
		const { sub } = JSON.parse(decodeURIComponent(bytesOf(claims)
			.map((byte) => '%' + byte.toString(16).padStart(2, '0')).join('')));
		return sub === undefined || sub === null ? null : String(sub);
	} catch {
		return null;
	}
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/* base64url; React Native has no atob */
function bytesOf(text) {
	const bytes = [];
	let bits = 0, count = 0;
	for (const digit of text.replace(/=+$/, '')) {
		bits = (bits << 6 | DIGITS.indexOf(digit)) & 0xffff;
		count += 6;
		if (count >= 8) {
			count -= 8;
			bytes.push(bits >> count & 0xff);
		}
	}
	return bytes;
}

/* The text of a reply, which says of each piece that it came. */
async function textOf(response, signal, came) {
	if (!response.body?.getReader)
		return response.text();
	const decoder = new TextDecoder();
	const reader = response.body.getReader();
	signal.addEventListener('abort', () => reader.cancel().catch(() => {}), { once: true });
	let text = '', left = LARGEST_REPLY;
	while (true) {
		const { done, value } = await reader.read();
		if (signal.aborted)
			throw new Error('no more came in time');
		if (done)
			return text + decoder.decode();
		came();
		left -= value.length;
		if (left < 0) {
			reader.cancel().catch(() => {});
			throw new Error('the reply is too large');
		}
		text += decoder.decode(value, { stream: true });
	}
}

async function* pieces(response, signal, abort) {
	const decoder = new TextDecoder();
	const reader = response.body.getReader();
	try {
		while (true) {
			const { done, value } = await reader.read();
			if (done)
				return;
			yield decoder.decode(value, { stream: true });
		}
	} catch (cause) {
		throw signal?.aborted
			? new TideError('aborted', 'aborted', 'the call was ended', { cause })
			: new TideError('offline', 'offline', 'the stream was cut', { cause });
	} finally {
		signal?.removeEventListener('abort', abort);
		reader.cancel().catch(() => {});
	}
}

function given(query) {
	return Object.entries(query ?? {})
		.filter(([, value]) => value !== undefined && value !== null && value !== '' && value.length !== 0);
}

/*
 * What to ask as a GET, or as a POST where proxies may refuse the address: the
 * cursor of many scopes is long, and so are the names of many types.
 */
export function asked(query) {
	return queryString(query).length <= LONGEST_QUERY ? ['GET', { query }]
		: ['POST', { body: Object.fromEntries(given(query)) }];
}

function queryString(query) {
	// a scope may hold commas
	const all = given(query).flatMap(([name, value]) => name === 'scope'
		? [value].flat().map((one) => [name, one]) : [[name, value]]);
	if (all.length === 0)
		return '';
	return '?' + all.map(([name, value]) =>
		`${name}=${encodeURIComponent(Array.isArray(value) ? value.join(',') : value)}`).join('&');
}
