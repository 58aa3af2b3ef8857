import { withLock } from './locks.js';

/*
 * Records in memory: for tests, and for programs that start afresh each time.
 * Same shape as IndexedDbStorage.
 */
export class MemoryStorage {
	#stored = { records: new Map(), meta: new Map(), dirty: new Set() };
	#lock = `memory ${Math.random()}`;

	async open() {}

	async close() {}

	/* What the action wrote is undone if it throws. */
	transaction(mode, action) {
		return withLock(this.#lock, async () => {
			const undo = [];
			try {
				return await action(new MemoryTransaction(this.#stored, undo));
			} catch (error) {
				for (const back of undo.reverse())
					back();
				throw error;
			}
		});
	}
}

/*
 *   records   type => Map(key => record)
 *   dirty     those of them that have an edit: a page of a first sync asks for them
 *   meta      name => value
 */
class MemoryTransaction {
	#records;
	#meta;
	#dirty;
	#undo;

	constructor({ records, meta, dirty }, undo) {
		this.#records = records;
		this.#meta = meta;
		this.#dirty = dirty;
		this.#undo = undo;
	}

	async get(type, key) {
		return copy(this.#records.get(type)?.get(key));
	}

	async all(type) {
		const types = type === undefined ? [...this.#records.values()] : [this.#records.get(type) ?? new Map()];
		return types.flatMap((records) => Array.from(records.values(), copy));
	}

	async dirty() {
		return Array.from(this.#dirty, copy);
	}

	async isEmpty() {
		return [...this.#records.values()].every((records) => records.size === 0);
	}

	put(record) {
		const { type, key } = record;
		if (!this.#records.has(type))
			this.#records.set(type, new Map());
		this.#write(this.#records.get(type), key, copy(record));
	}

	delete(type, key) {
		const records = this.#records.get(type);
		if (records?.has(key))
			this.#write(records, key, undefined);
	}

	async getMeta(name) {
		return copy(this.#meta.get(name));
	}

	setMeta(name, value) {
		this.#write(this.#meta, name, copy(value));
	}

	clear() {
		for (const records of this.#records.values()) {
			for (const key of [...records.keys()])
				this.#write(records, key, undefined);
		}
		for (const name of [...this.#meta.keys()])
			this.#write(this.#meta, name, undefined);
	}

	#write(map, key, value) {
		const old = map.get(key);
		this.#undo.push(() => this.#set(map, key, old));
		this.#set(map, key, value);
	}

	#set(map, key, value) {
		if (map !== this.#meta) {
			this.#dirty.delete(map.get(key));
			if (value?.dirty === 1)
				this.#dirty.add(value);
		}
		if (value === undefined)
			map.delete(key);
		else
			map.set(key, value);
	}
}

/*
 * What structuredClone() gives, which takes four times as long for the plain
 * values of JSON that rows consist of.
 */
function copy(value) {
	if (value === null || typeof value !== 'object')
		return typeof value === 'function' || typeof value === 'symbol' ? structuredClone(value) : value;
	if (Array.isArray(value))
		return value.map(copy);
	const prototype = Object.getPrototypeOf(value);
	if (prototype !== Object.prototype && prototype !== null)
		return structuredClone(value);
	// most of a row is plain, which this takes at once, __proto__ as any other name
	const result = { ...value };
	for (const name of Object.keys(value)) {
		const item = value[name];
		if (item !== null && typeof item !== 'string' && typeof item !== 'number' && typeof item !== 'boolean')
			result[name] = copy(item);
	}
	return result;
}
