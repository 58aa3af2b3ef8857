import { isAltered, orText } from './json.js';
import { keyColumns, own } from './keys.js';
import { nextStamp } from './stamps.js';

/*
 * One row of the local database, and what becomes of it. No I/O here.
 *
 *   type, key   which row
 *   row         as it is seen here; null where it is deleted here or never was
 *   seen        the sweep in which it last came
 *
 * and while it has an edit that the server has not confirmed
 *
 *   dirty       1
 *   action      upsert or delete
 *   base        the server's row that the edit was made upon; null: there is none
 *   theirs      a newer server's row, null for a deletion; absent: none came
 *   edit        number of its last edit, which no other edit of the store ever has
 *   changed     {column: edit} of the columns that were edited
 *   id          the key's columns of a deleted row, of which nothing else may be left
 *   stamp       when it was last edited
 *   sentEdit    number of the last edit that was sent
 *   sent        the change that was sent as that, until it is answered
 *   tries, nextTryAt, parked, errors   after it was refused
 *   revoked     its scope is not the user's any more
 */

export function isDirty(record) {
	return record?.dirty === 1;
}

/* An edit by the user: `columns` over the row, or a delete where it is null. */
export function editRecord(record, { type, key, columns, description, clientId, now, edit }) {
	const { modifiedAt, clientId: clientColumn } = description;
	const dirty = isDirty(record);
	const base = dirty ? record.base : record?.row ?? null;
	const stamp = nextStamp([base?.[modifiedAt], record?.stamp, record?.row?.[modifiedAt]], now);
	const next = {
		type, key, dirty: 1, base, stamp, edit,
		changed: { ...(dirty ? record.changed : {}) },
		tries: 0,
	};
	if (dirty && 'theirs' in record)
		next.theirs = record.theirs;
	if (record?.seen !== undefined)
		next.seen = record.seen;
	if (columns === null) {
		const id = keyOf(record, description, key);
		return { ...next, id, action: 'delete', row: softDeleted(record?.row ?? base, description, stamp) };
	}

	// by a key alone: the row may have been deleted on the server a moment ago
	const before = record?.row ?? keyOf(record, description, key);
	// JSON has no undefined: such a column is not given
	const given = Object.entries({ ...emptied(record, description),
		...Object.fromEntries(Object.entries(columns).filter(([, value]) => value !== undefined)) });
	const edited = given.filter(([name, value]) => !same(own(before, name), value));
	next.changed = { ...next.changed, ...Object.fromEntries(edited.map(([name]) => [name, edit])) };
	next.row = { ...before, ...Object.fromEntries(given) };
	if (modifiedAt)
		next.row[modifiedAt] = stamp;
	if (clientColumn)
		next.row[clientColumn] = clientId ?? null;
	// a delete that is taken back by an edit clears the mark
	if (description.deletedAt && columns[description.deletedAt] === undefined && before[description.deletedAt])
		next.row[description.deletedAt] = null;
	return { ...next, action: 'upsert' };
}

/* The key's columns as they are on the wire, wherever a row of the record is left. */
function keyOf({ row, base, theirs, id } = {}, description, key) {
	const known = row ?? base ?? theirs ?? id ?? keyColumns(description.key, key);
	return Object.fromEntries(description.key.map((name) => [name, known[name]]));
}

/* A soft delete leaves the row with its mark; any other leaves nothing. */
function softDeleted(row, { deletedAt, modifiedAt }, stamp) {
	if (!deletedAt || !row)
		return null;
	return { ...row, [deletedAt]: stamp, ...(modifiedAt ? { [modifiedAt]: stamp } : {}) };
}

/*
 * A row that was deleted here and is made anew has nothing of the one that the
 * server still has, but what the server gives a row itself.
 */
function emptied(record, { key, scope, modifiedAt, clientId, version, columns }) {
	if (record?.row !== null || !record.base)
		return {};
	const kept = [...key, scope, modifiedAt, clientId, version];
	return Object.fromEntries(columns.filter((column) => column.nullable && column.writable && !column.default
		&& !kept.includes(column.name)).map(({ name }) => [name, null]));
}

