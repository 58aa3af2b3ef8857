/*
 * A server in this process, for what a real one does not do on demand: answers
 * are functions by path, and what was asked is kept.
 */
import { TideClient } from 'pg-tide';

export const SCHEMA = { protocol: 1, entityTypes: {
	project: {
		key: ['id'], scope: 'team', shared: false, modifiedAt: 'at', clientId: 'by', version: null,
		deletedAt: null, parents: [], columns: columns('id', 'team', 'name', 'at', 'by'),
	},
	task: {
		key: ['id'], scope: 'team', shared: false, modifiedAt: 'at', clientId: 'by', version: 'version',
		deletedAt: 'gone', parents: ['project'],
		columns: [...columns('id', 'team', 'title', 'note', 'at', 'by', 'gone'),
			{ name: 'version', type: 'integer', nullable: false, writable: false }],
	},
} };

function columns(...names) {
	return names.map((name) => ({ name, type: 'text', nullable: true, writable: true }));
}

export function page(given) {
	return { changesByType: {}, deletedByType: {}, cursor: 'c', serverTime: '2026-01-01T00:00:00.000Z',
		hasMore: false, reset: false, revokedScopes: [], ...given };
}

export function json(status, body, headers = {}) {
	return new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } });
}

export class FakeServer {
	asked = [];
	answers = {};
	offline = false;

	constructor(answers = {}) {
		this.answers = { '/sync/schema': () => SCHEMA, '/sync/events': () => json(404, { error: { code: 'not_found', message: 'no' } }), ...answers };
	}

	fetch = async (url, options = {}) => {
		const { pathname, searchParams } = new URL(url);
		const path = pathname.replace('/api/v1', '');
		const body = options.body ? JSON.parse(options.body) : undefined;
		const call = { path, query: Object.fromEntries(searchParams), body,
			token: options.headers?.Authorization?.replace('Bearer ', ''), signal: options.signal };
		if (this.offline)
			throw new TypeError('fetch failed');
		options.signal?.throwIfAborted();
		this.asked.push(call);
		const answer = await this.answers[path]?.(call);
		if (answer === undefined)
			throw new TypeError('fetch failed');
		return answer instanceof Response ? answer : json(200, answer);
	};

	client(more = {}) {
		return new TideClient({ url: 'http://server.test/', token: 't', clientId: 'me', fetch: this.fetch, ...more });
	}

	calls(path) {
		return this.asked.filter((call) => call.path === path);
	}
}

/* A push's reply that applies everything. */
export function applied({ body }, more = {}) {
	return {
		succeeded: body.changes.map((change) => ({ ...change, changeId: change.id, status: 'applied',
			entity: { ...change.data, id: change.entityId, at: change.lastModifiedAt, by: body.clientId, ...more } })),
		failed: [], summary: {}, ack: `ack${body.changes.length}`,
	};
}

export function refused({ body }, code, entity = null) {
	return { succeeded: [], failed: body.changes.map((change) => ({ ...change, changeId: change.id, entity,
		errors: [{ code, message: code }] })), summary: {}, ack: 'ack' };
}
