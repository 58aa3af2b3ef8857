/*
 * What can go wrong with a call, told apart by what the caller does next.
 *
 *   offline     no answer, or one that was cut: try again later
 *   busy        the server asks for patience (408, 429, 5xx): try again later
 *   signed_out  the token is no good and could not be refreshed
 *   resync      the cursor is from before what the server remembers: pull first
 *   too_large   too many changes, or too long a body: send less at a time
 *   refused     will never work as it is
 *   aborted     the caller's own signal ended it
 */
export class TideError extends Error {
	constructor(kind, code, message, more = {}) {
		super(message, more.cause ? { cause: more.cause } : undefined);
		this.name = 'TideError';
		this.kind = kind;
		this.code = code;
		this.hint = more.hint;
		this.status = more.status;
		this.retryAfter = more.retryAfter; // milliseconds
	}

	/* Would the same call be worth another try? */
	get transient() {
		return this.kind === 'offline' || this.kind === 'busy';
	}
}

/*
 * A reply with what replies of its kind have. JSON of somebody else's, such as a
 * hotel's portal, is as good as no answer.
 */
export function expected(reply, shape) {
	for (const [name, is] of Object.entries(shape)) {
		if (!is(reply?.[name]))
			throw new TideError('offline', 'offline', 'the answer is not the server\'s');
	}
	return reply;
}

export const isList = Array.isArray;

export function isObject(value) {
	return value !== null && typeof value === 'object' && !Array.isArray(value);
}

export function kindOfStatus(status) {
	if (status === 401)
		return 'signed_out';
	if (status === 410)
		return 'resync';
	if (status === 413)
		return 'too_large';
	if (status === 408 || status === 429 || status >= 500)
		return 'busy';
	return 'refused';
}
