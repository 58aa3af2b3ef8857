/*
 * Stamps: the time of an edit, by which two versions of a row are ordered.
 */

/* Milliseconds of a stamp on the wire: ISO 8601, or Unix milliseconds. */
export function stampTime(stamp) {
	if (stamp === null || stamp === undefined)
		return -Infinity;
	return typeof stamp === 'number' ? stamp : Date.parse(stamp);
}

/*
 * The stamp of an edit made now upon these versions: never at or before one of
 * them, so that a clock that was set back does not make the edit lose against
 * what its user saw.
 */
export function nextStamp(upon, now = Date.now()) {
	let time = now;
	for (const stamp of upon) {
		const seen = stampTime(stamp);
		if (seen >= time)
			time = Math.floor(seen) + 1;
	}
	return new Date(time).toISOString();
}

/*
 * A stamp is not after another. Both are the wire's text or milliseconds; what
 * is finer than a millisecond decides only where both are the wire's own text.
 */
export function isAfter(a, b) {
	const [x, y] = [stampTime(a), stampTime(b)];
	if (x !== y || typeof a !== 'string' || typeof b !== 'string')
		return x > y;
	return fraction(a) > fraction(b);
}

function fraction(text) {
	return (/\.(\d+)/.exec(text)?.[1] ?? '').padEnd(6, '0');
}
