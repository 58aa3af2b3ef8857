/*
 * lock.c
 *	  One syncer at a time.
 *
 * flock() belongs to the open file, not to the process: a second handle in the
 * same process is kept out like any other, and closing that one frees nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/lock.h"
#include "util/sqlite.h"

static long
read_holder(int fd)
{
	char		text[32];
	ssize_t		n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return strtol(text, NULL, 10);
}

static void
write_holder(int fd)
{
	char		text[32];
	int			n = snprintf(text, sizeof(text), "%ld\n", (long) getpid());

	/* only for others to say who it is: of no harm if it fails */
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t) n, 0) != n)
		return;
}

bool
lock_take(Lock *lock, const char *path, long *holder, int *error)
{
	Buffer		name = {0};
	int			fd;

	*holder = 0;
	*error = 0;
	/* a database in memory may have a name, too */
	if (lock->fd >= 0 || path == NULL || path[0] == '\0' || access(path, F_OK) != 0)
		return true;
	buffer_text(&name, path);
	buffer_text(&name, "-tide-lock");
	errno = ENOMEM;
	fd = name.failed ? -1 : open(name.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	*error = fd < 0 ? errno : 0;
	buffer_free(&name);
	if (fd < 0)
		return false;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
	{
		*error = errno == EWOULDBLOCK ? 0 : errno;
		*holder = read_holder(fd);
		close(fd);
		return false;
	}
	write_holder(fd);
	lock->fd = fd;
	return true;
}

void
lock_release(Lock *lock)
{
	if (lock->fd >= 0)
		close(lock->fd);
	lock->fd = -1;
}

bool
lock_identity(const char *path, char *text, size_t size)
{
	struct stat st;
	char		host[256];

	if (path == NULL || path[0] == '\0' || stat(path, &st) != 0)
		return false;
	if (gethostname(host, sizeof(host)) != 0)
		host[0] = '\0';
	host[sizeof(host) - 1] = '\0';
	snprintf(text, size, "%llx:%llx:%s", (unsigned long long) st.st_dev,
			 (unsigned long long) st.st_ino, host);
	return true;
}
