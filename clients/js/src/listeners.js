/*
 * Who wants to hear of something. Not EventTarget, which React Native lacks. A
 * listener that throws is no reason for the others not to hear.
 */
export class Listeners {
	#all = new Set();

	/* Returns what removes the listener again. */
	add(listener) {
		const own = (value) => listener(value);
		this.#all.add(own);
		return () => this.#all.delete(own);
	}

	tell(value) {
		for (const listener of [...this.#all]) {
			try {
				listener(value);
			} catch (error) {
				// as if it had been thrown in an event of its own
				setTimeout(() => { throw error; });
			}
		}
	}
}
