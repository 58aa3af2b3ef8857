import { expected, isList, TideError } from './errors.js';
import { wireRow } from './json.js';
import { own, wireKey } from './keys.js';
import { isAfter } from './stamps.js';

/* What one request carries at most; the gateway's defaults are 5,000 and 16 MiB. */
export const PUSH_CHANGES = 2000;
export const PUSH_BYTES = 4 * 1024 * 1024;

/*
 * Changes of all entity types in one push, parted only where they are too many
 * or too long for one request.
 *
 * A change is {type, row, action, stamp, base, changed}: `row` with its key,
 * action `upsert` or `delete`; `base` the stamp it was made upon, undefined
 * where that is not known; `changed` the columns, undefined for all.
 *
 * Resolves with {results, acks}: a result for each change, in their order:
 *   {status, entity, note}       applied, unchanged, merged, superseded
 *   {status: 'failed', errors, code, entity}   entity undefined: nobody said what stands
 * The error of one that ended between its parts has the same as `answered`, with
 * undefined for each change that was not.
 */
export async function pushChanges(...given) {
	const { error, ...answered } = await push(...given);
	if (!error)
		return answered;
	if (answered.results.some(Boolean))
		error.answered = answered;
	throw error;
}

/*
 * The same for what stores the verdicts: {results, acks, error}, for a long push
 * over a bad line is done a part at a time, or never. It rejects if nothing was
 * answered.
 */
export async function pushParts(...given) {
	const answer = await push(...given);
	if (answer.error && !answer.results.some(Boolean))
		throw answer.error;
	return answer;
}

/*
 * The same for libraries that do not tell new rows from others: first without a
 * cursor, for what the server knew it has to remember. What is refused for that, and
 * is new, is sent again with the cursor.
 */
export async function pushLate(client, schema, changes, { isNew, cursor, ...options }) {
	const first = await pushParts(client, schema, changes, { ...options, isNew });
	const late = [...changes.keys()].filter((i) => first.results[i]?.code === 'resync_required' && isNew(i));
	for (const i of late)
		first.results[i] = undefined;
	if (late.length === 0 || first.error)
		return first;
	const { results, acks, error } = await push(client, schema, late.map((i) => changes[i]),
		{ ...options, cursor, isNew: () => true });
	late.forEach((i, n) => { first.results[i] = results[n]; });
	return { results: first.results, acks: [...first.acks, ...acks], error };
}

async function push(client, schema, changes, options = {}) {
	const state = { client, options, results: changes.map(() => undefined), acks: [] };
	const items = changes.map((change, index) => ({ ...wireChange(schema, change), index }));
	let error = null;

	try {
		for (const part of parts(inOrder(schema, items), options))
			await pushPart(state, part);
		const again = takeOwn(state, schema, changes, items);
		if (again.length > 0)
			await pushPart(state, again);
	} catch (failed) {
		takeOwn(state, schema, changes, items);
		error = failed;
	}
	return { results: state.results, acks: state.acks, error };
}

function wireChange(schema, { type, row, action, stamp, base, changed }) {
	const { key, columns } = own(schema.entityTypes, type) ?? { key: ['id'], columns: [] };
	const item = {
		entityType: type,
		action: action === 'delete' ? 'delete' : 'update',
		entityId: wireKey(key, row),
	};
	if (action !== 'delete')
		item.data = wireRow(columns, row);
	if (stamp !== undefined)
		item.lastModifiedAt = stamp;
	if (base !== undefined)
		item.base = base;
	if (changed !== undefined && action !== 'delete')
		item.changedFields = changed;
	return { item };
}

/*
 * Within a request the order does not matter. Between requests it does: parents
 * are written first, and children deleted first.
 */
function inOrder(schema, items) {
	const place = new Map(Object.keys(schema.entityTypes).map((type, i) => [type, i]));
	const rank = ({ item }) => {
		const at = place.get(item.entityType) ?? place.size;
		return item.action === 'delete' ? 2 * place.size + 1 - at : at;
	};
	return [...items].sort((a, b) => rank(a) - rank(b) || a.index - b.index);
}

function* parts(items, { maxChanges = PUSH_CHANGES, maxBytes = PUSH_BYTES }) {
	let part = [], bytes = 0;
	for (const entry of items) {
		const length = JSON.stringify(entry.item).length;
		if (part.length > 0 && (part.length >= maxChanges || bytes + length > maxBytes)) {
			yield part;
			part = [];
			bytes = 0;
		}
		part.push(entry);
		bytes += length;
	}
	if (part.length > 0)
		yield part;
}

async function pushPart(state, part) {
	const { client, options } = state;
	let reply;
	try {
		reply = await client.call('POST', '/sync/push', {
			signal: options.signal,
			body: {
				clientId: client.clientId,
				cursor: options.cursor ?? undefined,
				changes: part.map(({ item, index }) => ({ id: String(index), ...item })),
			},
		});
	} catch (error) {
		if (error.kind !== 'too_large')
			throw error;
		return halve(state, part, error);
	}
	expected(reply, { succeeded: isList, failed: isList });
	if (reply.ack)
		state.acks.push(reply.ack);
	for (const done of reply.succeeded)
		state.results[Number(done.changeId)] = done;
	for (const bad of reply.failed)
		state.results[Number(bad.changeId)] = failure(bad.errors, bad.entity ?? null);
	if (part.some(({ index }) => state.results[index] === undefined))
		throw new TideError('offline', 'offline', 'the answer is not the server\'s');
	options.onPart?.(part.length);
}

async function halve(state, part, error) {
	if (part.length === 1) {
		// a proxy's refusal has no code, and none of them says what the server has
		state.results[part[0].index] = failure([{ code: 'too_large', message: error.message }]);
		return;
	}
	const middle = part.length >> 1;
	await pushPart(state, part.slice(0, middle));
	await pushPart(state, part.slice(middle));
}

function failure(errors, entity) {
	return { status: 'failed', errors, code: errors[0]?.code ?? 'unknown', entity };
}

/*
 * A change can lose against this device's own earlier edit: the reply to that
 * one was lost, so the later edit names an older base. It was made upon the
 * earlier one all the same, and is sent again with that base; so is one of a row
 * that is new as far as is known here. Its verdict is taken out.
 */
function takeOwn(state, schema, changes, items) {
	const again = [];
	for (const [index, change] of changes.entries()) {
		const { status, entity } = state.results[index] ?? {};
		const { modifiedAt, clientId } = schema.entityTypes[change.type] ?? {};
		const isUpon = change.base !== undefined || state.options.isNew?.(index);
		if (status !== 'superseded' || !isUpon || !clientId
			|| !state.client.clientId || entity[clientId] !== state.client.clientId)
			continue;
		const stood = entity[modifiedAt];
		if (stood && stood !== change.base && !isAfter(stood, change.stamp)) {
			const { item } = items[index];
			again.push({ index, item: { ...item, base: stood } });
			state.results[index] = undefined;
		}
	}
	return again;
}

/*
 * Does the row that a verdict shows say that there is none? After a hard delete
 * it has its key and deletedAt, and nothing else.
 */
export function isGone(schema, type, entity) {
	if (entity === null || entity === undefined)
		return true;
	const { key } = schema.entityTypes[type];
	return entity.deletedAt != null
		&& Object.keys(entity).every((name) => name === 'deletedAt' || key.includes(name));
}
