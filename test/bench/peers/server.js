// A sync server as a team with time for it would write it by hand: Fastify and
// node-postgres, prepared statements, one set-based statement a push, the
// last-write rule in its WHERE, an index for pulls.  `make bench` runs it beside
// tide-gateway, on the same database, with as many connections.
//
//   PORT= JWT_SECRET= CONNECTIONS= node server.js      PG* as for psql
//
// It does less than pg_tide: no tombstones, no cursor that is safe against
// commits in another order, no isolation of a bad change, no replays.  Its pool
// is as large as the gateway's.

import Fastify from 'fastify';
import pg from 'pg';

import { subjectOf } from './tokens.js';

const { PORT = '0', JWT_SECRET, CONNECTIONS = '8' } = process.env;

// times and numerics go out as PostgreSQL writes them: no Date, no BigInt
for (const oid of [20, 1114, 1184, 1700]) pg.types.setTypeParser(oid, (text) => text);

const pool = new pg.Pool({ max: Number(CONNECTIONS), idleTimeoutMillis: 0 });
pool.on('error', (error) => console.error(error.message));

const app = Fastify({ bodyLimit: 16 << 20 });

app.addHook('onRequest', async (request, reply) => {
	if (request.url === '/health') return undefined;
	request.subject = subjectOf(request.headers.authorization, JWT_SECRET);
	return request.subject === undefined ? reply.code(401).send({ error: 'unauthorized' }) : undefined;
});

app.get('/health', { schema: { response: { 200: { type: 'object', properties: { status: { type: 'string' } } } } } },
	async () => ({ status: 'ok' }));

// what stands comes back: the row that was stored, or the newer one
const PUSH = {
	name: 'push',
	text: `WITH sent AS (
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::numeric[], $6::boolean[], $7::timestamptz[])
			AS s (id, title, notes, position, weight_kg, done, last_modified_at)),
	stored AS (
		INSERT INTO bench_peer AS t (id, user_id, title, notes, position, weight_kg, done, last_modified_at, client_id)
		SELECT id, $8, title, notes, position, weight_kg, done, last_modified_at, $9 FROM sent ORDER BY id
		ON CONFLICT (id) DO UPDATE SET title = excluded.title, notes = excluded.notes, position = excluded.position,
			weight_kg = excluded.weight_kg, done = excluded.done, last_modified_at = excluded.last_modified_at,
			client_id = excluded.client_id
		WHERE t.user_id = $8 AND t.last_modified_at < excluded.last_modified_at
		RETURNING *)
	SELECT 'applied' AS status, stored.* FROM stored
	UNION ALL
	SELECT 'superseded', t.* FROM sent JOIN bench_peer t USING (id)
	WHERE t.user_id = $8 AND NOT EXISTS (SELECT FROM stored WHERE stored.id = t.id)`,
};

const ROW = {
	type: 'object',
	properties: {
		id: { type: 'string' }, user_id: { type: 'string' }, title: { type: 'string' }, notes: { type: 'string', nullable: true },
		position: { type: 'integer' }, weight_kg: { type: 'string' }, done: { type: 'boolean' },
		last_modified_at: { type: 'string' }, client_id: { type: 'string', nullable: true },
	},
};
const PUSH_REPLY = {
	type: 'object',
	properties: {
		serverTime: { type: 'string' },
		succeeded: {
			type: 'array',
			items: { type: 'object', properties: { entityId: { type: 'string' }, status: { type: 'string' }, entity: ROW } },
		},
	},
};

app.post('/api/v1/sync/push', { schema: { response: { 200: PUSH_REPLY } } }, async (request) => {
	const rows = request.body.changes.bench_tracked;
	const columns = [[], [], [], [], [], [], []];
	for (const row of rows) {
		columns[0].push(row.id);
		columns[1].push(row.title);
		columns[2].push(row.notes);
		columns[3].push(row.position);
		columns[4].push(row.weight_kg);
		columns[5].push(row.done);
		columns[6].push(row.last_modified_at);
	}
	const serverTime = new Date().toISOString();
	const result = await pool.query({ ...PUSH, values: [...columns, request.subject, request.body.clientId ?? request.subject] });
	return {
		serverTime,
		succeeded: result.rows.map((row) => ({ entityId: row.id, status: row.status, entity: row })),
	};
});

const PULL = {
	name: 'pull',
	text: `SELECT id, user_id, title, notes, position, weight_kg, done, last_modified_at, client_id FROM bench_peer
		WHERE user_id = $1 AND last_modified_at > $2 ORDER BY last_modified_at, id LIMIT $3`,
};
const PULL_REPLY = {
	type: 'object',
	properties: {
		changesByType: { type: 'object', properties: { bench_tracked: { type: 'array', items: ROW } } },
		hasMore: { type: 'boolean' }, syncTimestamp: { type: 'string' },
	},
};

app.get('/api/v1/sync/pull', { schema: { response: { 200: PULL_REPLY } } }, async (request) => {
	const limit = Math.min(Number(request.query.limit ?? 100), 500);
	const syncTimestamp = new Date().toISOString();
	const { rows } = await pool.query({ ...PULL, values: [request.subject, request.query.since ?? '-infinity', limit] });
	return {
		changesByType: rows.length > 0 ? { bench_tracked: rows } : {},
		hasMore: rows.length === limit, syncTimestamp,
	};
});

// the same with the JSON made by PostgreSQL, which spares Node the rows
const PULL_JSON = {
	name: 'pull-json',
	text: `SELECT coalesce(json_agg(r), '[]')::text AS rows, count(*)::int AS n FROM (${PULL.text}) r`,
};

app.get('/api/v1/sync/pull-json', async (request, reply) => {
	const limit = Math.min(Number(request.query.limit ?? 100), 500);
	const syncTimestamp = new Date().toISOString();
	const { rows } = await pool.query({ ...PULL_JSON, values: [request.subject, request.query.since ?? '-infinity', limit] });
	reply.type('application/json');
	return `{"changesByType":${rows[0].n > 0 ? `{"bench_tracked":${rows[0].rows}}` : '{}'},` +
		`"hasMore":${rows[0].n === limit},"syncTimestamp":"${syncTimestamp}"}`;
});

const address = await app.listen({ port: Number(PORT), host: '127.0.0.1' });
console.log(`listening ${address}`);
