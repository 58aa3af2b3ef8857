import { replicateRxCollection } from 'rxdb/plugins/replication';
import { filter, firstValueFrom, merge, Subject } from 'rxjs';

import { OwnersClient } from './client.js';
import { isAltered } from './json.js';
import { fingerprint, randomId, serverKeyText } from './keys.js';
import { Listeners } from './listeners.js';
import { REFUSED, SyncLoop } from './loop.js';
import { columnsOf, isEverythingOf, isRevoked, MOST_ACKS, NO_PLACE, PullCollector } from './pull.js';
import { isGone, pushLate } from './push.js';
import { nextStamp, stampTime } from './stamps.js';

const META = 'tidemeta';
const LONGEST_ID = 300;
const BATCH = 1000;
const UNKNOWN_TYPE = { status: 'failed', code: 'unknown_entity_type',
	errors: [{ code: 'unknown_entity_type', message: 'the server does not have this entity type, or not for this user' }] };
const META_SCHEMA = {
	version: 0,
	primaryKey: 'id',
	type: 'object',
	properties: {
		id: { type: 'string', maxLength: LONGEST_ID },
		value: { type: 'string' }, // JSON
	},
	required: ['id', 'value'],
};

/*
 * Replicates collections of an RxDB database with pg_tide: one cursor, one push
 * and one wait for all of them.
 *
 *   client       a TideClient
 *   database     an RxDatabase
 *   collections  {entityType: RxCollection}
 *   name         tells apart what syncs different databases in one browser
 *
 * Resolves with a TideReplication, which is stopped until start() or sync().
 */
export async function replicateTide(options) {
	const replication = new TideReplication(options);
	await replication.open();
	return replication;
}

export class TideReplication {
	/* edits that the server refused: {type, key, edit, errors, at} */
	refused$ = new Subject();
	#schema = null;
	#owners;		// the client, for this database's user alone
	#types;			// Map(entityType => Replicated)
	#meta = null;
	#waiting = [];	// pushes of single collections that have not been sent
	#enqueued = new Listeners();
	#acks = [];
	#place = NO_PLACE;
	#collector = null;
	#stopped = false;
	#heard = null;	// of the schema, from other tabs

	constructor({ client, database, collections, name, live, retry, pollSeconds }) {
		this.client = client;
		this.database = database;
		this.collections = collections;
		this.#types = new Map();
		this.#owners = new OwnersClient(client, (user) => this.#ownerOf(user));
		this.loop = new SyncLoop({
			client: this.#owners, live, retry, pollSeconds,
			name: `rxdb ${name ?? database.name}`,
			entityTypes: Object.keys(collections),
			sync: (signal) => this.#syncOnce(signal),
			cursor: async () => this.#place.cursor,
			counts: () => this.#counts(),
			lead: () => this.#startAll(),
			syncAll: () => this.sync(),
		});
	}

	get status() {
		return this.loop.status;
	}

