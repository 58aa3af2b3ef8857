import { needsUser, rowDelay, stillWaits } from './backoff.js';
import { OwnersClient } from './client.js';
import { isAltered } from './json.js';
import { fingerprint, randomId } from './keys.js';
import { SyncLoop } from './loop.js';
import { columnsOf, isEverythingOf, MOST_ACKS, NO_PLACE, PullCollector } from './pull.js';
import { isGone, pushLate } from './push.js';
import { nextStamp, stampTime } from './stamps.js';

/*
 * Syncs a WatermelonDB database with pg_tide by WatermelonDB's own synchronize().
 *
 *   client       a TideClient
 *   database     a Database
 *   synchronize  from '@nozbe/watermelondb/sync'
 *   Q            from '@nozbe/watermelondb'
 *   tables       {table: entityType}, or a list of tables named like their types
 *   baseColumn   a string column in each table that keeps the stamp an edit was
 *                made upon (default tide_base; without it, clocks alone decide)
 */
export class TideWatermelon {
	#schema = null;
	#owners;			// the client, for this database's user alone
	#collector = null;
	#acks = [];
	#deletedAt = {};	// table/id => {stamp, base}: WatermelonDB keeps the id alone
	#subscription;
	#types;				// table => type
	#tables = new Map();	// type => [tables], mostly one
	#retry;
	#columns = { schema: null, of: new Map(), rows: new Map() };

