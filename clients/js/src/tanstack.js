import { networkDelay } from './backoff.js';
import { keyText } from './keys.js';

/*
 * A TanStack DB collection of one entity type of a TideStore. The store keeps
 * rows and unsent edits in IndexedDB and syncs them, so a transaction is done
 * when the store has it: offline edits survive a reload, and nothing else that
 * queues transactions is needed.
 */
const known = new WeakMap();	// collection => {type, settled: () => a promise of all that is to be shown}

/*
 *   store   a TideStore, open
 *   type    the entity type
 * Everything else goes to createCollection() as it is.
 */
export function tideCollectionOptions({ store, type, ...options }) {
	const shown = new Map();	// key text => row, as the collection has it
	let settled = Promise.resolve();

	const persist = async ({ transaction }) => {
		await store.putAll(transaction.mutations.map((mutation) => editOf(type, mutation)));
		await settled;
	};

	return {
		id: `tide ${type}`,
		getKey: (row) => keyText(store.describe(type)?.key ?? ['id'], row),
		...options,
		onInsert: persist,
		onUpdate: persist,
		onDelete: persist,
		sync: {
			rowUpdateMode: 'full',
			sync({ collection, begin, write, commit, markReady, markError }) {
				known.set(collection, { type, settled: () => settled });
				let isShown = false, isEnded = false, failures = 0, timer = null;
				const show = async (changed) => {
					const keys = changed === null ? null : changed.get(type);
					if (keys === undefined)
						return;
					const rows = await changedRows(store, type, keys, shown);
					if (rows.length === 0)
						return;
					begin();
					for (const [key, row] of rows) {
						if (row === undefined)
							write({ type: 'delete', key });
						else
							write({ type: shown.has(key) ? 'update' : 'insert', value: row });
						row === undefined ? shown.delete(key) : shown.set(key, row);
					}
					commit();
				};
				// one after the other: a later change is not shown before an earlier one
				const next = (changed) => {
					settled = settled.then(() => show(changed)).then(() => { failures = 0; }, failed);
				};
				// a storage that fails for a while, as when a phone wakes up, is read again
				const failed = (error) => {
					if (!isShown)
						throw error;
					clearTimeout(timer);
					if (!isEnded)
						timer = setTimeout(() => next(null), networkDelay(++failures));
				};
				const unsubscribe = store.subscribe(next);
				settled = settled.then(() => show(null)).then(() => {
					isShown = true;
					markReady();
				}).catch(markError);
				return () => {
					unsubscribe();
					isEnded = true;
					clearTimeout(timer);
					shown.clear();
				};
			},
		},
	};
}

/*
 * The mutationFn of a transaction over several collections: all of its edits
 * are in the store, or none.
 */
export function tideMutationFn(store) {
	return async ({ transaction }) => {
		await store.putAll(transaction.mutations.map((mutation) =>
			editOf(known.get(mutation.collection).type, mutation)));
		// else they would be as they were for a moment
		await Promise.all(transaction.mutations.map(({ collection }) => known.get(collection).settled()));
	};
}

function editOf(type, { type: kind, key, modified, changes }) {
	if (kind === 'delete')
		return { type, key: String(key), delete: true };
	if (kind === 'insert')
		return { type, columns: modified };
	// what was taken out of the row
	const columns = Object.entries(changes).map(([name, value]) => [name, value === undefined ? null : value]);
	return { type, key: String(key), columns: Object.fromEntries(columns) };
}

/* [key, row or undefined] of what differs from what is shown. */
async function changedRows(store, type, keys, shown) {
	if (keys !== null) {
		const rows = await Promise.all([...keys].map(async (key) => [key, await store.visible(type, key)]));
		return rows.filter(([key, row]) => row !== undefined || shown.has(key));
	}
	const description = store.describe(type);
	const all = description ? new Map((await store.all(type))
		.map((row) => [keyText(description.key, row), row])) : new Map();
	const gone = [...shown.keys()].filter((key) => !all.has(key)).map((key) => [key, undefined]);
	return [...gone, ...all];
}
