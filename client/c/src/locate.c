#include "client/c/src/locate.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/errcode.h"

#define SERVER_NAME "remudad"
#define PLACES_MAX  8192u

static int format_path(char ret_path[RMD_PATH_MAX], const char *format, const char *a,
		       const char *b)
{
	int len = snprintf(ret_path, RMD_PATH_MAX, format, a, b);
	return len > 0 && (size_t)len < RMD_PATH_MAX ? 0 : RMD_ETOOBIG;
}

int rmd_locate_run_dir(char ret_path[RMD_PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	if (runtime != NULL && runtime[0] == '/')
		return format_path(ret_path, "%s/%s", runtime, "remuda");
	char uid[16];
	snprintf(uid, sizeof uid, "%u", (unsigned)geteuid());
	return format_path(ret_path, "%s/remuda-%s", "/tmp", uid);
}

/* False: nobody listens there: its coordinator was killed. The file is left to the next
 * `remuda up`, which holds the lock beside it. */
static bool answers(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof name.sun_path)
		return true; /* others will say so */
	strcpy(name.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return true;
	int rc = connect(fd, (struct sockaddr *)&name, sizeof name);
	bool refused = rc < 0 && errno == ECONNREFUSED;
	close(fd);
	return !refused;
}

int rmd_locate_up(char ret_address[RMD_PATH_MAX], struct remuda_error **ret_err)
{
	char dir[RMD_PATH_MAX], path[RMD_PATH_MAX];
	struct stat st;
	if (rmd_locate_run_dir(dir) < 0 || format_path(path, "%s/%s", dir, "up.sock") < 0)
		return RMD_ENOTFOUND;
	if (lstat(dir, &st) < 0)
		return RMD_ENOTFOUND;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 0777) != 0700) {
		*ret_err = remuda_error_create(
			"UnsafeRunFolder",
			"%s is not a folder of this user alone (owner uid %u, mode "
			"%03o): another user "
			"could stand in for the coordinator. Remove it, or chmod 0700 it "
			"if it is yours",
			dir, (unsigned)st.st_uid, (unsigned)(st.st_mode & 0777));
		return RMD_EINVAL;
	}
	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return RMD_ENOTFOUND;
	if (!answers(path))
		return RMD_ENOTFOUND;
	return format_path(ret_address, "%s%s", "unix:", path) < 0 ? RMD_ENOTFOUND : 0;
}

/* ---- the program ---- */

/* The places that were tried, for the error. */
struct places {
	char text[PLACES_MAX];
	size_t len;
};

static bool usable(struct places *places, const char *path)
{
	struct stat st;
	int reason = access(path, X_OK) == 0 ? 0 : errno;
	if (reason == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
		return true;
	int n = snprintf(places->text + places->len, sizeof places->text - places->len,
			 "\n  %s: %s", path,
			 reason == 0 ? "not a regular file" : strerror(reason));
	if (n > 0 && (size_t)n < sizeof places->text - places->len)
		places->len += (size_t)n;
	return false;
}

/* Tries remudad in FOLDER, FOLDER/../bin and FOLDER/../../bin, FOLDER being that of
 * `file`. */
static bool beside(struct places *places, const char *file, char ret_path[RMD_PATH_MAX])
{
	char *resolved = realpath(file, NULL);
	bool found = false;
	if (resolved == NULL)
		return false;
	char *slash = strrchr(resolved, '/');
	if (slash != NULL) {
		*slash = '\0';
		found = (format_path(ret_path, "%s/%s", resolved, SERVER_NAME) == 0 &&
			 usable(places, ret_path)) ||
			(format_path(ret_path, "%s/../bin/%s", resolved, SERVER_NAME) ==
				 0 &&
			 usable(places, ret_path)) ||
			(format_path(ret_path, "%s/../../bin/%s", resolved,
				     SERVER_NAME) == 0 &&
			 usable(places, ret_path)); /* lib/MULTIARCH */
	}
	free(resolved);
	return found;
}

static bool on_path(struct places *places, char ret_path[RMD_PATH_MAX])
{
	const char *path = getenv("PATH");
	while (path != NULL && *path != '\0') {
		size_t len = strcspn(path, ":");
		if (len != 0 && len < RMD_PATH_MAX - sizeof SERVER_NAME - 1) {
			memcpy(ret_path, path, len);
			snprintf(ret_path + len, RMD_PATH_MAX - len, "/%s", SERVER_NAME);
			if (usable(places, ret_path))
				return true;
		}
		path += len + (path[len] == ':');
	}
	return false;
}

static int not_found(const struct places *places, struct remuda_error **ret_err)
{
	*ret_err = remuda_error_create(
		"ServerNotFound",
		"cannot start a private coordinator: its program %s was not found. Set "
		"REMUDA_SERVER "
		"to its path, or REMUDA_ADDRESS to a coordinator that runs. Looked at:%s",
		SERVER_NAME, places->text);
	return RMD_ENOTFOUND;
}

int rmd_locate_server(const char *given, char ret_path[RMD_PATH_MAX],
		      struct remuda_error **ret_err)
{
	struct places places = {0};
	const char *named = given != NULL ? given : getenv("REMUDA_SERVER");
	if (named != NULL && *named != '\0') {
		if (format_path(ret_path, "%s%s", named, "") == 0 &&
		    usable(&places, ret_path))
			return 0;
		*ret_err = remuda_error_create("ServerNotFound",
					       "cannot start a private coordinator: %s "
					       "names no program that can be run:%s",
					       given != NULL ? "options.server_path"
							     : "REMUDA_SERVER",
					       places.text);
		return RMD_ENOTFOUND;
	}
	Dl_info self;
	if (dladdr((void *)(uintptr_t)&rmd_locate_server, &self) != 0 &&
	    self.dli_fname != NULL && beside(&places, self.dli_fname, ret_path))
		return 0;
	if (beside(&places, "/proc/self/exe", ret_path) || on_path(&places, ret_path))
		return 0;
	return not_found(&places, ret_err);
}
