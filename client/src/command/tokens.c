/*
 * tokens.c
 *	  Tokens of those who logged in.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "command/tokens.h"
#include "engine/engine.h"
#include "util/file.h"
#include "util/sqlite.h"
#include "wire/json.h"

/* what interactive logins are recommended to cost: 32 MiB, a tenth of a second */
#define SCRYPT_N 32768
#define SCRYPT_R 8
#define SCRYPT_P 1
#define SCRYPT_MEMORY (64 * 1024 * 1024)
#define SALT_SIZE 16
#define HASH_SIZE 32

/* the members of a file */
static const struct
{
	const char *name;
	size_t		offset;
}			members[] = {
	{"server", offsetof(Tokens, server)},
	{"user", offsetof(Tokens, user)},
	{"token", offsetof(Tokens, token)},
	{"refreshToken", offsetof(Tokens, refresh)},
	{"expiresAt", offsetof(Tokens, expires_at)},
	{"userId", offsetof(Tokens, user_id)},
	{"userType", offsetof(Tokens, user_type)},
	{"salt", offsetof(Tokens, salt)},
	{"hash", offsetof(Tokens, hash)},
};

#define MEMBERS (sizeof(members) / sizeof(members[0]))

static char **
member_of(Tokens *tokens, size_t i)
{
	return (char **) ((char *) tokens + members[i].offset);
}

void
tokens_free(Tokens *tokens)
{
	size_t		i;

	for (i = 0; i < MEMBERS; i++)
	{
		char	   *text = *member_of(tokens, i);

		if (text)
			OPENSSL_cleanse(text, strlen(text));
		sqlite3_free(text);
	}
	memset(tokens, 0, sizeof(*tokens));
}

bool
tokens_set(char **field, const char *value, Failure *failure)
{
	char	   *copy = value ? text_copy(value) : NULL;

	if (value && copy == NULL)
		return failure_memory(failure);
	if (*field)
		OPENSSL_cleanse(*field, strlen(*field));
	sqlite3_free(*field);
	*field = copy;
	return true;
}

/* A name as that of a file: what is not a letter or digit as %XX. */
static void
append_file_name(Buffer *path, const char *name)
{
	for (; *name; name++)
	{
		if (isalnum((unsigned char) *name) || *name == '-' || *name == '_')
			buffer_char(path, *name);
		else
			buffer_format(path, "%%%02X", (unsigned char) *name);
	}
}

static bool
append_directory(Buffer *path, const char *server, Failure *failure)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");

	if (config && config[0] == '/')
		buffer_text(path, config);
	else if (home && home[0])
	{
		buffer_text(path, home);
		buffer_text(path, "/.config");
	}
	else
		return failure_set(failure, TIDE_LOCAL, "no_home",
						   "neither XDG_CONFIG_HOME nor HOME is set");
	buffer_text(path, "/tide/");
	append_file_name(path, server);
	return !path->failed || failure_memory(failure);
}

static bool
append_path(Buffer *path, const char *server, const char *user, Failure *failure)
{
	if (!append_directory(path, server, failure))
		return false;
	buffer_char(path, '/');
	append_file_name(path, user);
	buffer_text(path, ".json");
	return !path->failed || failure_memory(failure);
}

static bool
read_tokens(const char *path, Tokens *tokens, bool *found, Failure *failure)
{
	Buffer		text = {0};
	Json		json;
	bool		good;
	size_t		i;

	memset(tokens, 0, sizeof(*tokens));
	*found = false;
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return true;
	if (!file_read(path, &text, failure))
		return false;
	good = text.data != NULL && json_parse(&json, text.data, text.length);
	if (good)
	{
		for (i = 0; i < MEMBERS; i++)
			*member_of(tokens, i) = json_text(&json, json_member(&json, json.nodes,
																 members[i].name));
		*found = tokens->token != NULL;
	}
	else
		failure_set(failure, TIDE_LOCAL, "bad_file", "\"%s\" is not a file of tokens", path);
	if (text.data)
		json_free(&json);
	if (text.data)
		OPENSSL_cleanse(text.data, text.length);
	buffer_free(&text);
	return good;
}

bool
tokens_load(const char *server, const char *user, Tokens *tokens, bool *found,
			Failure *failure)
{
	Buffer		path = {0};
	bool		good;

	memset(tokens, 0, sizeof(*tokens));
	*found = false;
	good = append_path(&path, server, user, failure) &&
		read_tokens(path.data, tokens, found, failure);
	buffer_free(&path);
	return good;
}

static bool
is_of(const Tokens *tokens, const char *subject)
{
	char	   *user = engine_token_user(tokens->token);
	bool		same = user && strcmp(user, subject) == 0;

	sqlite3_free(user);
	return same;
}

/* One file of the directory: is it the one? */
static bool
consider(const char *directory, const char *name, const char *subject, Tokens *tokens,
		 int *n, Failure *failure)
{
	Buffer		path = {0};
	Tokens		one;
	bool		found,
				good;

	buffer_format(&path, "%s/%s", directory, name);
	good = !path.failed ? read_tokens(path.data, &one, &found, failure) :
		failure_memory(failure);
	buffer_free(&path);
	if (!good)
		return false;
	if (found && (subject == NULL || is_of(&one, subject)))
	{
		tokens_free(tokens);
		*tokens = one;
		(*n)++;
	}
	else
		tokens_free(&one);
	return true;
}

