import { withLock } from './locks.js';

/*
 * Records in memory: for tests, and for programs that start afresh each time.
 * Same shape as IndexedDbStorage.
 */
export class MemoryStorage {
	#records = new Map();	// type => Map(key => record)
	#meta = new Map();
	#lock = `memory ${Math.random()}`;

	async open() {}

	async close() {}

	/* What the action wrote is undone if it throws. */
	transaction(mode, action) {
		return withLock(this.#lock, async () => {
			const undo = [];
			try {
				return await action(new MemoryTransaction(this.#records, this.#meta, undo));
			} catch (error) {
				for (const back of undo.reverse())
					back();
				throw error;
			}
		});
	}
}

class MemoryTransaction {
	#records;
	#meta;
	#undo;

	constructor(records, meta, undo) {
		this.#records = records;
		this.#meta = meta;
		this.#undo = undo;
	}

	async get(type, key) {
		return structuredClone(this.#records.get(type)?.get(key));
	}

	async all(type) {
		return this.#stored(type).map((record) => structuredClone(record));
	}

	async dirty() {
		return this.#stored().filter((record) => record.dirty === 1)
			.map((record) => structuredClone(record));
	}

	async isEmpty() {
		return this.#stored().length === 0;
	}

	put(record) {
		const { type, key } = record;
		if (!this.#records.has(type))
			this.#records.set(type, new Map());
		this.#write(this.#records.get(type), key, structuredClone(record));
	}

	delete(type, key) {
		const records = this.#records.get(type);
		if (records?.has(key))
			this.#write(records, key, undefined);
	}

	async getMeta(name) {
		return structuredClone(this.#meta.get(name));
	}

	setMeta(name, value) {
		this.#write(this.#meta, name, structuredClone(value));
	}

	clear() {
		for (const records of this.#records.values()) {
			for (const key of [...records.keys()])
				this.#write(records, key, undefined);
		}
		for (const name of [...this.#meta.keys()])
			this.#write(this.#meta, name, undefined);
	}

	#stored(type) {
		const types = type === undefined ? [...this.#records.keys()] : [type];
		return types.flatMap((name) => [...this.#records.get(name)?.values() ?? []]);
	}

	#write(map, key, value) {
		const had = map.has(key), old = map.get(key);
		this.#undo.push(() => had ? map.set(key, old) : map.delete(key));
		if (value === undefined)
			map.delete(key);
		else
			map.set(key, value);
	}
}
