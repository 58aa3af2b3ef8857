// The sync backend of a plan that teams write down first: Express and Prisma, two
// columns added to each model, and a service that goes through the changes of a
// push one by one: find the row, the newer lastModifiedAt wins.  `make bench` runs
// it beside tide-gateway, on the same database, with as many connections.
//
//   PORT= JWT_SECRET= CONNECTIONS= DATABASE_URL= node server.js
//
// It does less than pg_tide: deletes are not told, a change fails the whole push,
// and a pull by time misses rows that commit late.

import { PrismaPg } from '@prisma/adapter-pg';
import express from 'express';

import { subjectOf } from '../tokens.js';
import generated from './generated/index.js';

const { PORT = '0', JWT_SECRET, CONNECTIONS = '8', DATABASE_URL } = process.env;
const prisma = new generated.PrismaClient({ adapter: new PrismaPg({ connectionString: DATABASE_URL, max: Number(CONNECTIONS) }) });

// ---- the service ----

const toEntry = (userId, clientId, row) => ({
	id: row.id, userId, title: row.title, notes: row.notes, position: row.position, weightKg: row.weight_kg,
	done: row.done, lastModifiedAt: new Date(row.last_modified_at), clientId,
});

function resolveConflict(local, remote) {
	return local.lastModifiedAt < remote.lastModifiedAt ? remote : local;
}

async function processChange(userId, entry) {
	const stored = await prisma.entry.findUnique({ where: { id: entry.id } });
	if (stored === null)
		return { status: 'applied', entity: await prisma.entry.create({ data: entry }) };
	if (stored.userId !== userId)
		throw new Error('the entry is of another user');
	if (resolveConflict(stored, entry) === stored)
		return { status: 'superseded', entity: stored };
	return { status: 'applied', entity: await prisma.entry.update({ where: { id: entry.id }, data: entry }) };
}

async function processChanges(userId, clientId, rows) {
	const succeeded = [];
	for (const row of rows)
		succeeded.push({ entityId: row.id, ...await processChange(userId, toEntry(userId, clientId, row)) });
	return succeeded;
}

const getChangesSince = (userId, since, limit) => prisma.entry.findMany({
	where: { userId, lastModifiedAt: { gt: since } }, orderBy: [{ lastModifiedAt: 'asc' }, { id: 'asc' }], take: limit });

// ---- the routes ----

const app = express();
app.use(express.json({ limit: '16mb' }));

app.get('/health', (request, response) => response.json({ status: 'ok' }));

app.use((request, response, next) => {
	request.subject = subjectOf(request.headers.authorization, JWT_SECRET);
	return request.subject === undefined ? response.status(401).json({ error: 'unauthorized' }) : next();
});

app.post('/api/v1/sync/push', async (request, response) => {
	const serverTime = new Date();
	const { clientId, changes } = request.body;
	response.json({ serverTime, succeeded: await processChanges(request.subject, clientId, changes.bench_tracked) });
});

app.get('/api/v1/sync/pull', async (request, response) => {
	const syncTimestamp = new Date();
	const limit = Math.min(Number(request.query.limit ?? 100), 500);
	const rows = await getChangesSince(request.subject, new Date(request.query.since), limit);
	response.json({ changesByType: rows.length > 0 ? { bench_tracked: rows } : {}, hasMore: rows.length === limit, syncTimestamp });
});

const listening = app.listen(Number(PORT), '127.0.0.1', () => console.log(`listening http://127.0.0.1:${listening.address().port}`));
