import { needsUser, rowDelay, stillWaits } from './backoff.js';
import { OwnersClient } from './client.js';
import { TideError } from './errors.js';
import { keyText, own, randomId } from './keys.js';
import { Listeners } from './listeners.js';
import { SyncLoop } from './loop.js';
import { columnsOf, grownTypes, MOST_ACKS, pullPages, without } from './pull.js';
import { isGone, pushParts } from './push.js';
import {
	answered, changeOf, discarded, editRecord, isDirty, isMoot, pulled,
} from './record.js';
import { IndexedDbStorage } from './storage-indexeddb.js';

const MOST_LOST = 100;
const NO_SWEEP = { id: 0, all: null, types: {} };

/*
 * A local database of its own: the user's rows, edited at once and offline,
 * synced by themselves. Edits, cursor and replies are in one IndexedDB, so that
 * whatever ends the page in between, nothing is lost and nothing happens twice.
 */
export class TideStore {
	#listeners = new Listeners();
	#storage;
	#schema = null;
	#known = {};		// entity types by name, also those that are not there now: their rows are
	#owners;			// the client, for this store's user alone
	#user = null;		// whose rows these are, once that was looked up
	#retry;

	/*
	 * client       a TideClient
	 * name         the database's name; one for each server and user
	 * entityTypes  only these; else all that the user may read
	 * conflict     {type: 'merge'} where the server does not say its policy
	 * storage      an IndexedDbStorage (default) or MemoryStorage
	 * live         false: no waiting for the server's changes
	 */
	constructor({ client, name = 'tide', entityTypes, conflict = {}, storage, live, retry = {}, pollSeconds }) {
		this.client = client;
		this.entityTypes = entityTypes;
		this.conflict = conflict;
		this.#retry = retry;
		this.#storage = storage ?? new IndexedDbStorage(name);
		this.#owners = new OwnersClient(client, (user) => this.#ownerOf(user));
		this.loop = new SyncLoop({
			client: this.#owners, name, entityTypes, live, retry, pollSeconds,
			sync: (signal) => this.#syncOnce(signal),
			cursor: () => this.#getMeta('cursor'),
			counts: () => this.#counts(),
			heard: (changes) => this.#heard(changes),
		});
	}

	/* The schema as it was last seen, so that the app also starts offline. */
	async open() {
		await this.#storage.open();
		const clientId = await this.#getMeta('clientId');
		await this.#rereadSchema();
		if (!this.client.clientId)
			this.client.clientId = clientId ?? await this.#makeClientId();
		return this;
	}

	async close() {
		await this.loop.stop();
		await this.#storage.close();
	}

	/* {state, pending, failed, lastSyncAt, error}: a SyncStatus */
	get status() {
		return this.loop.status;
	}

	start() {
		this.loop.start();
		this.#rereadSchema().catch(() => {}); // of which the sync tells
	}

	sync() {
		return this.loop.sync();
	}

	/* The schema's entity types by name; null before the first sync. */
	get schema() {
		return this.#schema?.entityTypes ?? null;
	}

