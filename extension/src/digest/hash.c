/*-------------------------------------------------------------------------
 *
 * hash.c
 *	  The bucket of a key, and what a row adds to the sum of its bucket.
 *
 * A client makes the same hashes of its copy.  So they are made of what both
 * sides have: the texts of the wire, in UTF-8.  A value that is a JSON string
 * counts by the text that the string stands for, any other value by its JSON
 * text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"

#include "digest/hash.h"
#include "util/json_scan.h"
#include "wire/wire.h"

#define SEPARATOR '\x1f'

struct RowHasher
{
	pg_cryptohash_ctx *sha;
	StringInfoData text;		/* what is hashed */
	StringInfoData value;		/* one value as JSON */
};

RowHasher *
hasher_new(void)
{
	RowHasher  *hasher = palloc0(sizeof(RowHasher));

	hasher->sha = pg_cryptohash_create(PG_SHA256);
	if (hasher->sha == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	initStringInfo(&hasher->text);
	initStringInfo(&hasher->value);
	return hasher;
}

void
hasher_free(RowHasher *hasher)
{
	pg_cryptohash_free(hasher->sha);
	pfree(hasher->text.data);
	pfree(hasher->value.data);
	pfree(hasher);
}

/* text in the encoding of the database, as UTF-8 */
static void
append_utf8(StringInfo buf, const char *text, int len)
{
	char	   *utf8 = pg_server_to_any(text, len, PG_UTF8);

	if (utf8 == text)
		appendBinaryStringInfo(buf, text, len);
	else
	{
		appendStringInfoString(buf, utf8);
		pfree(utf8);
	}
}

static void
append_wire_text(RowHasher *hasher, TrackedTable *t, AttrNumber attnum, Datum value)
{
	StringInfo	json = &hasher->value;
	JsonSpan	string;
	char	   *text;

	resetStringInfo(json);
	wire_append_value(json, t, tracked_column(t, attnum), value);
	if (json->data[0] != '"')
		append_utf8(&hasher->text, json->data, json->len);
	else if (memchr(json->data, '\\', json->len) == NULL)
		append_utf8(&hasher->text, json->data + 1, json->len - 2);
	else
	{
		string.at = json->data;
		string.len = json->len;
		text = json_unescape(string);
		append_utf8(&hasher->text, text, strlen(text));
		pfree(text);
	}
}

/* NULL is a byte that no text contains */
static void
append_member(RowHasher *hasher, TrackedTable *t, AttrNumber attnum, Datum value,
			  bool isnull)
{
	appendStringInfoChar(&hasher->text, SEPARATOR);
	if (isnull)
		appendStringInfoChar(&hasher->text, '\0');
	else
		append_wire_text(hasher, t, attnum, value);
}

static void
hash_text(RowHasher *hasher, uint8 *hash)
{
	if (pg_cryptohash_init(hasher->sha) < 0 ||
		pg_cryptohash_update(hasher->sha, (uint8 *) hasher->text.data,
							 hasher->text.len) < 0 ||
		pg_cryptohash_final(hasher->sha, hash, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a SHA-256");
}

int
hasher_bucket(RowHasher *hasher, TrackedTable *t, Datum *key)
{
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	int			k;

	resetStringInfo(&hasher->text);
	for (k = 0; k < t->nkeys; k++)
	{
		if (k > 0)
			appendStringInfoChar(&hasher->text, SEPARATOR);
		append_wire_text(hasher, t, t->keys[k], key[k]);
	}
	hash_text(hasher, hash);
	return hash[0];
}

uint64
hasher_row(RowHasher *hasher, TrackedTable *t, Datum stamp, bool no_stamp,
		   Datum client, bool no_client)
{
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	uint64		result = 0;
	int			i;

	append_member(hasher, t, t->modified_at, stamp, no_stamp);
	append_member(hasher, t, t->client_id, client, no_client);
	hash_text(hasher, hash);
	for (i = 0; i < 8; i++)
		result = result << 8 | hash[i];
	return result;
}
