/*
 * Keys as text. A key of one column is its value, of several an array in the
 * schema's order. PostgreSQL writes uuids in lower case, so are they here.
 */
const CAPITALS = /[A-F]/;
const UUID = /^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$/;

/* A property of its own: tables and columns may be called constructor. */
export function own(object, name) {
	return Object.prototype.hasOwnProperty.call(object, name) ? object[name] : undefined;
}

/* Most are in lower case already, and there are many. */
function partText(value) {
	const text = String(value);
	return text.length === 36 && CAPITALS.test(text) && UUID.test(text) ? text.toLowerCase() : text;
}

/* The text of a row's key. columns: the schema's `key`. */
export function keyText(columns, row) {
	return joined(columns.map((column) => partText(row[column])));
}

/*
 * The same of a row of the server's. Its uuids are in lower case: what is in
 * capitals is text that only looks like one, and another row's in lower case.
 */
export function serverKeyText(columns, row) {
	return joined(columns.map((column) => String(row[column])));
}

function joined(parts) {
	return parts.length === 1 ? parts[0] : JSON.stringify(parts);
}

/* The columns that a key's text stands for: as text, which the server reads as their type. */
export function keyColumns(columns, text) {
	if (columns.length === 1)
		return { [columns[0]]: text };
	const parts = JSON.parse(text);
	return Object.fromEntries(columns.map((column, i) => [column, parts[i]]));
}

/* What the wire calls entityId: the value, or an object for several columns. */
export function wireKey(columns, row) {
	if (columns.length === 1)
		return row[columns[0]];
	return Object.fromEntries(columns.map((column) => [column, row[column]]));
}

/* A random uuid, also where there is no crypto (React Native without a polyfill). */
export function randomId() {
	return globalThis.crypto?.randomUUID?.() ?? 'xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx'
		.replace(/x/g, () => Math.floor(Math.random() * 16).toString(16));
}

/* FNV-1a */
export function fingerprint(text) {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++)
		hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	return hash >>> 0;
}
