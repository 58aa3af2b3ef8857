/*
 * JSON whose numbers a double cannot hold.
 *
 * PostgreSQL's bigint and numeric have digits that JavaScript's numbers drop
 * without a word. Such a number is read as a string of exactly its digits; the
 * server takes it back as it is. All others are numbers.
 */

/* a number of sixteen digits or more can be one of those */
const LONG_NUMBER = /[0-9][0-9.]{15}/;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/g;

function isExact(digits) {
	if (digits.length <= 15 || /[eE]/.test(digits))
		return true;
	const plain = digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
	return String(Number(digits)) === plain;
}

export function parseJson(text) {
	if (LONG_NUMBER.test(text))
		text = text.replace(STRING_OR_NUMBER,
			(token) => token[0] === '"' || isExact(token) ? token : `"${token}"`);
	return JSON.parse(text);
}
