import { asked } from './client.js';
import { expected, isList, isObject } from './errors.js';
import { own, serverKeyText } from './keys.js';

export const PAGE_ROWS = 500;
/* Acks that a client keeps and sends with a pull, which goes in a URL. */
export const MOST_ACKS = 32;

/* Where a database is that has pulled nothing: what collect() is given and gives. */
export const NO_PLACE = Object.freeze({ cursor: null, awaited: [], known: {} });

const PAGE = { changesByType: isObject, deletedByType: isObject, revokedScopes: isList,
	cursor: (cursor) => typeof cursor === 'string' };

/*
 * The pages of one pull, from a cursor (or from nothing) to the end.
 *
 *   since        the cursor of the last page, or null for everything
 *   acks         those of pushes whose replies were stored since the last pull
 *   entityTypes  only these; else all
 */
export async function* pullPages(client, options = {}) {
	const { acks = [], entityTypes, scope, refresh, times, limit = PAGE_ROWS, signal } = options;
	let since = options.since ?? null;
	while (true) {
		const [method, what] = asked({
			since, limit, entityTypes, scope, refresh, times,
			clientId: client.clientId,
			// one left out only repeats its rows
			ack: acks.slice(-MOST_ACKS),
		});
		const page = await client.call(method, '/sync/pull', { signal, ...what });
		yield expected(page, PAGE);
		since = page.cursor;
		if (!page.hasMore)
			return;
	}
}

/*
 * All pages of a pull as one set of changes, for a database that wants them at
 * once. A pull that broke off goes on where it was the next time it is asked.
 */
export class PullCollector {
	#options = null;
	#set = null;

	constructor(client, schema) {
		this.client = client;
		this.schema = schema;
	}

	/*
	 * awaited   types that a reset left behind, since they were not there
	 * known     {type: [columns]} that the rows up to `since` have; {} at first
	 * columns   {type: [columns]} that rows have from now on
	 * keep      (type, row) => what to have in `rows` of it, if not the row; made as a
	 *           page comes, since what the server sent of many rows is best let go soon
	 * and the rest as pullPages() has it.
	 *
	 * Resolves with {
	 *   rows: Map(type => Map(key text => row)), deleted: Map(type => Map(key text => key columns)),
	 *   everything: these are all the rows there are (a first pull, or a reset),
	 *   everythingOf: Set(types) of which they are,
	 *   revokedScopes, unavailableTypes, cursor, serverTime, resetReason,
	 *   awaited, known: to be given with the cursor the next time }
	 */
	async collect({ awaited = [], known = {}, columns = {}, ...options }) {
		const since = options.since ?? null;
		const due = since === null ? [] : awaited.filter((type) => own(this.schema.entityTypes, type));
		const lacking = since === null ? [] : grownTypes(known, columns);
		const refresh = [...new Set([...options.refresh ?? [], ...due, ...lacking])];
		const asked = JSON.stringify([since, options.entityTypes ?? null, refresh]);
		if (this.#options !== asked)
			this.#set = null;
		this.#options = asked;
		const set = this.#set ??= emptySet(since);
		// acks belong to the cursor that was given; later pages do not need them
		const resumed = set.cursor !== since;
		await this.#pages(set, { ...options, refresh, acks: resumed ? [] : options.acks });
		const untold = this.#untold(set, columns);
		if (untold.length > 0)
			await this.#pages(set, { ...options, refresh: untold, acks: [] });
		this.#set = this.#options = null;
		settle(set, { awaited, due: [...due, ...untold] });
		set.known = { ...known, ...without(columns, set.unavailableTypes) };
		return set;
	}

	/* All pages that there are from the set's cursor on. */
	async #pages(set, options) {
		for await (const page of pullPages(this.client, { ...options, since: set.cursor })) {
			const types = [...Object.keys(page.changesByType), ...Object.keys(page.deletedByType)];
			// tracked or granted since the schema was read; its rows do not come again
			if (options.readSchema && types.some((type) => !own(this.schema.entityTypes, type)))
				this.schema = await options.readSchema();
			this.#add(set, page, options.keep);
		}
	}

