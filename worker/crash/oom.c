#include "worker/crash/oom.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define COUNTER "oom_kill "

/* Reads the count; false: it is not there. */
static bool read_count(const char *path, uint64_t *ret_count)
{
	char line[256];
	bool found = false;
	FILE *file = path[0] != '\0' ? fopen(path, "re") : NULL;
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = strncmp(line, COUNTER, strlen(COUNTER)) == 0 &&
			sscanf(line + strlen(COUNTER), "%" SCNu64, ret_count) == 1;
	fclose(file);
	return found;
}

static bool lists(const char *options, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = options; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return false;
}

/* The path of the process's group in the hierarchy, from a line ID:CONTROLLERS:PATH of
 * its list: version 1's with the controller "memory", or version 2's, which has none. */
static bool find_group(const char *cgroup_path, const char *controller, char *ret_path)
{
	char line[RMD_OOM_PATH_MAX + 128];
	bool found = false;
	FILE *file = fopen(cgroup_path, "re");
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof line, file) != NULL) {
		char *controllers = strchr(line, ':');
		char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
		if (path == NULL)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		controllers++;
		found = (controller == NULL ? controllers[0] == '\0'
					    : lists(controllers, controller)) &&
			strlen(path) < RMD_OOM_PATH_MAX;
		if (found)
			memcpy(ret_path, path, strlen(path) + 1);
	}
	fclose(file);
	return found;
}

/* One line of mountinfo, taken apart in place: the root within the file system, where it
 * is mounted, its type and its own options. */
struct mount {
	const char *root, *point, *type, *options;
};

static bool split_mount(char *line, struct mount *ret_mount)
{
	char *save, *fields[5], *rest = strstr(line, " - ");
	if (rest == NULL)
		return false;
	*rest = '\0';
	rest += 3;
	fields[0] = strtok_r(line, " ", &save);
	for (int i = 1; i < 5; i++)
		fields[i] = fields[i - 1] != NULL ? strtok_r(NULL, " ", &save) : NULL;
	if (fields[4] == NULL)
		return false;
	ret_mount->root = fields[3];
	ret_mount->point = fields[4];
	ret_mount->type = strtok_r(rest, " \n", &save);
	(void)strtok_r(NULL, " \n", &save); /* its source */
	ret_mount->options = strtok_r(NULL, " \n", &save);
	return ret_mount->type != NULL && ret_mount->options != NULL;
}

/* `path` without the part of the hierarchy that lies above the mount. */
static const char *below(const char *path, const char *root)
{
	size_t len = strlen(root);
	if (len > 1 && strncmp(path, root, len) == 0 &&
	    (path[len] == '/' || path[len] == '\0'))
		path += len;
	return strcmp(path, "/") == 0 ? "" : path;
}

/* Sets group and file for the hierarchy of `type`; false: no such one with a count. */
static bool find_count(struct rmd_oom *oom, const char *mounts_path, const char *path,
		       const char *type, const char *file_name)
{
	static const char *const controller = "memory";
	char line[LINE_MAX_BYTES];
	struct mount mount;
	uint64_t unused;
	bool found = false;
	FILE *file = fopen(mounts_path, "re");
	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof line, file) != NULL) {
		if (!split_mount(line, &mount) || strcmp(mount.type, type) != 0 ||
		    (strcmp(type, "cgroup") == 0 && !lists(mount.options, controller)))
			continue;
		int n = snprintf(oom->group, sizeof oom->group, "%s%s", mount.point,
				 below(path, mount.root));
		if (n < 0 || (size_t)n >= sizeof oom->group)
			continue;
		n = snprintf(oom->file, sizeof oom->file, "%s/%s", oom->group, file_name);
		found = n > 0 && (size_t)n < sizeof oom->file &&
			read_count(oom->file, &unused);
	}
	fclose(file);
	if (!found)
		oom->group[0] = oom->file[0] = '\0';
	return found;
}

void rmd_oom_init(struct rmd_oom *oom, const char *cgroup_path, const char *mounts_path)
{
	char path[RMD_OOM_PATH_MAX];
	memset(oom, 0, sizeof *oom);
	if ((find_group(cgroup_path, "memory", path) &&
	     find_count(oom, mounts_path, path, "cgroup", "memory.oom_control")) ||
	    (find_group(cgroup_path, NULL, path) &&
	     find_count(oom, mounts_path, path, "cgroup2", "memory.events")))
		(void)read_count(oom->file, &oom->looked);
	oom->explained = oom->looked;
}

void rmd_oom_look(struct rmd_oom *oom)
{
	uint64_t count;
	if (!read_count(oom->file, &count))
		return;
	if (oom->explained < oom->looked)
		oom->explained = oom->looked;
	oom->looked = count;
}

void rmd_oom_settle(struct rmd_oom *oom)
{
	uint64_t count;
	if (read_count(oom->file, &count))
		oom->explained = oom->looked = count;
}

bool rmd_oom_prove(struct rmd_oom *oom, struct rmd_oom_proof *ret_proof)
{
	uint64_t count;
	if (!read_count(oom->file, &count) || count <= oom->explained)
		return false;
	memcpy(ret_proof->group, oom->group, sizeof oom->group);
	ret_proof->before = oom->explained;
	ret_proof->after = count;
	oom->explained++;
	return true;
}