/* Created and deleted here before the server knew of it: nothing to send. */
export function isMoot(record) {
	return isDirty(record) && record.action === 'delete' && record.base === null
		&& !('theirs' in record) && !record.sentEdit;
}

/*
 * The server's version of a row came with a pull; null for a deletion. Returns
 * the record to store, or null to remove it. An edit made here stays, and its
 * base does not move: a stale edit would else win by causality.
 */
export function pulled(record, { type, key, row, sweep }) {
	if (!isDirty(record))
		return row === null ? null : { type, key, row, seen: sweep };
	const { revoked, ...kept } = record;
	// a row that comes is the user's, also where its scope was taken for a while
	return { ...kept, ...(revoked && row === null ? { revoked } : {}), theirs: row, seen: sweep };
}

/* The change to push. */
export function changeOf(record, description, patches) {
	const { modifiedAt, clientId, version, columns } = description;
	const change = { type: record.type, stamp: record.stamp, action: record.action };
	const keyAnd = record.row ?? record.base ?? keyOf(record, description, record.key);
	if (record.base !== null && modifiedAt)
		change.base = record.base[modifiedAt] ?? null;
	const types = new Map(columns.filter((column) => column.writable).map(({ name, type }) => [name, type]));
	const isSent = ([name, value]) => description.key.includes(name)
		|| (types.has(name) && ![modifiedAt, clientId, version].includes(name)
			&& !(record.base !== null && !own(record.changed, name) && isAltered(types.get(name), value)));
	change.row = Object.fromEntries(Object.entries(keyAnd).filter(isSent));
	if (patches && record.base !== null && record.action === 'upsert')
		change.changed = Object.keys(record.changed).filter((name) => own(change.row, name) !== undefined);
	return change;
}

/*
 * The server's verdict on what was sent as edit number `sent`. Returns
 * {record: what to store or null, lost: the version that lost or undefined}.
 */
export function answered({ sent: _, ...record }, { sent, result, gone, description, delay, park }) {
	const entity = gone ? null : result.entity;
	const editedSince = record.edit !== sent;
	if (result.status === 'failed')
		return { record: editedSince ? record : refused(record, { result, entity, delay, park }) };

	const lost = result.status === 'superseded'
		? { type: record.type, key: record.key, mine: record.row, theirs: entity } : undefined;
	if (!editedSince)
		return { record: entity && { type: record.type, key: record.key, row: entity, seen: record.seen }, lost };
	if (lost)
		return { record: { ...record, theirs: entity }, lost };
	return { record: rebased(record, sent, entity, description) };
}

/* What was sent is the new base of the edits that came after it. */
function rebased(record, sent, entity, description) {
	const changed = Object.fromEntries(Object.entries(record.changed)
		.filter(([, edit]) => edit > sent));
	const next = { ...record, base: entity, changed };
	delete next.theirs;
	if (record.action === 'upsert') {
		const kept = [...Object.keys(changed), description.modifiedAt, description.clientId];
		next.row = { ...(entity ?? record.row) };
		for (const name of kept) {
			if (name && own(record.row, name) !== undefined)
				next.row[name] = record.row[name];
		}
	}
	return next;
}

function refused(record, { result, entity, delay, park }) {
	const tries = (record.tries ?? 0) + 1;
	const next = { ...record, tries, errors: result.errors };
	if (entity !== undefined && (entity !== null || record.base !== null))
		next.theirs = entity;
	if (park(tries, result.code))
		return { ...next, parked: true, nextTryAt: undefined };
	return { ...next, nextTryAt: Date.now() + delay(tries) };
}

/* What is there when the user gives an edit up. */
export function discarded(record) {
	if (record.revoked)
		return null;
	const row = 'theirs' in record ? record.theirs : record.base;
	return row && { type: record.type, key: record.key, row, seen: record.seen };
}

function same(a, b) {
	return a === b || JSON.stringify(a, orText) === JSON.stringify(b, orText);
}
