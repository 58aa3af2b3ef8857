import { own } from './keys.js';

/*
 * JSON whose numbers a double cannot hold.
 *
 * PostgreSQL's bigint and numeric have digits that JavaScript's numbers drop
 * without a word. Such a number is read as a string of exactly its digits; the
 * server takes it back as it is. All others are numbers.
 */

/* a number of sixteen digits or more can be one of those, and one with a power of three digits */
const LONG_NUMBER = /[0-9][0-9.]{15}|[[:,]\s*-?[0-9][0-9.]*[eE][+-]?[0-9]{3}/;
const QUOTE_OR_NUMBER = /"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/g;
const NUMBER = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;

function isExact(text) {
	if (text.length <= 15 && !/[eE]/.test(text))
		return true;
	const number = Number(text), own = String(number);
	if (!Number.isFinite(number) || (own.includes('e') && !/[eE]/.test(text)))
		return false;
	return normal(own) === normal(text);
}

/* Sign, digits and power of ten: one text for each number. */
function normal(text) {
	const [, sign, whole, fraction = '', power = 0] = NUMBER.exec(text);
	const all = whole + fraction;
	let from = 0, to = all.length;
	while (from < to && all[from] === '0')
		from++;
	while (to > from && all[to - 1] === '0')
		to--;
	return from === to ? '0' : `${sign}${all.slice(from, to)}e${Number(power) + whole.length - from}`;
}

const JSON_TYPE = /^jsonb?(\[\])?$/;
const FLOAT_TYPE = /^(real|double precision)/;

/* A row with texts for numbers that JSON has not: null would be sent, and 0 for the zero below it. */
export function wireRow(columns, row) {
	const sent = { ...row };
	for (const { name, type } of columns) {
		const value = own(row, name);
		if (typeof value === 'number' || (Array.isArray(value) && !JSON_TYPE.test(type)))
			sent[name] = wireValue(type, value);
	}
	return sent;
}

function wireValue(type, value) {
	if (Array.isArray(value))
		return value.map((item) => wireValue(type, item));
	if (Object.is(value, -0))
		return FLOAT_TYPE.test(type) ? '-0' : 0;
	return orText('', value);
}

/* For JSON.stringify(), of values that are compared. */
export function orText(name, value) {
	return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

/*
 * Inside json a number is not the string of its digits, so that such a value of
 * a column does not go back as it is. Only an edit of the column is sent.
 */
export function isAltered(type, value) {
	return JSON_TYPE.test(type) && hasLongNumber(value);
}

/* Is there a number in this JSON value that parseJson made a string of? */
function hasLongNumber(value) {
	if (typeof value === 'string')
		return NUMBER.test(value) && !isExact(value);
	return value !== null && typeof value === 'object' && Object.values(value).some(hasLongNumber);
}

export function parseJson(text) {
	return JSON.parse(LONG_NUMBER.test(text) ? withQuotes(text) : text);
}

/* The same with quotes around the numbers that a double cannot hold. */
function withQuotes(text) {
	const next = new RegExp(QUOTE_OR_NUMBER);
	let done = '', from = 0;
	for (let found = next.exec(text); found; found = next.exec(text)) {
		const [token] = found;
		if (token === '"') {
			next.lastIndex = endOfString(text, next.lastIndex);
		} else if (!isExact(token)) {
			done += `${text.slice(from, found.index)}"${token}"`;
			from = next.lastIndex;
		}
	}
	return done + text.slice(from);
}

/*
 * Where a string that begins here has ended. Not found by a regular expression:
 * one that repeats alternatives takes stack for each letter, and a text has millions.
 */
function endOfString(text, from) {
	for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 1)) {
		let before = at;
		while (text[before - 1] === '\\')
			before--;
		if ((at - before) % 2 === 0)
			return at + 1;
	}
	return text.length;
}