	async open() {
		this.#meta = this.database.collections[META]
			?? (await this.database.addCollections({ [META]: { schema: META_SCHEMA } }))[META];
		this.database.onClose.push(() => this.stop());
		this.#place = await this.#getMeta('place') ?? NO_PLACE;
		this.#schema = await this.#getMeta('schema') ?? null;
		this.client.clientId ??= await this.#getMeta('clientId') ?? await this.#makeClientId();
		// in a tab that does not sync: edits are stamped by what the one that does has learned
		this.#heard = this.#meta.findOne('schema').$.subscribe((document) => {
			if (document && document.value !== JSON.stringify(this.#schema))
				this.#schema = JSON.parse(document.value);
		});
		for (const [type, collection] of Object.entries(this.collections)) {
			this.#types.set(type, new Replicated(type, collection, {
				clientId: this.client.clientId,
				description: () => this.#schema?.entityTypes[type] ?? null,
				push: (rows) => this.#enqueue(type, rows),
			}));
		}
	}

	/* Replicate from now on, in one of the tabs that have the database open. */
	start() {
		this.loop.start();
	}

	/* Once, now. Resolves with the status when every collection is in sync. */
	async sync() {
		// the tab that leads has what is edited here, too
		if (!this.loop.follows)
			await this.#startAll();
		let status;
		do {
			status = await this.loop.sync();
			if (this.loop.follows)
				return status;
			// refused edits are no reason to end; a push that is refused would be sent for ever
			if (status.error !== null && status.error.code !== REFUSED)
				return status;
			await this.#settledOrPushed();
		} while (this.#waiting.length > 0);
		await this.#keepCursor();
		return status;
	}

	async stop() {
		this.#stopped = true;
		this.#heard?.unsubscribe();
		await this.loop.stop();
		await Promise.all([...this.#types.values()].map((one) => one.cancel()));
		for (const { reject } of this.#waiting.splice(0))
			reject(new Error('the replication was stopped'));
	}

	/* Edits that the server refused, and that were taken back here. */
	async refused() {
		const documents = await this.#meta.find({ selector: { id: { $regex: '^refused ' } } }).exec();
		return documents.map((document) => JSON.parse(document.value));
	}

	/* Make a refused edit once more. */
	async retry(type, key) {
		const [refused] = (await this.refused()).filter((one) => one.type === type && one.key === key);
		if (!refused)
			return;
		await this.discard(type, key);
		const { _deleted, ...document } = refused.edit;
		try {
			if (_deleted)
				await (await this.collections[type].findOne(key).exec())?.remove();
			else
				await this.collections[type].upsert(document);
		} catch (error) {
			// the collection's schema may be another one by now
			await this.#setMeta(refusedId(type, key), refused);
			throw error;
		}
	}

	/* Forget a refused edit. */
	async discard(type, key) {
		await (await this.#meta.findOne(refusedId(type, key)).exec())?.remove();
		await this.loop.refresh();
	}

	/* ---- the sync of the loop ---- */

	async #syncOnce(signal) {
		await this.#readSchema(signal);
		await this.#pull(signal);
		while (this.#waiting.length > 0)
			await this.#push(signal);
		await this.#setMeta('lastSyncAt', Date.now());
		this.#keepCursor().catch(() => {});
		return {};
	}

	/* Another object where the types are others: what was collected goes on otherwise. */
	async #readSchema(signal) {
		const schema = await this.#owners.schema({ signal });
		if (JSON.stringify(schema) !== JSON.stringify(this.#schema)) {
			await this.#setMeta('schema', schema);
			this.#schema = schema;
		}
		return this.#schema;
	}

	async #pull(signal) {
		if (this.#collector?.schema !== this.#schema)
			this.#collector = new PullCollector(this.#owners, this.#schema);
		const acks = [...this.#acks];
		const { cursor, awaited, known } = this.#place;
		const set = await this.#collector.collect({
			since: cursor, awaited, known, columns: this.#columns(), acks, signal, entityTypes: [...this.#types.keys()],
			readSchema: () => this.#readSchema(signal) });
		this.#acks = this.#acks.filter((ack) => !acks.includes(ack));
		for (const one of this.#types.values())
			await one.receive(set);
		this.#place = { cursor: set.cursor, awaited: set.awaited, known: set.known };
	}

	/* {type: those columns of the server's that the collection has, too} */
	#columns() {
		const known = columnsOf(this.#schema, [...this.#types.keys()]);
		return Object.fromEntries(Object.entries(known).map(([type, names]) => [type,
			names.filter((name) => name in this.collections[type].schema.jsonSchema.properties)]));
	}

	/* Everything that collections want to push, as one push. */
	async #push(signal) {
		const batch = this.#waiting.splice(0);
		const left = new Set(batch);
		try {
			const rows = batch.flatMap(({ type, rows }) => rows.map((row) => ({ type, ...row })));
			const { results, error } = await this.#pushRows(rows, signal);
			let from = 0;
			for (const one of batch) {
				const to = from + one.rows.length, verdicts = results.slice(from, to);
				if (verdicts.every(Boolean)) {
					one.resolve(await this.#verdicts(one.type, rows.slice(from, to), verdicts));
					left.delete(one);
				}
				from = to;
			}
			if (error)
				throw error;
		} finally {
			this.#waiting.unshift(...left);
		}
	}

	async #pushRows(rows, signal) {
		const results = rows.map(() => undefined);
		const sent = [];
		for (const [i, row] of rows.entries()) {
			// RxDB gives the edits of a collection once: one that cannot go now is kept as refused
			if (!this.#schema.entityTypes[row.type]) {
				results[i] = UNKNOWN_TYPE;
				continue;
			}
			const change = this.#types.get(row.type).change(row);
			if (change)
				sent.push({ i, change });
			else
				results[i] = { status: 'unchanged', entity: null };
		}
		// with a cursor a 410 would come again at every retry, and RxDB pulls nothing meanwhile
		const { results: given, acks, error } = await pushLate(this.#owners, this.#schema,
			sent.map(({ change }) => change),
			{ signal, cursor: this.#place.cursor, isNew: (n) => !rows[sent[n].i].assumedMasterState });
		this.#acks = [...this.#acks, ...acks].slice(-MOST_ACKS);
		for (const [n, { i }] of sent.entries()) {
			// the deletion of what had never come there
			const isNothing = given[n]?.status === 'failed' && !given[n].entity && isOfNothing(rows[i]);
			results[i] = isNothing ? { status: 'unchanged', entity: null } : given[n];
		}
		return { results, error };
	}

	/* What RxDB calls conflicts: the rows that stand instead of what was sent. */
	async #verdicts(type, rows, results) {
		const one = this.#types.get(type);
		const conflicts = [], stored = [];
		for (const [i, { newDocumentState: edit, assumedMasterState: known }] of rows.entries()) {
			const { status, errors } = results[i];
			const key = edit[one.primary];
			// where nobody said what stands, it is what came last
			const isUnsaid = status === 'failed' && results[i].entity === undefined && known;
			const entity = results[i].entity ?? null;
			const gone = status === 'failed' ? !entity : isGone(this.#schema, type, entity);
			let stands = isUnsaid ? known : gone ? one.deleted(edit, entity) : one.toDocument(entity);
			// a key that the server writes in another form, a uuid in lower case, is another document's
			const isMoved = stands[one.primary] !== key;
			if (isMoved) {
				stored.push(stands);
				stands = one.deleted(edit, null);
			}
			if (status === 'failed' || (status === 'superseded' && isMoved))
				one.takeBack(key);
			if (status === 'failed') {
				conflicts.push(stands);
				await this.#noteRefused({ type, key, edit, errors, at: new Date().toISOString() });
			} else if (status === 'superseded') {
				conflicts.push(stands);
			} else if (entity) {
				stored.push(stands);
			}
		}
		// what the server made of it: defaults, its version, a raised stamp
		one.emit(stored);
		return conflicts;
	}

	async #noteRefused(refused) {
		await this.#setMeta(refusedId(refused.type, refused.key), refused);
		this.refused$.next(refused);
	}

	#enqueue(type, rows) {
		return new Promise((resolve, reject) => {
			this.#waiting.push({ type, rows, resolve, reject });
			this.#enqueued.tell();
			this.loop.kick();
		});
	}

	/* ---- the rest ---- */

	async #startAll() {
		await Promise.all([...this.#types.values()].map((one) => one.start()));
	}

	/* all that was pulled and pushed is in the collections */
	async #settled() {
		await Promise.all([...this.#types.values()].map((one) => one.settled()));
	}

	/* ... or a collection has something more to push, without which none settles */
	async #settledOrPushed() {
		let stop;
		const pushed = new Promise((resolve) => { stop = this.#enqueued.add(resolve); });
		try {
			if (this.#waiting.length === 0)
				await Promise.race([this.#settled(), pushed]);
		} finally {
			stop();
		}
	}

	/*
	 * The cursor is stored after the rows that it speaks of, so that a crash in
	 * between pulls them again.
	 */
	async #keepCursor() {
		const place = this.#place;
		await this.#settled();
		if (place === this.#place && !this.#stopped)
			await this.#setMeta('place', place);
	}

	async #counts() {
		const refused = await this.refused();
		return {
			pending: this.#waiting.reduce((sum, { rows }) => sum + rows.length, 0),
			failed: refused.length,
			lastSyncAt: await this.#getMeta('lastSyncAt') ?? null,
		};
	}

	/* Whoever syncs first. */
	async #ownerOf(user) {
		const owner = await this.#getMeta('user');
		if (owner === undefined)
			await this.#setMeta('user', user);
		return owner ?? user;
	}

	async #makeClientId() {
		const clientId = randomId();
		await this.#setMeta('clientId', clientId);
		return clientId;
	}

	async #getMeta(id) {
		const document = await this.#meta.findOne(id).exec();
		return document ? JSON.parse(document.value) : undefined;
	}

	#setMeta(id, value) {
		return this.#meta.incrementalUpsert({ id, value: JSON.stringify(value) });
	}
}

/* One collection, and RxDB's own replication of it. */
class Replicated {
	#type;
	#collection;
	#description;
	#stream = new Subject();
	#emitted = 0;
	#state;
	#started = null;
	#takenBack = new Set();
	#properties;

	constructor(type, collection, { clientId, description, push }) {
		this.#type = type;
		this.#collection = collection;
		this.#description = description;
		this.primary = collection.schema.primaryPath;
		// once, not for each row
		this.#properties = Object.entries(collection.schema.jsonSchema.properties)
			.filter(([name]) => !name.startsWith('_'))
			.map(([name, { type }]) => ({ name, takesNull: [type].flat().includes('null') }));
		this.#stampEdits(clientId);
		this.#refuseInResolver();
		this.#state = replicateRxCollection({
			collection,
			replicationIdentifier: `tide ${type}`,
			live: true,
			autoStart: false,
			waitForLeadership: false,
			retryTime: 1000,
			pull: {
				// rows come by the stream, for all collections at once
				handler: async () => ({ documents: [], checkpoint: undefined }),
				stream$: this.#stream,
				batchSize: BATCH,
			},
			push: { handler: push, batchSize: BATCH },
		});
	}

	start() {
		this.#started ??= this.#begin();
		return this.#started;
	}

	/*
	 * RxDB drops what the stream brings before its own first look at the server has
	 * ended, since it thinks that it saw it there.
	 */
	async #begin() {
		await this.#state.start();
		const { firstSyncDone, events } = this.#state.internalReplicationState;
		await firstValueFrom(merge(firstSyncDone.down, events.canceled).pipe(filter(Boolean)),
			{ defaultValue: true });
	}

	cancel() {
		return this.#state.cancel();
	}

	async settled() {
		do {
			await this.#state.awaitInSync();
		} while (this.#taken() < this.#emitted && !this.#state.isStopped());
	}

	/* how many emitted bulks RxDB has in its queue; it says so nowhere else */
	#taken() {
		return this.#state.internalReplicationState?.stats?.down?.masterChangeStreamEmit ?? this.#emitted;
	}

	emit(documents) {
		if (documents.length === 0)
			return;
		this.#emitted++;
		this.#stream.next({ documents, checkpoint: { at: Date.now() } });
	}

	/* The next conflict of this row is a refusal: what stands on the server stands. */
	takeBack(key) {
		this.#takenBack.add(key);
	}

	/* A set of changes of all collections; RxDB leaves rows with unsent edits alone. */
	async receive(set) {
		const rows = set.rows.get(this.#type) ?? new Map();
		const deleted = set.deleted.get(this.#type) ?? new Map();
		const local = await this.#localFor(set, rows, deleted);
		const documents = [];
		for (const [key, row] of rows) {
			const document = this.toDocument(row);
			// what was deleted before it ever came here
			if (!document._deleted || local.has(key))
				documents.push(document);
		}
		for (const [key, document] of local) {
			if (rows.has(key) || document._deleted)
				continue;
			// RxDB checks deleted documents against the schema: all of it, not just the key
			if (deleted.has(key) || isEverythingOf(set, this.#type)
				|| isRevoked(set, this.#description(), document))
				documents.push({ ...withoutMeta(document), _deleted: true });
		}
		this.emit(documents);
	}

	async #localFor(set, rows, deleted) {
		const { storageInstance } = this.#collection;
		const whole = isEverythingOf(set, this.#type) || set.revokedScopes.size > 0;
		const keys = whole ? (await this.#collection.find().exec()).map((document) => document.primary)
			: [...deleted.keys(), ...[...rows].filter(([, row]) => this.#isDeleted(row)).map(([key]) => key)];
		if (keys.length === 0)
			return new Map();
		const documents = await storageInstance.findDocumentsById(keys, true);
		return new Map(documents.map((document) => [document[this.primary], document]));
	}

	#isDeleted(row) {
		const { deletedAt } = this.#description();
		return Boolean(deletedAt && row[deletedAt]);
	}

	/* The server's row as the collection's schema has it. */
	toDocument(row) {
		const document = { _deleted: this.#isDeleted(row) };
		for (const { name, takesNull } of this.#properties) {
			const value = row[name];
			if (name in row && (takesNull || (value !== null && value !== undefined)))
				document[name] = value;
		}
		document[this.primary] = serverKeyText([this.primary], row);
		return document;
	}

	/* An edited document whose row is deleted, with the time of that if there is one. */
	deleted(edit, entity) {
		const { modifiedAt } = this.#description();
		const { properties } = this.#collection.schema.jsonSchema;
		const at = !edit._deleted && modifiedAt in properties ? entity?.deletedAt : undefined;
		return { ...edit, ...(at ? { [modifiedAt]: at } : {}), _deleted: true };
	}

	/* The change that an edited document is, or null where there is nothing to say. */
	change({ newDocumentState: edit, assumedMasterState: known }) {
		const { modifiedAt, deletedAt, version, clientId, columns } = this.#description();
		// what was made and deleted here may have been sent before the app was closed
		if (edit._deleted && known?._deleted)
			return null;
		const change = {
			type: this.#type,
			action: edit._deleted ? 'delete' : 'upsert',
			row: { [this.primary]: edit[this.primary] },
			stamp: edit[modifiedAt] && edit[modifiedAt] !== known?.[modifiedAt]
				? edit[modifiedAt] : nextStamp([known?.[modifiedAt]]),
		};
		// nothing but its stamp brings a row back, which a clock that is behind would never do
		if (known?._deleted && edit[modifiedAt])
			change.stamp = nextStamp([known[modifiedAt]], stampTime(edit[modifiedAt]));
		if (known && !known._deleted)
			change.base = known[modifiedAt] ?? null;
		const { properties } = this.#collection.schema.jsonSchema;
		for (const { name, type, writable } of columns) {
			if (!writable || !(name in properties) || [modifiedAt, version, clientId].includes(name))
				continue;
			if (isAltered(type, edit[name]) && JSON.stringify(edit[name]) === JSON.stringify(known?.[name]))
				continue;
			if (edit[name] !== undefined)
				change.row[name] = edit[name];
			else if (known && known[name] !== undefined)
				change.row[name] = null; // taken out of the document
		}
		if (deletedAt && known?._deleted)
			change.row[deletedAt] = null;
		return change;
	}

	/* The time of an edit is that of the edit, not of its push. */
	#stampEdits(clientId) {
		const stamp = (data) => {
			const description = this.#description();
			const { properties } = this.#collection.schema.jsonSchema;
			if (!description)
				return;
			const { modifiedAt, clientId: clientColumn } = description;
			if (modifiedAt in properties)
				data[modifiedAt] = nextStamp([data[modifiedAt]]);
			if (clientColumn in properties)
				data[clientColumn] = clientId;
		};
		this.#collection.preInsert(stamp, false);
		this.#collection.preSave(stamp, false);
		this.#collection.preRemove(stamp, false);
	}

	/* A refusal is no conflict: a resolver that insists would go round for ever. */
	#refuseInResolver() {
		const { conflictHandler } = this.#collection;
		this.#collection.conflictHandler = {
			...conflictHandler,
			isEqual: conflictHandler.isEqual.bind(conflictHandler),
			resolve: (conflict, context) => {
				const key = conflict.realMasterState[this.primary];
				return this.#takenBack.delete(key) ? conflict.realMasterState
					: conflictHandler.resolve(conflict, context);
			},
		};
	}
}

/* Under which a refused edit is kept. A collection's keys may be longer than ours. */
function refusedId(type, key) {
	const id = `refused ${type} ${key}`;
	return id.length <= LONGEST_ID ? id : `${id.slice(0, 140)} ${fingerprint(id)} ${id.slice(-140)}`;
}

/* Made and deleted here, as far as is known: it may have been sent, or not. */
function isOfNothing({ newDocumentState, assumedMasterState }) {
	return newDocumentState._deleted && !assumedMasterState;
}

function withoutMeta(document) {
	return Object.fromEntries(Object.entries(document).filter(([name]) => !name.startsWith('_')));
}