bool
tokens_find(const char *server, const char *subject, Tokens *tokens, bool *found,
			Failure *failure)
{
	Buffer		directory = {0};
	DIR		   *dir;
	struct dirent *entry;
	int			n = 0;
	bool		good = true;

	memset(tokens, 0, sizeof(*tokens));
	*found = false;
	if (!append_directory(&directory, server, failure))
	{
		buffer_free(&directory);
		return false;
	}
	dir = opendir(directory.data);
	while (dir && good && (entry = readdir(dir)) != NULL)
	{
		size_t		length = strlen(entry->d_name);

		if (length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0)
			good = consider(directory.data, entry->d_name, subject, tokens, &n, failure);
	}
	if (dir)
		closedir(dir);
	buffer_free(&directory);
	if (good && n > 1 && subject == NULL)
	{
		tokens_free(tokens);
		return failure_set(failure, TIDE_SIGNED_OUT, "several_users",
						   "several users are logged in at \"%s\": say which with --user",
						   server);
	}
	*found = good && n > 0;
	return good;
}

bool
tokens_save(const Tokens *tokens, Failure *failure)
{
	Buffer		path = {0};
	Buffer		text = {0};
	bool		good;
	size_t		i;

	for (i = 0; i < MEMBERS; i++)
	{
		const char *value = *member_of((Tokens *) tokens, i);

		buffer_text(&text, i > 0 ? ",\n" : "{\n");
		buffer_format(&text, "  \"%s\": ", members[i].name);
		if (value)
			json_string(&text, value, strlen(value));
		else
			buffer_text(&text, "null");
	}
	buffer_text(&text, "\n}\n");
	good = append_directory(&path, tokens->server, failure) &&
		file_make_directories(path.data, failure);
	buffer_reset(&path);
	good = good && append_path(&path, tokens->server, tokens->user, failure);
	if (good && text.failed)
		good = failure_memory(failure);
	good = good && file_replace(path.data, text.data, text.length, failure);
	if (text.data)
		OPENSSL_cleanse(text.data, text.length);
	buffer_free(&text);
	buffer_free(&path);
	return good;
}

bool
tokens_remove(const Tokens *tokens, Failure *failure)
{
	Buffer		path = {0};
	bool		good = append_path(&path, tokens->server, tokens->user, failure);

	if (good && unlink(path.data) != 0 && errno != ENOENT)
		good = failure_set(failure, TIDE_LOCAL, "cannot_write",
						   "could not remove \"%s\": %s", path.data, strerror(errno));
	buffer_free(&path);
	return good;
}

int
tokens_lock(const char *server)
{
	Buffer		directory = {0};
	Failure		failure = {0};
	int			fd = -1;

	if (append_directory(&directory, server, &failure))
		fd = open(directory.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	buffer_free(&directory);
	while (fd >= 0 && flock(fd, LOCK_EX) != 0 && errno == EINTR)
		;
	return fd;
}

void
tokens_unlock(int lock)
{
	if (lock >= 0)
		close(lock);
}

static bool
hash_password(const char *password, const unsigned char *salt, unsigned char *hash)
{
	return EVP_PBE_scrypt(password, strlen(password), salt, SALT_SIZE, SCRYPT_N, SCRYPT_R,
						  SCRYPT_P, SCRYPT_MEMORY, hash, HASH_SIZE) == 1;
}

static void
write_hex(const unsigned char *bytes, size_t n, char *text)
{
	size_t		i;

	for (i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

static bool
read_hex(const char *text, unsigned char *bytes, size_t n)
{
	size_t		i;

	if (text == NULL || strlen(text) != 2 * n)
		return false;
	for (i = 0; i < n; i++)
	{
		unsigned int byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		bytes[i] = (unsigned char) byte;
	}
	return true;
}

bool
tokens_set_password(Tokens *tokens, const char *password, Failure *failure)
{
	unsigned char salt[SALT_SIZE];
	unsigned char hash[HASH_SIZE];
	char		salt_text[2 * SALT_SIZE + 1];
	char		hash_text[2 * HASH_SIZE + 1];

	if (RAND_bytes(salt, SALT_SIZE) != 1 || !hash_password(password, salt, hash))
		return failure_set(failure, TIDE_LOCAL, "no_hash",
						   "the password could not be hashed");
	write_hex(salt, SALT_SIZE, salt_text);
	write_hex(hash, HASH_SIZE, hash_text);
	return tokens_set(&tokens->salt, salt_text, failure) &&
		tokens_set(&tokens->hash, hash_text, failure);
}

bool
tokens_password_is(const Tokens *tokens, const char *password)
{
	unsigned char salt[SALT_SIZE];
	unsigned char kept[HASH_SIZE];
	unsigned char hash[HASH_SIZE];

	return read_hex(tokens->salt, salt, SALT_SIZE) &&
		read_hex(tokens->hash, kept, HASH_SIZE) &&
		hash_password(password, salt, hash) &&
		CRYPTO_memcmp(kept, hash, HASH_SIZE) == 0;
}