	/*
	 * Types whose scope is in no column that is kept, while a scope is taken: only
	 * all of their rows tell which are left.
	 */
	#untold(set, columns) {
		return set.revokedScopes.size === 0 ? [] : Object.keys(columns).filter((type) => {
			const scope = own(this.schema.entityTypes, type)?.scope ?? null;
			return scope !== null && !columns[type].includes(scope) && !isEverythingOf(set, type)
				&& !set.unavailableTypes.includes(type);
		});
	}

	#add(set, page, keep) {
		if (page.reset) {
			Object.assign(set, emptySet(null), { resetReason: page.resetReason });
		}
		for (const type of page.resetTypes ?? []) {
			if (!set.everythingOf.has(type)) {
				set.everythingOf.add(type);
				set.rows.delete(type);
				set.deleted.delete(type);
			}
		}
		for (const scope of page.revokedScopes ?? [])
			set.revokedScopes.add(scope);
		for (const [type, rows] of Object.entries(page.changesByType))
			this.#put(set, 'rows', 'deleted', type, rows, keep);
		for (const [type, keys] of Object.entries(page.deletedByType))
			this.#put(set, 'deleted', 'rows', type, keys);
		// also what was not there for a while has not come whole
		set.unavailableTypes = [...new Set([...set.unavailableTypes, ...page.unavailableTypes ?? []])];
		set.cursor = page.cursor;
		set.serverTime = page.serverTime;
	}

	/* what comes later about a row replaces what came earlier */
	#put(set, into, outOf, type, list, keep = (_, row) => row) {
		const description = own(this.schema.entityTypes, type);
		if (!description || list.length === 0)
			return;
		const others = set[outOf].get(type);
		const known = set[into].get(type) ?? new Map();
		set[into].set(type, known);
		for (const columns of list) {
			const key = serverKeyText(description.key, columns);
			others?.delete(key);
			known.set(key, keep(type, columns));
		}
	}
}

/* Types that came as they were asked for, in full, are swept; others are awaited on. */
function settle(set, { awaited, due }) {
	const away = set.unavailableTypes;
	for (const type of due.filter((type) => !away.includes(type)))
		set.everythingOf.add(type);
	// rows of a scope that was taken meanwhile can be told by nothing but a sweep
	const isBehind = set.everything || set.revokedScopes.size > 0;
	const left = new Set([...awaited, ...set.everythingOf, ...isBehind ? away : []]);
	set.awaited = [...left].filter((type) => !isEverythingOf(set, type));
}

/* {type: columns} of the types that have come */
export function without(columns, types) {
	return Object.fromEntries(Object.entries(columns).filter(([type]) => !types.includes(type)));
}

/*
 * Types with a column that was not known of them: the rows here lack it, since it
 * came with a default, or with a new version of the app.
 */
export function grownTypes(known, columns) {
	return Object.keys(columns).filter((type) => own(known, type)
		&& columns[type].some((name) => !known[type].includes(name)));
}

/* {type: [columns]} of a schema; of these types, if they are named. */
export function columnsOf(schema, types = Object.keys(schema.entityTypes)) {
	return Object.fromEntries(types.filter((type) => own(schema.entityTypes, type))
		.map((type) => [type, schema.entityTypes[type].columns.map(({ name }) => name)]));
}

function emptySet(since) {
	return {
		rows: new Map(),
		deleted: new Map(),
		everything: since === null,
		everythingOf: new Set(),
		revokedScopes: new Set(),
		unavailableTypes: [],
		cursor: since,
		serverTime: null,
		resetReason: null,
	};
}

/* Is this all there is of the type, so that what did not come is gone? */
export function isEverythingOf(set, type) {
	return (set.everything || set.everythingOf.has(type)) && !set.unavailableTypes.includes(type);
}

/* Does this row belong to a scope that the caller may not sync any longer? */
export function isRevoked(set, description, row) {
	const scope = description?.scope ?? null;
	return scope !== null && set.revokedScopes.has(String(row[scope]));
}
