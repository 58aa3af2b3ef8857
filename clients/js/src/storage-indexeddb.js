/*
 * Records in IndexedDB: an object store for rows, by entity type and key, with
 * an index of those that have unsent edits, and one for everything else.
 */
const VERSION = 1;

export class IndexedDbStorage {
	#name;
	#factory;
	#ranges;
	#database = null;

	constructor(name, { indexedDB = globalThis.indexedDB, IDBKeyRange = globalThis.IDBKeyRange } = {}) {
		this.#name = name;
		this.#factory = indexedDB;
		this.#ranges = IDBKeyRange;
	}

	async open() {
		if (this.#database)
			return;
		const request = this.#factory.open(this.#name, VERSION);
		request.onupgradeneeded = () => {
			const rows = request.result.createObjectStore('rows', { keyPath: ['type', 'key'] });
			// a clean row has no such property, and is not in the index
			rows.createIndex('dirty', 'dirty');
			request.result.createObjectStore('meta');
		};
		this.#database = await settled(request);
		// another version of the page wants to upgrade, or to delete
		this.#database.onversionchange = () => this.close();
	}

	async close() {
		this.#database?.close();
		this.#database = null;
	}

	/*
	 * Runs the action, which awaits nothing but this transaction's own calls:
	 * IndexedDB commits when there is nothing left to do.
	 */
	async transaction(mode, action) {
		await this.open();
		const transaction = this.#database.transaction(['rows', 'meta'], mode,
			mode === 'readwrite' ? { durability: 'strict' } : undefined);
		const ended = new Promise((resolve, reject) => {
			transaction.oncomplete = resolve;
			transaction.onabort = transaction.onerror = () => reject(transaction.error
				?? new DOMException('the transaction was undone', 'AbortError'));
		});
		ended.catch(() => {}); // also where the action fails first
		let result;
		try {
			result = await action(new IndexedDbTransaction(transaction, this.#ranges));
		} catch (error) {
			try {
				transaction.abort();
			} catch {
				// it has ended by itself
			}
			throw error;
		}
		await ended;
		return result;
	}
}

class IndexedDbTransaction {
	#rows;
	#meta;
	#ranges;

	constructor(transaction, ranges) {
		this.#ranges = ranges;
		this.#rows = transaction.objectStore('rows');
		this.#meta = transaction.objectStore('meta');
	}

	get(type, key) {
		return settled(this.#rows.get([type, key]));
	}

	all(type) {
		// an array sorts after all texts
		return settled(this.#rows.getAll(type === undefined ? undefined
			: this.#ranges.bound([type], [type, []])));
	}

	dirty() {
		return settled(this.#rows.index('dirty').getAll());
	}

	async isEmpty() {
		return await settled(this.#rows.count()) === 0;
	}

	put(record) {
		this.#rows.put(record);
	}

	delete(type, key) {
		this.#rows.delete([type, key]);
	}

	getMeta(name) {
		return settled(this.#meta.get(name));
	}

	setMeta(name, value) {
		this.#meta.put(value, name);
	}

	clear() {
		this.#rows.clear();
		this.#meta.clear();
	}
}

function settled(request) {
	return new Promise((resolve, reject) => {
		request.onsuccess = () => resolve(request.result);
		request.onerror = () => reject(request.error);
	});
}
