#include "client/cli/place.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/c/src/locate.h"
#include "client/cli/exit.h"
#include "client/cli/report.h"
#include "proto/base/alloc.h"

#define UP_SOCKET "up.sock"

char *rmd_place_run_path(const char *name)
{
	char folder[RMD_PATH_MAX];

	return rmd_locate_run_dir(folder) < 0 ? NULL
					      : rmd_asprintf("%s/%s", folder, name);
}

/* What is wrong with the folder, or NULL. */
static const char *folder_trouble(const char *folder)
{
	struct stat stat;

	if (lstat(folder, &stat) < 0)
		return strerror(errno);
	if (!S_ISDIR(stat.st_mode))
		return "it is not a folder";
	if (stat.st_uid != geteuid())
		return "it belongs to somebody else";
	if ((stat.st_mode & 0777) != 0700)
		return "it is not its owner's alone (chmod 700 it)";
	return NULL;
}

int rmd_place_make_run_folder(void)
{
	char folder[RMD_PATH_MAX] = "";
	const char *trouble;

	if (rmd_locate_run_dir(folder) < 0)
		trouble = "its path is too long";
	else if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		trouble = strerror(errno);
	else
		trouble = folder_trouble(folder);
	if (trouble != NULL)
		rmd_report("the run folder %s cannot be used: %s", folder, trouble);
	return trouble != NULL ? RMD_EXIT_SYSTEM : RMD_EXIT_OK;
}

/* Reports why not. One that is not there is safe: nobody is up. */
static bool run_folder_safe(void)
{
	char folder[RMD_PATH_MAX] = "";
	struct stat stat;
	const char *trouble = NULL;

	if (rmd_locate_run_dir(folder) == 0 && lstat(folder, &stat) == 0)
		trouble = folder_trouble(folder);
	if (trouble != NULL)
		rmd_report("the run folder %s, where 'remuda up' has its socket, cannot be "
			   "trusted: %s",
			   folder, trouble);
	return trouble == NULL;
}

const char *rmd_place_unix_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

/* True for "HOST:PORT"; the host may be "[::1]". */
static bool host_port_valid(const char *text)
{
	const char *colon = strrchr(text, ':');
	long port = 0;

	if (colon == NULL || colon == text || colon[1] == 0)
		return false;
	for (const char *at = colon + 1; *at != 0; at++) {
		if (!isdigit((unsigned char)*at) || port > 65535)
			return false;
		port = port * 10 + (*at - '0');
	}
	return port >= 1 && port <= 65535 &&
	       (text[0] == '[' || strchr(text, ':') == colon);
}

int rmd_place_check(const char *text, const char *said_by)
{
	const char *path = rmd_place_unix_path(text);
	struct sockaddr_un name;

	if (path != NULL && *path != 0) {
		if (strlen(path) < sizeof name.sun_path)
			return RMD_EXIT_OK;
		rmd_report("the path in %s is over the system's limit of %zu bytes: %s",
			   said_by, sizeof name.sun_path - 1, text);
		return RMD_EXIT_USAGE;
	}
	if (strncmp(text, "tcp:", 4) == 0 && host_port_valid(text + 4))
		return RMD_EXIT_OK;
	if (strncmp(text, "dns:///", 7) == 0 && host_port_valid(text + 7))
		return RMD_EXIT_OK;
	if (text[0] == '/')
		rmd_report("%s is no address: '%s': did you mean unix:%s?", said_by, text,
			   text);
	else if (host_port_valid(text))
		rmd_report("%s is no address: '%s': did you mean tcp:%s?", said_by, text,
			   text);
	else
		rmd_report(
			"%s is no address: '%s': it must be unix:PATH, tcp:HOST:PORT or "
			"dns:///HOST:PORT",
			said_by, text);
	return RMD_EXIT_USAGE;
}

int rmd_place_find(const char *option, struct rmd_place *ret_address)
{
	struct rmd_place address = {.said_by = "--address"};
	const char *said = option;
	int rc;

	if (said == NULL) {
		said = getenv("REMUDA_ADDRESS");
		address.said_by = "REMUDA_ADDRESS";
	}
	if (said != NULL && *said == 0 && option == NULL)
		said = NULL;
	if (said != NULL) {
		address.text = rmd_strdup(said);
	} else {
		char *path = rmd_place_run_path(UP_SOCKET);
		address.text = path != NULL ? rmd_asprintf("unix:%s", path) : NULL;
		address.said_by = "the socket of 'remuda up'";
		address.by_default = true;
		rmd_free(path);
	}
	if (address.text == NULL)
		return rmd_report_no_memory();
	if (address.by_default && !run_folder_safe()) {
		rmd_free(address.text);
		return RMD_EXIT_SYSTEM;
	}
	rc = rmd_place_check(address.text, address.said_by);
	if (rc != RMD_EXIT_OK) {
		rmd_free(address.text);
		return rc;
	}
	*ret_address = address;
	return RMD_EXIT_OK;
}

void rmd_place_fini(struct rmd_place *address)
{
	rmd_free(address->text);
	*address = (struct rmd_place){0};
}

bool rmd_place_is_served(const struct rmd_place *address)
{
	const char *path = rmd_place_unix_path(address->text);
	int fd = path != NULL ? rmd_place_connect_unix(path) : -1;

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int rmd_place_report_nobody(const struct rmd_place *address, const char *why)
{
	if (address->by_default)
		rmd_report("no coordinator is up (looked at %s): start one with 'remuda "
			   "up', or name "
			   "one with --address",
			   address->text);
	else if (*why != 0)
		rmd_report("%s (%s)", why, address->said_by);
	else
		rmd_report("no coordinator answers at %s (%s)", address->text,
			   address->said_by);
	return RMD_EXIT_SERVICE;
}

int rmd_place_connect_unix(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd, saved;

	if (strlen(path) >= sizeof name.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(name.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}