	constructor({ client, database, synchronize, Q, tables, baseColumn = 'tide_base', retry = {}, live, pollSeconds, name }) {
		Object.assign(this, { client, database, synchronize, Q, baseColumn });
		this.#retry = retry;
		this.#types = new Map(Array.isArray(tables) ? tables.map((table) => [table, table])
			: Object.entries(tables));
		for (const [table, type] of this.#types)
			this.#tables.set(type, [...this.#tables.get(type) ?? [], table]);
		this.#owners = new OwnersClient(client, (user) => this.#ownerOf(user));
		this.loop = new SyncLoop({
			client: this.#owners, live, retry, pollSeconds,
			name: `watermelon ${name ?? client.url}`,
			entityTypes: [...this.#types.values()],
			sync: (signal) => this.#syncOnce(signal),
			cursor: async () => (await this.#place()).cursor,
			counts: () => this.#counts(),
		});
		this.#watch();
	}

	get status() {
		return this.loop.status;
	}

	start() {
		this.loop.start();
	}

	/* Once, now. Resolves with the status, whatever came of it. */
	sync() {
		return this.loop.sync();
	}

	async stop() {
		await this.loop.stop();
		this.#subscription.unsubscribe();
	}

	/* Edits that the server refused: [{table, id, errors, tries, nextTryAt, parked}] */
	async refused() {
		const refused = await this.#get('refused') ?? {};
		return Object.entries(refused).map(([name, { entity, mark, ...rest }]) => {
			const [table, id] = split(name);
			return { table, id, ...rest };
		});
	}

	/* Send what was refused once more, now: one row's edit, or all. */
	async retry(table, id) {
		const refused = await this.#get('refused') ?? {};
		for (const name of Object.keys(refused)) {
			if (table === undefined || name === `${table}/${id}`)
				refused[name] = { ...refused[name], parked: false, nextTryAt: 0 };
		}
		await this.#set('refused', refused);
		return this.loop.sync();
	}

	/* Give a refused edit up: the row is as the server has it. */
	async discard(table, id) {
		const refused = await this.#get('refused') ?? {};
		const name = `${table}/${id}`;
		if (!(name in refused))
			return;
		// the app may have been opened offline
		this.#schema ??= await this.#get('schema') ?? null;
		const { entity } = this.#isKnown(table) ? refused[name] : {};
		const collection = this.database.get(table);
		const deleted = (await this.#deletedIds(table)).includes(id);
		await this.database.write(async () => {
			if (deleted)
				await this.database.adapter.destroyDeletedRecords(table, [id]);
			const record = deleted ? null : await found(collection, id);
			const isUnsaid = entity === undefined && record && record._raw._status !== 'created';
			const row = isUnsaid ? {} : entity ? this.#rawOf(table, entity) : null;
			const there = await this.#thereOf(collection, record, row);
			await this.database.batch(this.#replacing({ collection, record, row, there }));
		});
		// nobody said what the server has, and nothing here keeps what was before an edit
		if (entity === undefined)
			await this.#pullAgain(this.#types.get(table));
		delete refused[name];
		await this.#set('refused', refused);
		await this.loop.refresh();
	}

	/* ---- the sync of the loop ---- */

	async #syncOnce(signal) {
		this.client.clientId ??= await this.#get('clientId') ?? await this.#makeClientId();
		await this.#readSchema(signal);
		let nextTryAt = null;
		// what a push caused, or what stands instead of it, comes with another pull
		for (let round = 0, pushed = 1; pushed > 0 && round < 5; round++) {
			pushed = 0;
			await this.synchronize({
				database: this.database,
				sendCreatedAsUpdated: true,
				pullChanges: ({ lastPulledAt }) => this.#pull(lastPulledAt, signal),
				pushChanges: async ({ changes }) => {
					const done = await this.#push(changes, signal);
					pushed = done.sent;
					nextTryAt = done.nextTryAt;
					return { experimentalRejectedIds: done.rejected };
				},
				conflictResolver: (table, local, remote, resolved) => this.#resolve(local, resolved),
			});
			this.#acks = this.#acks.slice(-MOST_ACKS);
		}
		await this.#forgetDeletions();
		await this.#set('lastSyncAt', Date.now());
		return { nextTryAt };
	}

	/* A stale edit would win by causality if its base moved. */
	#resolve(local, resolved) {
		if (local._status === 'updated' && this.baseColumn in local)
			resolved[this.baseColumn] = local[this.baseColumn];
		return resolved;
	}

	/* Another object where the types are others: what was collected goes on otherwise. */
	async #readSchema(signal) {
		const schema = await this.#owners.schema({ signal });
		if (JSON.stringify(schema) !== JSON.stringify(this.#schema)) {
			this.#schema = schema;
			await this.#set('schema', schema);
		}
		return this.#schema;
	}

	async #pull(lastPulledAt, signal) {
		const before = await this.#place(lastPulledAt);
		const { cursor, awaited, known } = before;
		if (this.#collector?.schema !== this.#schema)
			this.#collector = new PullCollector(this.#owners, this.#schema);
		const acks = this.#acks;
		const set = await this.#collector.collect({
			since: cursor, awaited, known, columns: this.#columnsHere(), acks, signal,
			entityTypes: [...this.#types.values()],
			readSchema: () => this.#readSchema(signal),
			keep: (type, row) => this.#tables.get(type)?.map((table) => this.#rawOf(table, row)) });
		this.#acks = this.#acks.filter((ack) => !acks.includes(ack));

		const changes = {}, override = {}, toReplace = {};
		for (const [table, type] of this.#types) {
			const dirty = await this.#dirtyIds(table);
			changes[table] = await this.#changesOf(table, type, set, dirty);
			if (lastPulledAt && isEverythingOf(set, type)) {
				override[table] = 'replacement';
				// without this, WatermelonDB destroys edits of rows that did not come
				toReplace[table] = () => [this.Q.where('_status', 'synced')];
			}
		}
		const timestamp = Math.max(Date.now(), (lastPulledAt ?? 0) + 1);
		await this.#keepPlace({ timestamp, cursor: set.cursor, awaited: set.awaited, known: set.known },
			lastPulledAt, before);
		return {
			changes, timestamp,
			experimentalStrategy: { default: 'incremental', override,
				experimentalQueryRecordsForReplacement: toReplace },
		};
	}

	async #changesOf(table, type, set, dirty) {
		const updated = [], deleted = [];
		const description = this.#schema.entityTypes[type];
		const at = this.#tables.get(type).indexOf(table);
		for (const [id, raws] of set.rows.get(type) ?? []) {
			if (raws[at] !== null)
				updated.push(raws[at]);
			else if (!dirty.has(id))
				deleted.push(id);
		}
		// a deletion would take an unsent edit along; what the push says decides
		for (const id of set.deleted.get(type)?.keys() ?? []) {
			if (!dirty.has(id))
				deleted.push(id);
		}
		if (set.revokedScopes.size > 0 && description?.scope)
			deleted.push(...await this.#revokedIds(table, description.scope, set, dirty));
		return { created: [], updated, deleted };
	}

	async #revokedIds(table, scope, set, dirty) {
		const column = this.#columnOf(table, scope);
		if (!column)
			return [];
		const records = await this.database.get(table)
			.query(this.Q.where(column, this.Q.oneOf([...set.revokedScopes]))).fetch();
		const came = set.rows.get(this.#types.get(table));
		return records.map(({ id }) => id).filter((id) => !dirty.has(id) && !came?.has(id));
	}

	/* WatermelonDB pushes everything at once, refused edits, too: some wait. */
	async #push(changes, signal) {
		const refused = await this.#get('refused') ?? {};
		const edits = [...this.#edits(changes)];
		const now = Date.now();
		const waits = ({ name, mark }) => refused[name]?.mark === mark
			&& (refused[name].parked
				|| stillWaits(refused[name].nextTryAt, now, { base: this.#retry.rowBase }));
		const asked = edits.filter((edit) => !waits(edit));
		const { results: given, error } = await this.#sendEdits(asked, signal);
		const due = asked.filter((_, i) => given[i] !== undefined);
		const results = given.filter((result) => result !== undefined);

		for (const [i, { name, mark }] of due.entries()) {
			if (results[i].status === 'failed')
				refused[name] = this.#refusal(refused[name], mark, results[i]);
			else
				delete refused[name];
		}
		const known = new Set(edits.map(({ name }) => name));
		for (const name of Object.keys(refused)) {
			if (!known.has(name) && this.#isKnown(split(name)[0]))
				delete refused[name]; // edited back, or gone with its scope
		}
		await this.#set('refused', refused);
		await this.#takeOver(due, results);
		if (error) {
			await this.#destroySent(due, results);
			throw error;
		}
		// what is not there for now is not due, however long ago its time was
		const next = Object.entries(refused).filter(([name, { parked }]) => !parked && this.#isKnown(split(name)[0]))
			.map(([, { nextTryAt }]) => nextTryAt);
		return {
			sent: due.filter((_, i) => results[i].status !== 'failed').length,
			rejected: this.#rejected(refused, changes),
			nextTryAt: next.length > 0 ? Math.min(...next) : null,
		};
	}

	async #sendEdits(due, signal) {
		const { cursor } = await this.#place();
		const { acks, ...answer } = await pushLate(this.#owners, this.#schema, due.map(({ change }) => change),
			{ signal, cursor, isNew: (i) => due[i].isNew });
		this.#acks = [...this.#acks, ...acks];
		return answer;
	}

	#refusal(before, mark, { errors, code, entity }) {
		const tries = (before?.mark === mark ? before.tries : 0) + 1;
		return {
			errors, entity, tries, mark,
			parked: needsUser(tries, code),
			nextTryAt: Date.now() + rowDelay(tries, { base: this.#retry.rowBase }),
		};
	}

	/* What stays unsent here: also edits of what the server does not have, for now. */
	#rejected(refused, changes) {
		const rejected = {};
		for (const [table, { created, updated, deleted }] of Object.entries(changes)) {
			if (this.#types.has(table) && !this.#isKnown(table))
				rejected[table] = [...[...created, ...updated].map(({ id }) => id), ...deleted];
		}
		for (const name of Object.keys(refused)) {
			const [table, id] = split(name);
			(rejected[table] ??= []).push(id);
		}
		return rejected;
	}

	* #edits(changes) {
		for (const [table, { created, updated, deleted }] of Object.entries(changes)) {
			if (!this.#isKnown(table))
				continue;
			for (const raw of [...created, ...updated])
				yield this.#edit(table, raw);
			for (const id of deleted)
				yield this.#deletion(table, id);
		}
	}

	#isKnown(table) {
		return this.#types.has(table) && this.#schema?.entityTypes[this.#types.get(table)] !== undefined;
	}

	#edit(table, raw) {
		const type = this.#types.get(table);
		const { modifiedAt, deletedAt, version, clientId, columns, key } = this.#schema.entityTypes[type];
		const isNew = raw._status === 'created';
		const stampColumn = this.#columnOf(table, modifiedAt);
		const base = this.#baseOf(raw);
		const row = { [key[0]]: raw.id };
		const edited = new Set(raw._changed.split(','));
		const changed = [];
		for (const { name, type: columnType, writable } of columns) {
			const column = this.#columnOf(table, name);
			if (!column || !writable || column === 'id' || [modifiedAt, version, clientId].includes(name))
				continue;
			// an empty optional column of a new row gets the server's default
			if (isNew && raw[column] === null)
				continue;
			const value = toWire(columnType, raw[column]);
			if (!isNew && !edited.has(column) && isAltered(columnType, value))
				continue;
			row[name] = value;
			if (edited.has(column))
				changed.push(name);
		}
		// a row that was deleted meanwhile is back with a later edit
		if (deletedAt && !isNew && !(deletedAt in row))
			row[deletedAt] = null;
		const time = raw[stampColumn] ? stampTime(raw[stampColumn]) : Date.now();
		const change = { type, action: 'upsert', row, stamp: nextStamp([base], time),
			base: isNew ? undefined : base };
		if (!isNew)
			change.changed = changed;
		// a later edit has another one; a stamp that no column keeps is another one each time
		const mark = `${raw[stampColumn] ? change.stamp : ''} ${fingerprint(JSON.stringify(row))}`;
		return { name: `${table}/${raw.id}`, table, id: raw.id, raw, change, mark, isNew };
	}

	/* null names the version without a stamp, as rows from before tide.track are */
	#baseOf(raw) {
		return this.baseColumn in raw ? raw[this.baseColumn] || null : undefined;
	}

	#deletion(table, id) {
		const type = this.#types.get(table);
		const noted = this.#deletedAt[`${table}/${id}`] ??= { stamp: new Date().toISOString() };
		const [key] = this.#schema.entityTypes[type].key;
		return { name: `${table}/${id}`, table, id, raw: null, isNew: false, mark: noted.stamp,
			change: { type, action: 'delete', row: { [key]: id }, ...noted } };
	}

	/*
	 * What the server made of the edits is in the database before they count as
	 * synced: its version, defaults, merged columns, or that the row is gone.
	 */
	async #takeOver(due, results) {
		await this.database.write(async () => {
			const replaced = [];
			for (const [i, { table, id, raw, change }] of due.entries()) {
				const { status, entity } = results[i];
				if (status === 'failed' || raw === null)
					continue;
				const collection = this.database.get(table);
				const record = await found(collection, id);
				if (!record || !sameRaw(record._raw, raw))
					continue; // edited meanwhile
				const row = isGone(this.#schema, change.type, entity) ? null : this.#rawOf(table, entity);
				replaced.push({ collection, record, row, there: await this.#thereOf(collection, record, row) });
			}
			// what is prepared does not wait
			await this.database.batch(replaced.flatMap((one) => this.#replacing(one)));
		});
		for (const [i, { name, raw }] of due.entries()) {
			if (raw === null && results[i].status !== 'failed')
				delete this.#deletedAt[name];
		}
		await this.#set('deletedAt', this.#deletedAt);
	}

	/* WatermelonDB forgets deletions that were sent when all of a push was. */
	async #destroySent(due, results) {
		const sent = new Map();
		for (const [i, { table, id, raw }] of due.entries()) {
			if (raw === null && results[i].status !== 'failed')
				sent.set(table, [...sent.get(table) ?? [], id]);
		}
		await this.database.write(async () => {
			for (const [table, ids] of sent)
				await this.database.adapter.destroyDeletedRecords(table, ids);
		});
	}

	/*
	 * The record of the row, where the server writes the key in another form than
	 * it was made in, a uuid in lower case: it is another one than the edited.
	 */
	#thereOf(collection, record, row) {
		return record && row?.id !== undefined && row.id !== record.id ? found(collection, row.id) : record;
	}

	/* The edited record, and the one there is of its row: mostly the same. */
	#replacing({ collection, record, row, there }) {
		const synced = (target) => {
			target._raw = { ...target._raw, ...row, _status: 'synced', _changed: '' };
		};
		const gone = record && (row === null || there !== record) ? [record.prepareDestroyPermanently()] : [];
		if (row === null || (there && there !== record && there._raw._status !== 'synced'))
			return gone;
		return [...gone, there ? there.prepareUpdate(synced)
			: collection.prepareCreateFromDirtyRaw({ ...row, _status: 'synced', _changed: '' })];
	}

	/* ---- columns ---- */

	/* The table's column for a wire name: the same, or the same in snake case. */
	#columnOf(table, name) {
		if (name === null || name === undefined)
			return null;
		const known = this.#lookedUp().of, place = `${table}/${name}`;
		if (!known.has(place))
			known.set(place, this.#findColumn(table, name));
		return known.get(place);
	}

	/* Once for each column, not for each row. */
	#lookedUp() {
		if (this.#columns.schema !== this.#schema)
			this.#columns = { schema: this.#schema, of: new Map(), rows: new Map() };
		return this.#columns;
	}

	/* {type: those columns of the server's that the table has, too} */
	#columnsHere() {
		const known = columnsOf(this.#schema, [...this.#types.values()]);
		return Object.fromEntries([...this.#types].filter(([, type]) => type in known).map(([table, type]) =>
			[type, known[type].filter((name) => this.#columnOf(table, name) !== null)]));
	}

	#findColumn(table, name) {
		const [key] = this.#schema.entityTypes[this.#types.get(table)].key;
		if (name === key)
			return 'id';
		const { columns } = this.database.schema.tables[table];
		if (name in columns)
			return name;
		const snake = name.replace(/[A-Z]/g, (letter) => '_' + letter.toLowerCase());
		return snake in columns ? snake : null;
	}

	/* null of a row that is deleted */
	#rawOf(table, row) {
		return this.#isDeleted(table, row) ? null : this.#toRaw(table, row);
	}

	#toRaw(table, row) {
		const { rows } = this.#lookedUp();
		if (!rows.has(table))
			rows.set(table, this.#rowsOf(table));
		const { key, base, columns, blank } = rows.get(table);
		// objects of one shape from the start are made in two thirds of the time
		const raw = { ...blank };
		raw.id = String(row[key]);
		for (const { name, column, empty, plain, whole } of columns) {
			const given = row[name];
			if (given === undefined)
				delete raw[column];
			else if (given === null)
				raw[column] = empty;
			else
				raw[column] = typeof given === plain ? given : whole(given);
		}
		if (base !== undefined)
			raw[this.baseColumn] = row[base] ?? '';
		return raw;
	}

	/* How rows of the table are made of the server's. */
	#rowsOf(table) {
		const { columns, key, modifiedAt } = this.#schema.entityTypes[this.#types.get(table)];
		const own = this.database.schema.tables[table].columns;
		const base = this.baseColumn in own ? modifiedAt : undefined;
		const made = columns.map(({ name, type }) => ({ name, type, column: this.#columnOf(table, name) }))
			.filter(({ column }) => column && column !== 'id')
			.map(({ name, type, column }) => ({ name, column, ...fromWire(own[column], type) }));
		const names = ['id', ...made.map(({ column }) => column), ...base === undefined ? [] : [this.baseColumn]];
		return { key: key[0], base, columns: made, blank: Object.fromEntries(names.map((name) => [name, null])) };
	}

	/* Soft-deleted rows are deletions, unless the table shows the mark itself. */
	#isDeleted(table, row) {
		const { deletedAt } = this.#schema.entityTypes[this.#types.get(table)];
		return Boolean(deletedAt && row?.[deletedAt] && !this.#columnOf(table, deletedAt));
	}

	/* ---- the rest ---- */

	async #dirtyIds(table) {
		const ids = await this.database.get(table)
			.query(this.Q.where('_status', this.Q.notEq('synced'))).fetchIds();
		return new Set(ids);
	}

	#deletedIds(table) {
		return this.database.adapter.getDeletedRecords(table);
	}

	/*
	 * The cursor of a pull counts if WatermelonDB took the pull over, which its
	 * lastPulledAt tells.
	 */
	async #place(lastPulledAt) {
		const places = await this.#get('places') ?? [];
		const place = lastPulledAt === undefined ? places[0]
			: places.find(({ timestamp }) => timestamp === lastPulledAt);
		return { ...NO_PLACE, ...place };
	}

	async #keepPlace(place, lastPulledAt, before) {
		// what was discarded meanwhile
		const { awaited } = await this.#place();
		const added = awaited.filter((type) => !before.awaited.includes(type));
		const places = lastPulledAt ? [place, { ...before, timestamp: lastPulledAt }] : [place];
		return this.#set('places', places.map((one) =>
			({ ...one, awaited: [...new Set([...one.awaited, ...added])] })));
	}

	/* All rows of the type come with the next pull, whichever it goes on from. */
	async #pullAgain(type) {
		const places = await this.#get('places') ?? [];
		await this.#set('places', places.map((place) =>
			({ ...place, awaited: [...new Set([...place.awaited ?? [], type])] })));
	}

	async #counts() {
		let pending = 0;
		for (const table of this.#types.keys())
			pending += (await this.#dirtyIds(table)).size + (await this.#deletedIds(table)).length;
		return {
			pending,
			failed: Object.keys(await this.#get('refused') ?? {}).length,
			lastSyncAt: await this.#get('lastSyncAt') ?? null,
		};
	}

	/* Edits start a sync; of deletes the time is noted, which WatermelonDB does not. */
	#watch() {
		this.#get('deletedAt').then((noted) => Object.assign(this.#deletedAt, noted));
		const tables = [...this.#types.keys()];
		this.#subscription = this.database.withChangesForTables(tables).subscribe((changes) => {
			if (!changes)
				return;
			let edited = false;
			for (const { record, type } of changes) {
				if (type === 'destroyed')
					this.#noteDeletion(record);
				edited ||= type === 'destroyed' || record._raw._status !== 'synced';
			}
			if (edited)
				this.loop.kick();
		});
	}

	#noteDeletion(record) {
		const base = this.#baseOf(record._raw);
		this.#deletedAt[`${record.table}/${record.id}`] = {
			stamp: nextStamp([base]), ...(base === undefined ? {} : { base }) };
		this.#set('deletedAt', this.#deletedAt);
	}

	/* Whoever syncs first. */
	async #ownerOf(user) {
		const owner = await this.#get('user');
		if (owner === undefined || owner === null) {
			// it may have been another one's until it was reset
			this.#collector = null;
			this.#acks = [];
			await this.#set('user', user);
		}
		return owner ?? user;
	}

	/*
	 * WatermelonDB tells of what a pull took away as if it was deleted here. Only
	 * what waits to be sent is noted further.
	 */
	async #forgetDeletions() {
		const noted = Object.keys(this.#deletedAt);
		const waiting = new Set();
		for (const table of this.#types.keys()) {
			for (const id of await this.#deletedIds(table))
				waiting.add(`${table}/${id}`);
		}
		const gone = noted.filter((name) => !waiting.has(name));
		for (const name of gone)
			delete this.#deletedAt[name];
		if (gone.length > 0)
			await this.#set('deletedAt', this.#deletedAt);
	}

	async #makeClientId() {
		const clientId = randomId();
		await this.#set('clientId', clientId);
		return clientId;
	}

	#get(name) {
		return this.database.localStorage.get(`tide_${name}`);
	}

	#set(name, value) {
		return this.database.localStorage.set(`tide_${name}`, value);
	}
}

