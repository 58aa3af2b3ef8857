/*
 * Records in IndexedDB: an object store for rows, by entity type and key, with
 * an index of those that have unsent edits, and one for everything else.
 */
const VERSION = 1;

export class IndexedDbStorage {
	#name;
	#factory;
	#ranges;
	#database = null;	// a promise of the connection, once it is wanted
	#closed = false;

	constructor(name, { indexedDB = globalThis.indexedDB, IDBKeyRange = globalThis.IDBKeyRange } = {}) {
		this.#name = name;
		this.#factory = indexedDB;
		this.#ranges = IDBKeyRange;
	}

	async open() {
		this.#closed = false;
		await this.#connected();
	}

	/* One connection, whoever asks first; a new one where the browser took it away. */
	#connected() {
		if (this.#closed)
			return Promise.reject(new DOMException('the storage was closed', 'InvalidStateError'));
		this.#database ??= this.#connect().catch((error) => {
			this.#database = null;
			throw error;
		});
		return this.#database;
	}

	async #connect() {
		const request = this.#factory.open(this.#name, VERSION);
		request.onupgradeneeded = () => {
			const rows = request.result.createObjectStore('rows', { keyPath: ['type', 'key'] });
			// a clean row has no such property, and is not in the index
			rows.createIndex('dirty', 'dirty');
			request.result.createObjectStore('meta');
		};
		const database = await settled(request);
		const lost = () => {
			database.close();
			this.#database = null;
		};
		// another version of the page wants to upgrade, or to delete
		database.onversionchange = lost;
		// a phone that slept, a user who emptied the site's data
		database.onclose = lost;
		return database;
	}

	async close() {
		this.#closed = true;
		const database = this.#database;
		this.#database = null;
		(await database?.catch(() => null))?.close();
	}

	/* Safari does not always say that a connection was lost. */
	async #begin(mode) {
		const options = mode === 'readwrite' ? { durability: 'strict' } : undefined;
		const begin = (database) => database.transaction(['rows', 'meta'], mode, options);
		const database = await this.#connected();
		try {
			return begin(database);
		} catch (error) {
			if (error.name !== 'InvalidStateError')
				throw error;
			database.close();
			this.#database = null;
			return begin(await this.#connected());
		}
	}

	/*
	 * Runs the action, which awaits nothing but this transaction's own calls:
	 * IndexedDB commits when there is nothing left to do.
	 */
	async transaction(mode, action) {
		const transaction = await this.#begin(mode);
		const ended = new Promise((resolve, reject) => {
			transaction.oncomplete = resolve;
			// not at an error, when the transaction does not know its own yet: QuotaExceededError
			transaction.onabort = () => reject(transaction.error
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
				// it has ended by itself, which is why the action failed
				await ended;
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