	/* An entity type as it was last seen, also where it cannot be synced for now; or undefined. */
	describe(type) {
		return own(this.#known, type);
	}

	/* All rows of a type that are there, or the soft-deleted ones, too. */
	async all(type, { deleted = false } = {}) {
		const records = await this.#read((tx) => tx.all(type));
		const mark = this.describe(type)?.deletedAt;
		return records.filter((record) => isVisible(record) && (deleted || !mark || !record.row[mark]))
			.map((record) => record.row);
	}

	/* One row, or undefined. key: its text, or an object of its columns. */
	async get(type, key) {
		const record = await this.#read((tx) => tx.get(type, this.#keyText(type, key)));
		return isVisible(record) ? record.row : undefined;
	}

	/* One row, unless it is soft-deleted. */
	async visible(type, key) {
		const row = await this.get(type, key);
		const mark = this.describe(type)?.deletedAt;
		return row && mark && row[mark] ? undefined : row;
	}

	/*
	 * Edits a row, or creates it; columns that are not given stay as they are.
	 * Returns the row. A missing key of one uuid or text column is made.
	 */
	async put(type, columns) {
		const [row] = await this.putAll([{ type, columns }]);
		return row;
	}

	/*
	 * Several edits, of any types, all or none: {type, columns}, with a key of its
	 * own where the columns lack it, or {type, key, delete: true}.
	 */
	async putAll(edits) {
		const rows = [], changes = [];
		await this.#write(async (tx) => {
			for (const edit of edits) {
				const record = await this.#edit(tx, edit);
				changes.push([edit.type, record.key]);
				rows.push(record.row);
			}
		});
		this.#changed(changes);
		return rows;
	}

	async delete(type, key) {
		await this.putAll([{ type, key, delete: true }]);
	}

	/*
	 * The edits that the server does not have: {type, key, operation, editedAt,
	 * state: pending | failed | parked, tries, nextTryAt, errors, mine, theirs}.
	 */
	async pending() {
		const records = await this.#read((tx) => tx.dirty());
		return records.sort((a, b) => a.stamp < b.stamp ? -1 : 1).map((record) => ({
			type: record.type, key: record.key,
			operation: record.action === 'delete' ? 'delete' : record.base === null ? 'create' : 'update',
			editedAt: record.stamp,
			state: record.parked ? 'parked' : record.errors ? 'failed' : 'pending',
			tries: record.tries ?? 0, nextTryAt: record.nextTryAt ?? null, errors: record.errors ?? [],
			mine: record.row, theirs: 'theirs' in record ? record.theirs : record.base,
		}));
	}

	/* Versions that lost against another one, newest first, until cleared. */
	async lost() {
		return await this.#getMeta('lost') ?? [];
	}

	async clearLost() {
		await this.#write((tx) => tx.setMeta('lost', []));
		this.loop.refresh();
	}

	/* Send what was refused once more, now: one row's edit, or all. */
	async retry(type, key) {
		await this.#eachDirty(type, key, (record) => {
			const { parked, nextTryAt, revoked, ...rest } = record;
			return rest;
		});
		return this.loop.sync();
	}

	/* Give an edit up: the row is again as the server last showed it. */
	async discard(type, key) {
		await this.#eachDirty(type, key, discarded);
	}

	/* Give up all edits that the server does not have. */
	async clearQueue() {
		await this.#eachDirty(undefined, undefined, discarded);
	}

	/* Everything here is forgotten, unsent edits, too. */
	async wipe() {
		await this.loop.stop();
		await this.#write((tx) => tx.clear());
		this.#schema = this.#user = null;
		this.#known = {};
		this.#tell(null);
	}

	/*
	 * Calls the listener when rows changed, whoever changed them, in any tab:
	 * a Map of types to Sets of key texts, or null: look at everything again.
	 */
	subscribe(listener) {
		return this.#listeners.add(listener);
	}

	/* ---- edits ---- */

	/*
	 * A number that no edit had before. Counted by the row, an edit after a discard
	 * would have the number of one that is on its way, and be taken for it.
	 */
	async #nextEdit(tx) {
		const edit = (await tx.getMeta('edits') ?? Date.now()) + 1;
		tx.setMeta('edits', edit);
		return edit;
	}

	async #edit(tx, { type, columns, key, delete: isDelete }) {
		const description = this.#description(type);
		const given = isDelete || key !== undefined ? columns : withKey(type, description, columns);
		const text = key !== undefined ? this.#keyText(type, key) : keyText(description.key, given);
		const record = await tx.get(type, text);
		if (isDelete && !isVisible(record))
			return record ?? { type, key: text, row: null };
		const next = editRecord(record, {
			type, key: text, columns: isDelete ? null : given, description, clientId: this.client.clientId,
			edit: await this.#nextEdit(tx) });
		for (const name of ['sentEdit', 'sent']) {
			if (record?.[name])
				next[name] = record[name];
		}
		if (isMoot(next))
			tx.delete(type, text);
		else
			tx.put(next);
		return next;
	}

	/* Also of a type that is not there for now: edits of it wait. */
	#description(type) {
		const description = this.describe(type);
		if (!description)
			throw new TideError('refused', 'unknown_entity_type', this.#schema
				? `the server has no entity type "${type}" for this user`
				: 'the first sync has not been yet, so the entity types are not known');
		return description;
	}

	/* Its description, or undefined. */
	#typeOf(type) {
		return this.#schema ? own(this.#schema.entityTypes, type) : undefined;
	}

	#keyText(type, key) {
		if (key === null || typeof key !== 'object')
			return keyText(['key'], { key });
		return keyText(this.#description(type).key, key);
	}

	async #eachDirty(type, key, action) {
		const changes = [];
		await this.#write(async (tx) => {
			for (const record of await tx.dirty()) {
				if (type !== undefined && (record.type !== type || record.key !== this.#keyText(type, key)))
					continue;
				const next = action(record);
				if (next)
					tx.put(next);
				else
					tx.delete(record.type, record.key);
				changes.push([record.type, record.key]);
			}
		});
		this.#changed(changes);
	}

	/* ---- sync ---- */

	async #syncOnce(signal) {
		await this.#readSchema(signal);
		await this.#pull(signal);
		let nextTryAt = null;
		const startedAt = Date.now();
		for (let rounds = 0; rounds < 10; rounds++) {
			const { sent, later } = await this.#push(startedAt, signal);
			nextTryAt = later;
			if (sent === 0)
				break;
			await this.#pull(signal);
		}
		await this.#write((tx) => tx.setMeta('lastSyncAt', Date.now()));
		return { nextTryAt };
	}

	async #readSchema(signal) {
		const schema = await this.#owners.schema({ signal });
		const isNew = JSON.stringify(schema) !== JSON.stringify(this.#schema);
		const known = { ...this.#known, ...schema.entityTypes };
		await this.#write((tx) => {
			tx.setMeta('schema', schema);
			tx.setMeta('types', known);
		});
		this.#schema = schema;
		this.#known = known;
		// also to other tabs: what is shown, and how an edit is sent, may be otherwise now
		if (isNew)
			this.#tell(null);
	}

	async #pull(signal) {
		const { since, acks, known, user } = await this.#read(async (tx) => ({
			since: await tx.getMeta('cursor') ?? null, acks: await tx.getMeta('acks') ?? [],
			known: await tx.getMeta('columns') ?? {}, user: await tx.getMeta('user') }));
		const columns = columnsOf(this.#schema, this.entityTypes);
		// the rows here lack these columns, since they came with a default
		const refresh = since === null ? [] : grownTypes(known, columns);
		const options = { since, acks, refresh, entityTypes: this.entityTypes, signal };
		const away = [];
		let from = since;
		for await (const page of pullPages(this.#owners, options)) {
			await this.#knowTypes(page, signal);
			away.push(...page.unavailableTypes ?? []);
			await this.#applyPage(page, { from, user, acks, columns: without(columns, away) });
			from = page.cursor;
		}
	}

	/*
	 * A type that was tracked or granted since the schema was read: its rows come
	 * with this page and not again.
	 */
	async #knowTypes(page, signal) {
		const types = [...Object.keys(page.changesByType), ...Object.keys(page.deletedByType)];
		if (types.some((type) => !this.#typeOf(type)))
			await this.#readSchema(signal);
	}

	/* Another tab was faster, where there are no Web Locks, or has wiped the rows. */
	async #expect(tx, known) {
		for (const [name, value] of Object.entries(known)) {
			if ((await tx.getMeta(name) ?? null) !== (value ?? null))
				throw new TideError('busy', 'try_again', 'another tab syncs, too');
		}
	}

	/*
	 * A page and its cursor, in one transaction. from: the cursor it goes on from;
	 * user: whose it is; columns: {type: [columns]} that all rows have when the pull is complete, and
	 * those of a first one from its beginning.
	 */
	async #applyPage(page, { from, user, acks, columns }) {
		const changes = [];
		await this.#write(async (tx) => {
			await this.#expect(tx, { cursor: from, user });
			if (page.reset || from === null)
				await this.#beginSweep(tx, null);
			else if (page.resetTypes?.length > 0)
				await this.#beginSweep(tx, page.resetTypes);
			const sweep = await tx.getMeta('sweep') ?? NO_SWEEP;
			if (page.revokedScopes.length > 0)
				await this.#revoke(tx, page.revokedScopes, changes);
			const dirty = new Map((await tx.dirty())
				.map((record) => [recordName(record.type, record.key), record]));
			for (const [type, rows] of Object.entries(page.changesByType)) {
				for (const row of rows)
					this.#applyRow(tx, dirty, { type, columns: row, row, sweep }, changes);
			}
			for (const [type, keys] of Object.entries(page.deletedByType)) {
				for (const columns of keys)
					this.#applyRow(tx, dirty, { type, columns, row: null, sweep }, changes);
			}
			await this.#endSweep(tx, sweep, page, changes);
			tx.setMeta('cursor', page.cursor);
			if (from === null || !page.hasMore)
				tx.setMeta('columns', { ...await tx.getMeta('columns'), ...columns });
			const left = (await tx.getMeta('acks') ?? []).filter((ack) => !acks.includes(ack));
			if (!page.hasMore)
				tx.setMeta('acks', left);
		});
		this.#tell(changes);
	}

	#applyRow(tx, dirty, { type, columns, row, sweep }, changes) {
		const description = this.#typeOf(type);
		if (!description)
			return;
		const key = keyText(description.key, columns);
		const record = dirty.get(recordName(type, key));
		const next = pulled(record, { type, key, row, sweep: sweep.id });
		if (next)
			tx.put(next);
		else
			tx.delete(type, key);
		if (!record)
			changes.push([type, key]);
	}

	/*
	 * What comes in full: all types (null), or these. Clean rows that have not
	 * come since are gone when it is complete. Kept, so that it survives a
	 * closed page. A row notes in which sweep it came last.
	 */
	async #beginSweep(tx, types) {
		const sweep = await tx.getMeta('sweep') ?? NO_SWEEP;
		const id = sweep.id + 1;
		// a first sync has nothing to sweep
		if (await tx.isEmpty())
			return;
		if (types === null)
			tx.setMeta('sweep', { id, all: id, types: {} });
		else if (types.some((type) => !own(sweep.types, type)))
			tx.setMeta('sweep', { ...sweep, id,
				types: { ...Object.fromEntries(types.map((type) => [type, id])), ...sweep.types } });
	}

	async #endSweep(tx, sweep, page, changes) {
		if (page.hasMore || (!sweep.all && Object.keys(sweep.types).length === 0))
			return;
		// what is not there now is swept when it has come
		const waiting = {};
		const away = page.unavailableTypes ?? [];
		for (const record of await tx.all()) {
			const { type, key } = record;
			const since = own(sweep.types, type) ?? sweep.all;
			if (since && away.includes(type))
				waiting[type] = since;
			if (!since || record.seen >= since || away.includes(type))
				continue;
			if (!isDirty(record)) {
				tx.delete(type, key);
				changes.push([type, key]);
			} else if (record.base !== null) {
				tx.put(vanished(record));
			}
		}
		tx.setMeta('sweep', { ...NO_SWEEP, id: sweep.id, types: waiting });
	}

	/* Rows of scopes that the user may not sync any more. Edits of them wait. */
	async #revoke(tx, scopes, changes) {
		for (const record of await tx.all()) {
			const scope = this.describe(record.type)?.scope;
			const row = record.row ?? record.base;
			if (!scope || !row || !scopes.includes(String(row[scope])))
				continue;
			if (isDirty(record))
				tx.put({ ...record, parked: true, revoked: true, base: null, theirs: undefined, sent: undefined,
					errors: [{ code: 'scope_not_allowed', message: 'the row is no longer yours to edit' }] });
			else
				tx.delete(record.type, record.key);
			changes.push([record.type, record.key]);
		}
	}

	async #push(startedAt, signal) {
		const { due, cursor, later } = await this.#freeze(startedAt);
		if (due.length === 0)
			return { sent: 0, later };
		const changes = due.map(({ sent }) => sent);
		const { results, acks, error } = await pushParts(this.#owners, this.#schema, changes, { cursor, signal });
		await this.#applyVerdicts(due, results, { acks, cursor });
		if (error)
			throw error;
		return { sent: due.length, later };
	}

	/*
	 * The edits that are due, what was refused at most once a sync. What is sent is
	 * noted before it is. A change that was not answered is sent again as it was,
	 * and a later edit of its row after that, upon what the server made of it: the
	 * server may have it, and would take the later edit for somebody else's.
	 */
	async #freeze(now) {
		return this.#write(async (tx) => {
			const due = [];
			let later = null;
			for (const record of await tx.dirty()) {
				if (record.parked || !this.#typeOf(record.type))
					continue;
				if (stillWaits(record.nextTryAt, now, { base: this.#retry.rowBase })) {
					later = Math.min(later ?? Infinity, record.nextTryAt);
					continue;
				}
				if (!record.sent || record.sentEdit === record.edit) {
					record.sentEdit = record.edit;
					record.sent = changeOf(record, this.#typeOf(record.type),
						this.#sendsPatches(record.type));
					tx.put(record);
				}
				due.push(record);
			}
			return { due, later, cursor: await tx.getMeta('cursor') };
		});
	}

	/* Whole rows converge under last-write-wins, patches where columns merge. */
	#sendsPatches(type) {
		const policy = own(this.conflict, type) ?? this.#typeOf(type).conflict;
		return policy !== undefined
			&& !['last_write_wins', 'client_wins', 'server_wins'].includes(policy);
	}

	/* cursor: where the database was when the edits were sent. */
	async #applyVerdicts(due, results, { acks, cursor }) {
		const changes = [], lost = [];
		let shown = true;
		await this.#write(async (tx) => {
			// what another tab has pulled meanwhile may be newer than the replies
			await this.#expect(tx, { cursor });
			for (const [i, sent] of due.entries()) {
				if (!results[i])
					continue; // not answered
				const record = await tx.get(sent.type, sent.key);
				if (!isDirty(record)) {
					shown = false; // discarded meanwhile
					continue;
				}
				const answer = answered(record, {
					sent: sent.sentEdit, result: results[i],
					gone: results[i].status !== 'failed' && isGone(this.#schema, sent.type, results[i].entity),
					description: this.#typeOf(sent.type),
					delay: (tries) => rowDelay(tries, { base: this.#retry.rowBase }),
					park: needsUser,
				});
				if (answer.lost)
					lost.push({ ...answer.lost, at: new Date().toISOString() });
				changes.push([sent.type, sent.key], ...await this.#store(tx, sent, answer.record, results[i]));
			}
			if (lost.length > 0)
				tx.setMeta('lost', [...lost.reverse(), ...await tx.getMeta('lost') ?? []].slice(0, MOST_LOST));
			// an ack says that the rows are here as the replies show them
			if (shown)
				tx.setMeta('acks', [...await tx.getMeta('acks') ?? [], ...acks].slice(-MOST_ACKS));
		});
		this.#tell(changes);
	}

	/*
	 * A key may come back in another form than it was made in, a uuid without its
	 * dashes say: then the row goes from one to the other. Returns what that changed.
	 */
	async #store(tx, { type, key: made }, record, { entity }) {
		const { key: columns } = this.#typeOf(type);
		const key = record && entity && !isGone(this.#schema, type, entity) ? keyText(columns, entity) : made;
		const there = key === made ? undefined : await tx.get(type, key);
		if (!record || key !== made)
			tx.delete(type, made);
		if (!record)
			return [];
		// edited by both names: each edit goes by its own
		if (isDirty(there) && isDirty(record))
			tx.put(record);
		else if (isDirty(there))
			tx.put(pulled(there, { type, key, row: record.row, sweep: there.seen }));
		else
			tx.put({ ...record, key, seen: there?.seen ?? record.seen });
		return key === made ? [] : [[type, key]];
	}

	/* ---- the rest ---- */

	/* What holds nothing yet is whoever's syncs first. */
	async #ownerOf(user) {
		if (this.#user === user)
			return user;
		return this.#user = await this.#write(async (tx) => {
			const owner = await tx.getMeta('user');
			if (owner !== undefined && (await tx.getMeta('cursor') !== undefined || !await tx.isEmpty()))
				return owner;
			tx.setMeta('user', user);
			return user;
		});
	}

	async #counts() {
		return this.#read(async (tx) => {
			const dirty = await tx.dirty();
			return {
				pending: dirty.length,
				failed: dirty.filter((record) => record.errors).length,
				lastSyncAt: await tx.getMeta('lastSyncAt') ?? null,
			};
		});
	}

	async #makeClientId() {
		const clientId = randomId();
		await this.#write((tx) => tx.setMeta('clientId', clientId));
		return clientId;
	}

	#getMeta(name) {
		return this.#read((tx) => tx.getMeta(name));
	}

	#read(action) {
		return this.#storage.transaction('readonly', action);
	}

	#write(action) {
		return this.#storage.transaction('readwrite', action);
	}

	/* the user edited */
	#changed(changes) {
		this.#tell(changes);
		this.loop.kick();
	}

	/* Another tab changed rows; it may have been the first to know the schema. */
	async #heard(changes) {
		if (changes === null)
			this.#user = null; // it was wiped, or the schema is another one
		if (changes === null || this.#schema === null)
			await this.#rereadSchema();
		this.#tell(changes, true);
	}

	/* As another tab has stored it, which may have synced since this one was opened. */
	async #rereadSchema() {
		const before = this.#schema;
		const { schema, known } = await this.#read(async (tx) => ({
			schema: await tx.getMeta('schema') ?? null, known: await tx.getMeta('types') }));
		if (this.#schema !== before)
			return;
		this.#schema = schema;
		this.#known = known ?? schema?.entityTypes ?? {};
	}

	#tell(changes, heard = false) {
		let detail = changes;
		if (Array.isArray(changes)) {
			if (changes.length === 0)
				return;
			detail = new Map();
			for (const [type, key] of changes) {
				if (!detail.has(type))
					detail.set(type, new Set());
				detail.get(type).add(key);
			}
		}
		this.#listeners.tell(detail);
		if (!heard)
			this.loop.announce(detail);
	}
}

function recordName(type, key) {
	return type + '\n' + key;
}

function isVisible(record) {
	return record !== undefined && record.row !== null && !record.revoked;
}

/* The row that an edit was made upon is gone, and nobody remembers why. */
function vanished({ sent, ...record }) {
	if (record.action === 'delete')
		return { ...record, theirs: null };
	return { ...record, theirs: null, parked: true,
		errors: [{ code: 'resync_required', message: 'the row is gone from the server' }] };
}

/* Rows of two tries to insert one without a key are not one row, and a number is the server's to give. */
function withKey(type, description, columns) {
	const missing = description.key.filter((name) => (own(columns, name) ?? null) === null);
	if (missing.length === 0)
		return columns;
	const [name] = missing;
	const column = description.columns.find((one) => one.name === name);
	if (description.key.length > 1 || !/^(uuid|text|character|citext)/.test(column?.type ?? 'uuid'))
		throw new TideError('refused', 'key_missing', `column "${name}" of the key of "${type}" is missing`);
	return { ...columns, [name]: randomId() };
}

export async function openStore(options) {
	return new TideStore(options).open();
}
