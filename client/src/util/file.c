/*
 * file.c
 *	  Small files as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/file.h"
#include "util/sqlite.h"

#define LARGEST (1024 * 1024)

bool
file_read(const char *path, Buffer *text, Failure *failure)
{
	char		part[4096];
	ssize_t		n;
	int			fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return failure_set(failure, TIDE_LOCAL, "cannot_read",
						   "could not read \"%s\": %s", path, strerror(errno));
	while ((n = read(fd, part, sizeof(part))) > 0 && text->length < LARGEST)
		buffer_append(text, part, (size_t) n);
	close(fd);
	if (n != 0)
		return failure_set(failure, TIDE_LOCAL, "cannot_read",
						   "could not read \"%s\": %s", path,
						   n < 0 ? strerror(errno) : "it is too large");
	return !text->failed || failure_memory(failure);
}

static bool
write_all(int fd, const char *text, size_t length)
{
	while (length > 0)
	{
		ssize_t		n = write(fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		length -= (size_t) n;
	}
	return fsync(fd) == 0;
}

bool
file_replace(const char *path, const char *text, size_t length, Failure *failure)
{
	char	   *next = sqlite3_mprintf("%s.%ld", path, (long) getpid());
	int			fd;
	bool		good;

	if (next == NULL)
		return failure_memory(failure);
	fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	good = fd >= 0 && write_all(fd, text, length);
	if (fd >= 0)
		good = close(fd) == 0 && good;
	good = good && rename(next, path) == 0;
	if (!good)
	{
		failure_set(failure, TIDE_LOCAL, "cannot_write", "could not write \"%s\": %s",
					path, strerror(errno));
		(void) unlink(next);
	}
	sqlite3_free(next);
	return good;
}

bool
file_make_directories(const char *path, Failure *failure)
{
	char	   *copy = text_copy(path);
	char	   *at;
	bool		good = copy != NULL;

	if (!good)
		return failure_memory(failure);
	for (at = copy + 1; good; at++)
	{
		char		c = *at;

		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			good = failure_set(failure, TIDE_LOCAL, "cannot_write",
							   "could not make the directory \"%s\": %s", copy,
							   strerror(errno));
		*at = c;
		if (c == '\0')
			break;
	}
	sqlite3_free(copy);
	return good;
}
