// Who asks, for the servers of this folder: a token is verified once, as
// tide-gateway does it, too.

import { createHmac, timingSafeEqual } from 'node:crypto';

const verified = new Map();

/* The sub of an Authorization header's token; undefined unless it holds. */
export function subjectOf(header, secret) {
	const known = verified.get(header);
	if (known !== undefined) return known.exp * 1000 > Date.now() ? known.sub : undefined;
	const [head, claims, signature] = (header ?? '').replace(/^Bearer /, '').split('.');
	if (signature === undefined) return undefined;
	const expected = createHmac('sha256', secret).update(`${head}.${claims}`).digest();
	const given = Buffer.from(signature, 'base64url');
	if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
	const parsed = JSON.parse(Buffer.from(claims, 'base64url'));
	if (verified.size > 10000) verified.clear();
	verified.set(header, parsed);
	return parsed.exp * 1000 > Date.now() ? parsed.sub : undefined;
}