function split(name) {
	const at = name.indexOf('/');
	return [name.slice(0, at), name.slice(at + 1)];
}

/* A record, or null. */
function found(collection, id) {
	return collection.find(id).catch(() => null);
}

function sameRaw(a, b) {
	return Object.keys(b).every((name) => a[name] === b[name]);
}

const isTime = (type) => type.startsWith('timestamp');
const isJson = (type) => type === 'json' || type === 'jsonb';

/* what WatermelonDB has in a column that is not optional, for null */
const EMPTY = { string: '', number: 0, boolean: false };

/*
 * What makes a column's value of the server's: `empty` of null, and `whole` of all
 * that is not what typeof calls `plain`, which stays as it is.
 */
function fromWire(column, type) {
	const empty = column.isOptional ? null : EMPTY[column.type];
	if (column.type === 'number')
		return { empty, plain: isTime(type) ? null : 'number', whole: isTime(type) ? Date.parse : Number };
	if (column.type !== 'string')
		return { empty, plain: 'boolean', whole: (value) => value };
	if (isJson(type))
		return { empty, plain: null, whole: JSON.stringify };
	return { empty, plain: 'string', whole: (value) => typeof value === 'object' ? JSON.stringify(value) : String(value) };
}

/* What is no JSON is the server's to judge, and keeps nothing else from being sent. */
function toWire(type, value) {
	if (!isJson(type) || typeof value !== 'string')
		return value;
	try {
		return value === EMPTY.string ? null : JSON.parse(value);
	} catch {
		return value;
	}
}
