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

const LONG_ALONE = /^-?(?=[0-9][0-9.]{15})[0-9]+(?:\.[0-9]+)?$/;

function isExact(digits) {
	if (digits.length <= 15 || /[eE]/.test(digits))
		return true;
	const plain = digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
	return String(Number(digits)) === plain;
}

/*
 * Inside json a number is not the string of its digits, so that such a value of
 * a column does not go back as it is. Only an edit of the column is sent.
 */
export function isAltered(type, value) {
	return /^jsonb?(\[\])?$/.test(type) && hasLongNumber(value);
}

/* Is there a number in this JSON value that parseJson made a string of? */
function hasLongNumber(value) {
	if (typeof value === 'string')
		return LONG_ALONE.test(value) && !isExact(value);
	return value !== null && typeof value === 'object' && Object.values(value).some(hasLongNumber);
}

export function parseJson(text) {
	if (LONG_NUMBER.test(text))
		text = text.replace(STRING_OR_NUMBER,
			(token) => token[0] === '"' || isExact(token) ? token : `"${token}"`);
	return JSON.parse(text);
}
